"""Whether every promise still holds: on the disk, in the catalogue, in what matches, and in the records."""

import hashlib
import random
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from imagescreen.errors import BrokenIndex
from imagescreen.matching import open_version
from tests.torture.deeds import all_references, moment_of, sent, told
from tests.torture.deployment import eventually
from tests.torture.world import Picture, Reference, World, demand, now

OWN_SIMILARITY = 0.99
"""A picture and itself: the cosine is 1 but for rounding."""

FOLLOWED_S = 10.0
"""Nothing is asked of an end of suspension that came within this time: it may not have been noticed yet."""

SERVED_S = 60.0
"""Only ends a hang: the time that a change takes is measured by `scripts/benchmark_live.py`."""

GONE_S = 2.0
"""Between a look at what is current and one at the disk, another version may have become current."""

_AT_ONCE = 16
_ORDINARY_SAMPLE = 24
"""References that nobody touched, matched again in each round."""


def check_disk(home: Path, world: World) -> int:
    """Database and files, versions and activations; returns the number of versions, all of them sound."""
    with _reading(home) as database:
        found = database.execute("PRAGMA integrity_check").fetchall()
        demand(found == [("ok",)], f"PRAGMA integrity_check: {found}")
        broken = database.execute("PRAGMA foreign_key_check").fetchall()
        demand(not broken, f"PRAGMA foreign_key_check: {broken}")
        _check_feed(database, world)
        _check_files(database, home / "data" / "pictures")
        _check_vectors(database)
        activated = [row[0] for row in database.execute("SELECT version FROM index_activation ORDER BY id")]
    lost = world.activated - Counter(activated)
    demand(not lost, f"acknowledged activations of index versions are lost: {lost}")
    versions_dir = home / "index" / "versions"
    # Looked at again, because the server may build another one meanwhile, and delete this one.
    eventually(
        lambda: _current(home) in [path.name for path in versions_dir.iterdir()],
        lambda: f"version {_current(home)} is current, and gone",
        GONE_S,
    )
    sound = [path.name for path in sorted(versions_dir.iterdir()) if not path.name.startswith(".")]
    for version in sound:
        _check_version(versions_dir, version)
    return len(sound)


def check_service(url: str, world: World, dice: random.Random) -> int:
    """What the service answers; returns the number of references whose matching was looked at."""
    with httpx.Client(base_url=url, timeout=60) as api:
        _check_index(api, world)
        _check_catalogue(api, world)
        touched = [world.references[key] for key in sorted(world.touched & world.references.keys())]
        others = [reference for key, reference in world.references.items() if key not in world.touched]
        looked_at = touched + dice.sample(others, min(len(others), _ORDINARY_SAMPLE))
        _check_matches(api, looked_at)
        screenings = sorted(world.touched & world.screenings.keys())
        screenings += dice.sample(sorted(world.screenings), min(len(world.screenings), 5))
        _check_screenings(api, world, screenings)
    return len(looked_at)


def leftovers(home: Path) -> list[Path]:
    """Half-built versions, unfinished files, and stored pictures that nothing ever named."""
    with _reading(home) as database:
        named = {row[0] for row in database.execute(f"{_NAMED} UNION SELECT sha256 FROM reference_picture")}
    stored = (home / "data" / "pictures").glob("??/*")
    return [*(home / "index" / "versions").glob(".building-*"), *(path for path in stored if path.name not in named)]


def _reading(home: Path) -> "closing[sqlite3.Connection]":
    return closing(sqlite3.connect(f"file:{home / 'data' / 'imagescreen.sqlite3'}?mode=ro", uri=True))


_NAMED = """
SELECT sha256 FROM reference_picture WHERE removed_at IS NULL
UNION SELECT sha256 FROM calibration_picture WHERE stored
UNION SELECT sha256 FROM background_picture
UNION SELECT sha256 FROM screening_picture WHERE stored
"""


def _check_feed(database: sqlite3.Connection, world: World) -> None:
    """What was seen before is still there, and the numbers go on after it."""
    feed = database.execute("SELECT sequence, kind, reference_id, at FROM change ORDER BY sequence").fetchall()
    demand(feed[: len(world.feed)] == world.feed, "entries of the change feed that were there have gone or changed")
    world.feed = feed


def _current(home: Path) -> str:
    with _reading(home) as database:
        rows = database.execute("SELECT version FROM index_activation ORDER BY id DESC LIMIT 1").fetchall()
    return str(rows[0][0])


def _check_files(database: sqlite3.Connection, folder: Path) -> None:
    for (sha256,) in database.execute(_NAMED):
        path = folder / sha256[:2] / sha256
        demand(path.is_file(), f"stored picture {sha256} is lost")
        demand(hashlib.sha256(path.read_bytes()).hexdigest() == sha256, f"stored picture {sha256} is damaged")


def _check_vectors(database: sqlite3.Connection) -> None:
    without = database.execute(
        "SELECT id FROM reference_picture WHERE id NOT IN (SELECT reference_picture_id FROM reference_vector)"
    ).fetchall()
    demand(not without, f"reference pictures without a vector: {without}")
    bare = database.execute(
        "SELECT id FROM reference WHERE id NOT IN (SELECT reference_id FROM reference_picture WHERE removed_at IS NULL)"
    ).fetchall()
    demand(not bare, f"references without a picture: {bare}")


def _check_version(versions_dir: Path, version: str) -> None:
    try:
        open_version(versions_dir, version)
    except BrokenIndex as error:
        # A server may have pruned it since it was listed.
        demand(not (versions_dir / version).exists(), f"half an index version is there: {error.detail}")


def _check_index(api: httpx.Client, world: World) -> None:
    """The server serves what is current, and takes in every change that is committed by now."""
    last = world.feed[-1][0] if world.feed else 0

    def followed() -> bool:
        served = api.get("/v1/index").json()
        demand(served["problem"] is None, f"the server reports: {served['problem']}")
        return bool(served["sequence"] >= last and served["version"] == served["current_version"])

    eventually(followed, lambda: "the server does not serve what is current", SERVED_S)
    ready = api.get("/health/ready")
    demand(ready.status_code == 200, f"the server is not ready: {told(ready)}")


def _check_catalogue(api: httpx.Client, world: World) -> None:
    found = {item["reference_id"]: item for item in all_references(api)}
    lost = sorted(world.references.keys() - found.keys())
    demand(not lost, f"acknowledged references are lost: {lost}")
    more = sorted(found.keys() - world.references.keys())
    demand(not more, f"references are there that nobody added: {[found[key]['title'] for key in more]}")
    for key, reference in world.references.items():
        item = found[key]
        state = (item["state"], moment_of(item["suspended_until"]))
        wanted = (reference.state, reference.suspended_until)
        demand(state == wanted, f"reference {reference.title!r} is {state} instead of {wanted}")
        pictures = {picture["reference_picture_id"]: picture["sha256"] for picture in item["pictures"]}
        acknowledged = {picture_id: picture.sha256 for picture_id, picture in reference.pictures.items()}
        demand(pictures == acknowledged, f"reference {reference.title!r} has pictures {pictures}, not {acknowledged}")


def _check_matches(api: httpx.Client, references: Sequence[Reference]) -> None:
    asked = [
        (reference, picture_id, picture)
        for reference in references
        for picture_id, picture in (reference.pictures | reference.removed).items()
    ]
    for start in range(0, len(asked), _AT_ONCE):
        some = asked[start : start + _AT_ONCE]
        begun = now()
        found = matches_of(api, [picture for _, _, picture in some])
        for (reference, picture_id, _), matches in zip(some, found, strict=True):
            _check_match(reference, picture_id, matches, begun)


def matches_of(api: httpx.Client, pictures: Sequence[Picture]) -> list[list[dict[str, Any]]]:
    answer = api.post("/v1/matches", json={"pictures": sent(*pictures)})
    demand(answer.status_code == 200, f"matching: {told(answer)}")
    return [picture["matches"] for picture in answer.json()["pictures"]]


def _check_match(reference: Reference, picture_id: int, matches: list[dict[str, Any]], begun: Any) -> None:
    own = [match for match in matches if match["reference_id"] == reference.reference_id]
    until = reference.suspended_until
    if until is not None and begun - timedelta(seconds=FOLLOWED_S) < until < now():
        return
    if not reference.matches_at(begun):
        demand(not own, f"{reference.state} reference {reference.title!r} matches")
        return
    if picture_id in reference.removed:
        demand(
            all(match["reference_picture_id"] != picture_id for match in own),
            f"removed picture {picture_id} of {reference.title!r} matches",
        )
        return
    demand(
        any(m["reference_picture_id"] == picture_id and m["similarity"] >= OWN_SIMILARITY for m in own),
        f"picture {picture_id} of {reference.title!r} does not match itself, but {matches}",
    )


def _check_screenings(api: httpx.Client, world: World, chosen: Sequence[str]) -> None:
    for screening_id in chosen:
        screening = world.screenings[screening_id]
        answer = api.get(f"/v1/screenings/{screening_id}")
        demand(answer.status_code == 200, f"acknowledged screening {screening_id} is lost: {told(answer)}")
        stored = answer.json()
        demand(
            {name: stored[name] for name in screening.answer} == screening.answer,
            f"screening {screening_id} is not what was answered",
        )
        demand(stored["reviews"] == screening.reviews, f"the reviews of screening {screening_id} are others")

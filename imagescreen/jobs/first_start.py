"""Fills an empty catalogue with the rendered sample, so that the service can be seen working at once."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagescreen.database.index_versions import current_version
from imagescreen.errors import BrokenInstallation, ImagescreenError
from imagescreen.jobs.calibrate import calibrate
from imagescreen.jobs.ordinary_packages import single_pictures
from imagescreen.jobs.progress import Progress, silent
from imagescreen.jobs.workbench import Store, Workbench
from imagescreen.references.catalogue import Catalogue, ReferenceFilter
from imagescreen.references.enrolment import NewPicture, NewReference
from imagescreen.references.facts import facts_from_json
from imagescreen.references.sample.catalogue import (
    SAMPLE_REFERENCES,
    SAMPLE_SOURCE,
    cleared_sample_picture,
    held_sample_picture,
    ordinary_pictures,
    reference_pictures,
)
from imagescreen.settings import Settings

ORDINARY_PICTURES = 1000
"""The built-in policy promises to hold 1 in 1,000 ordinary packages, which needs 999; each picture is a package."""

BATCH = 16

REINDEX = ".venv/bin/python scripts/reindex.py"


@dataclass(frozen=True, slots=True)
class FirstLook:
    """What a start finds, without loading a model.

    `wants_sample`: nothing was built yet, or the catalogue is empty, and there is nothing of the user's own (an
    interrupted first start counts as nothing). `advice` is set when what is there cannot be served as it is.
    """

    wants_sample: bool
    has_sample: bool
    advice: str | None


def first_look(store: Store) -> FirstLook:
    with store.database.read() as session:
        current = current_version(session)
    own = _has_own_references(store)
    if current is None:
        return FirstLook(not own, False, f"there is no index version yet: build one with {REINDEX}" if own else None)
    if not own and not _has_references(store):
        return FirstLook(True, False, None)
    advice = None
    folders = (store.settings.index_dir / "versions").glob("*/manifest.json")
    if current.version not in {path.parent.name for path in folders}:
        advice = f"the folder of index version {current.version} is gone: build another with {REINDEX}"
    return FirstLook(False, not own, advice)


def sample_lines(settings: Settings) -> Sequence[str]:
    """The two commands that show the service working; writes the pictures that they send."""
    folder = settings.data_dir / "sample"
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for name, package_id, picture in (
        ("held", "SAMPLE-HELD", held_sample_picture),
        ("cleared", "SAMPLE-CLEARED", cleared_sample_picture),
    ):
        path = folder / f"{name}.jpg"
        if not path.exists():
            path.write_bytes(picture())
        lines += [f"a sample package that is {name}:", f"  {_curl(package_id, path, settings.port)}"]
    return lines


def prepare_sample(bench: Workbench, progress: Progress = silent) -> None:
    """Enrols the sample references, calibrates on rendered ordinary goods, builds an index version and serves it.

    Goes on where an interrupted first start stopped.
    """
    _enrol(bench, progress)
    pictures = (NewPicture(f"ordinary {n}", data) for n, data in enumerate(ordinary_pictures(ORDINARY_PICTURES)))
    calibrate(
        bench,
        single_pictures(pictures),
        total=ORDINARY_PICTURES,
        source=SAMPLE_SOURCE,
        built_by="first start",
        progress=progress,
    )


def _has_references(store: Store) -> bool:
    catalogue = Catalogue(store.database, store.files, on_change=lambda: None)
    return bool(catalogue.list(ReferenceFilter(), limit=1, after=None))


def _has_own_references(store: Store) -> bool:
    sample = {facts_from_json(reference.facts).title for reference in SAMPLE_REFERENCES}
    catalogue = Catalogue(store.database, store.files, on_change=lambda: None)
    after = None
    while rows := catalogue.list(ReferenceFilter(), limit=500, after=after):
        if any(row.source != SAMPLE_SOURCE or row.title not in sample for row in rows):
            return True
        after = rows[-1].reference_id
    return False


def _enrol(bench: Workbench, progress: Progress) -> None:
    done = 0
    for batch in _batches():
        wanted = [item for item in batch if not bench.enrolment.owners(item[1])]
        results = bench.enrolment.add([reference for reference, _ in wanted])
        for result in results:
            if isinstance(result, ImagescreenError):
                raise BrokenInstallation(f"a sample reference was refused: {result.detail}")
        done += len(batch)
        progress("adding sample references", done, len(SAMPLE_REFERENCES))


def _batches() -> Iterator[list[tuple[NewReference, list[str]]]]:
    """References with the sha256 of their pictures."""
    for start in range(0, len(SAMPLE_REFERENCES), BATCH):
        batch: list[tuple[NewReference, list[str]]] = []
        for sample in SAMPLE_REFERENCES[start : start + BATCH]:
            files = list(reference_pictures(sample))
            pictures = [NewPicture(f"view {view}", data) for view, data in enumerate(files)]
            batch.append(
                (
                    NewReference(facts_from_json(sample.facts), pictures),
                    [hashlib.sha256(data).hexdigest() for data in files],
                )
            )
        yield batch


def _curl(package_id: str, picture: Path, port: int) -> str:
    package = f'{{"package_id": "{package_id}"}}'
    return (
        f"curl -s -F 'package={package};type=application/json' -F 'pictures=@{picture}' "
        f"http://127.0.0.1:{port}/v1/screenings"
    )

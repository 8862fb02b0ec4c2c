"""Makes an index version current: a row in the database, and an entry in the change feed that every server follows."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from sqlalchemy.orm import Session

from imagescreen.calibration.scale import decode_scale
from imagescreen.database.calibration_succession import Succession, members_of, succeed
from imagescreen.database.feed import last_sequence, lock_feed
from imagescreen.database.index_versions import activate_version, changed_references, current_version, record_version
from imagescreen.database.matchable import count_without_vector, lacks_vector_since
from imagescreen.database.stored_vectors import stored_pictures
from imagescreen.database.tables import IndexVersionRow
from imagescreen.embedding.manifest import require_maker
from imagescreen.errors import BrokenIndex, Conflict
from imagescreen.jobs.build import UNCHANGED, Built, Space, lacking_vectors
from imagescreen.jobs.workbench import Store
from imagescreen.matching import IndexVersion, VersionManifest, open_version
from imagescreen.matching.manifest import MANIFEST_FILE
from imagescreen.matching.picture_set import reference_id_of

_LOCK = ".choosing"
_SAME_VECTOR = 0.999


@dataclass(frozen=True, slots=True)
class Activated:
    """`changed_references`: how many references changed after the version was built; servers apply those on top.
    `was_current`: it was the current one already; servers that refused it try again.
    """

    manifest: VersionManifest
    changed_references: int
    was_current: bool


@contextmanager
def choosing(versions_dir: Path) -> Iterator[None]:
    """One process at a time makes a version current or deletes some, so that no current one is deleted."""
    versions_dir.mkdir(parents=True, exist_ok=True)
    with (versions_dir / _LOCK).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def open_checked(store: Store, version: str) -> IndexVersion:
    """A version after everything was checked that a server checks before it switches, but for loading the model.

    Raises BrokenIndex, or FingerprintMismatch or BrokenInstallation when its model is not the one installed.
    """
    opened = open_version(store.versions_dir, version)
    manifest = opened.manifest
    require_maker(
        f"index version {version}",
        manifest.model,
        manifest.fingerprint,
        store.settings.weights_dir,
        preferred=store.settings.model,
    )
    decode_scale(opened.attachments, fingerprint=manifest.fingerprint, dimension=manifest.dimension)
    return opened


def activate(store: Store, version: str, *, actor: str) -> Activated:
    """Makes a version on disk current, after checking all of it; so one goes back to an earlier one.

    One that is current already is activated once more, for servers that refused it when it was damaged. One that the
    database does not know (its folder was copied here) is recorded, if it was built from this catalogue.
    Raises BrokenIndex when it is not sound, knows more changes than this database has, is of another catalogue, or
    when pictures lack a vector of its model; FingerprintMismatch or BrokenInstallation when its model is not installed.
    """
    opened = open_checked(store, version)
    manifest = opened.manifest
    space = Space(manifest.model, manifest.fingerprint, manifest.dimension)
    with store.database.read() as session:
        known_changes = last_sequence(session)
        if manifest.sequence > known_changes:
            raise BrokenIndex(
                f"index version {version} was built from another catalogue: it knows {manifest.sequence} changes, "
                f"this database has {known_changes}"
            )
        if session.get(IndexVersionRow, version) is None:
            _check_catalogue(session, opened)
        if missing := count_without_vector(session, fingerprint=manifest.fingerprint):
            raise lacking_vectors("reference pictures", missing, space)
        changed = changed_references(session, after=manifest.sequence)
    with choosing(store.versions_dir), store.database.write() as session:
        lock_feed(session)
        current = current_version(session)
        if lacks_vector_since(session, known_changes, fingerprint=manifest.fingerprint):
            raise Conflict(f"references were added while index version {version} was checked: run the command again")
        _make_current(store, session, manifest, actor)
    return Activated(manifest, changed, was_current=current is not None and current.version == version)


def activate_built(
    store: Store,
    built: Built,
    *,
    seen: IndexVersionRow | None,
    actor: str,
    succession: Succession = UNCHANGED,
    settled: Callable[[], None] = lambda: None,
) -> bool:
    """Makes a version current that this process has just built; `seen` was current when the job began.

    In the same transaction the calibration packages that it was measured with begin to count (`succession`); `settled`
    is called when nothing but its commit is left. False, and nothing is done, when pictures came since that lack a
    vector of its model. Raises Conflict when another process switched the model meanwhile, deleted the version, or
    changed which packages count.
    """
    manifest = built.manifest
    # Looked at before the write lock is taken, so that it is held for what came in the last moment only.
    with store.database.read() as session:
        sequence = last_sequence(session)
        if lacks_vector_since(session, manifest.sequence, fingerprint=manifest.fingerprint):
            return False
    with choosing(store.versions_dir), store.database.write() as session:
        lock_feed(session)
        current = current_version(session)
        if (current and current.fingerprint) != (seen and seen.fingerprint):
            raise Conflict(
                f"another process switched to model {current.model if current else None!r} meanwhile: "
                "what was built is not made current; run the command again"
            )
        if lacks_vector_since(session, sequence, fingerprint=manifest.fingerprint):
            return False
        if members_of(session, succession) != built.packages:
            raise Conflict(
                "another process changed the calibration packages meanwhile: what was built is not made current; "
                "run the command again"
            )
        succeed(session, succession)
        _make_current(store, session, manifest, actor)
        settled()
    return True


def record(session: Session, manifest: VersionManifest) -> None:
    """Tells the database of a version; it becomes current only by an activation."""
    record_version(
        session,
        version=manifest.version,
        model=manifest.model,
        fingerprint=manifest.fingerprint,
        sequence=manifest.sequence,
        manifest=msgspec.to_builtins(manifest),
        built_at=manifest.built_at,
    )


def _make_current(store: Store, session: Session, manifest: VersionManifest, actor: str) -> None:
    if not (store.versions_dir / manifest.version / MANIFEST_FILE).is_file():
        raise Conflict(f"another process deleted index version {manifest.version} meanwhile: run the command again")
    record(session, manifest)
    activate_version(session, manifest.version, actor=actor)


def _check_catalogue(session: Session, opened: IndexVersion) -> None:
    """Raises BrokenIndex unless the version's canaries are this database's pictures, with its vectors.

    Another catalogue has the same small numbers for its pictures, and their matches would name the wrong references.
    """
    manifest, pictures = opened.manifest, opened.pictures
    ids = np.array(manifest.canaries, np.int64)
    rows = np.searchsorted(pictures.picture_ids, ids)
    stored = stored_pictures(session, ids.tolist(), fingerprint=manifest.fingerprint, dimension=manifest.dimension)
    for picture_id, key, vector in zip(ids.tolist(), pictures.keys(rows), pictures.vectors[rows], strict=True):
        known = stored.get(picture_id)
        if known is None or known[0] != reference_id_of(key) or float(known[1] @ vector) < _SAME_VECTOR:
            raise BrokenIndex(
                f"index version {manifest.version} was built from another catalogue: its picture {picture_id} is not "
                "the one of this database"
            )

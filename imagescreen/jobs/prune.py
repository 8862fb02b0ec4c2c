"""Deletes index versions that nobody needs any more."""

from dataclasses import dataclass

from imagescreen.database.feed import now
from imagescreen.database.index_versions import current_version
from imagescreen.database.processes import served_versions
from imagescreen.jobs.activation import choosing
from imagescreen.jobs.workbench import Store
from imagescreen.matching import VersionManifest, delete_version, list_versions


@dataclass(frozen=True, slots=True)
class Pruned:
    """A version whose folder was deleted, and how much disk that freed."""

    version: str
    size_bytes: int


def prune(store: Store, *, keep: int, built_by: str | None = None) -> list[Pruned]:
    """Keeps the newest `keep` versions, the current one, and those that live processes serve or are loading.

    With `built_by`, only versions that it built are looked at: a server must not delete what a person built, and may
    still want to look at or go back to.

    Folders without a sound manifest are left alone: they may be another release's. The database keeps the rows of
    versions that are deleted: old screenings name them. Raises BrokenIndex for one that cannot be deleted.
    """
    with choosing(store.versions_dir):
        with store.database.read() as session:
            current = current_version(session)
            needed = served_versions(session, moment=now())
        if current is not None:
            needed.add(current.version)
        found = [
            entry
            for entry in list_versions(store.versions_dir)
            if isinstance(entry, VersionManifest) and built_by in (None, entry.built_by)
        ]
        needed.update(manifest.version for manifest in found[:keep])
        pruned: list[Pruned] = []
        for manifest in found:
            if manifest.version not in needed:
                delete_version(store.versions_dir, manifest.version)
                pruned.append(Pruned(manifest.version, size_bytes(manifest)))
        return pruned


def size_bytes(manifest: VersionManifest) -> int:
    return sum(record.size_bytes for record in manifest.files.values())

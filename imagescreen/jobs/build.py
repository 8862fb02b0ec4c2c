"""From stored vectors to an index version on disk: no model is loaded, no other version is opened."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from imagescreen.calibration.thresholds import Thresholds, encode_thresholds
from imagescreen.database.calibration_set import calibration_blobs
from imagescreen.database.feed import last_sequence, now
from imagescreen.database.matchable import count_without_vector
from imagescreen.database.stored_vectors import count_present_pictures, matching_references, stored_vectors
from imagescreen.database.vectors import from_blobs
from imagescreen.embedding.manifest import model_folder, read_manifest
from imagescreen.embedding.registry import entry_of
from imagescreen.errors import BrokenIndex
from imagescreen.jobs.measure import Measured, measure
from imagescreen.jobs.progress import Progress
from imagescreen.jobs.workbench import Store
from imagescreen.matching import Draft, IndexType, VersionManifest, drafting
from imagescreen.references.facts import ReferenceKind
from imagescreen.screening.policy import Policy
from imagescreen.serving.loader import THRESHOLDS_FILE
from imagescreen.settings import IndexChoice, Settings


@dataclass(frozen=True, slots=True)
class Space:
    """The embedding space of an installed model."""

    model: str
    fingerprint: str
    dimension: int


@dataclass(frozen=True, slots=True)
class Built:
    """A version, and how its thresholds were measured."""

    manifest: VersionManifest
    measured: Measured

    @property
    def thresholds(self) -> Thresholds | None:
        return self.measured.thresholds


@dataclass(frozen=True, slots=True, eq=False)
class _Contents:
    """What went into the draft, and the ordinary pictures (m, d) to measure it with; `labels` (n,) are rows of
    `categories`.
    """

    sequence: int
    as_of: datetime
    labels: NDArray[np.int32]
    categories: tuple[str, ...]
    ordinary: NDArray[np.float32]


def installed_space(model: str, settings: Settings) -> Space:
    """Reads the model's manifest alone. Raises BrokenInstallation when it is not installed, or not sound."""
    entry = entry_of(model, settings.weights_dir)
    manifest = read_manifest(entry, model_folder(entry, settings.weights_dir))
    return Space(entry.name, manifest.fingerprint, manifest.dimension)


def build_version(store: Store, policy: Policy, space: Space, *, built_by: str, progress: Progress) -> Built:
    """Builds and publishes a version of everything that matches now; nothing is made current.

    Memory stays flat: vectors stream from the database to the disk. Raises BrokenIndex when a picture lacks a vector,
    or has one that cannot be indexed, naming it; and when the disk does not take the version, of which nothing is left
    then.
    """
    with drafting(store.versions_dir, dimension=space.dimension, progress=progress) as draft:
        with store.database.read() as session:
            contents = _read_contents(session, space, draft, progress)
        measured = measure(
            contents.ordinary,
            draft.vectors,
            contents.labels,
            contents.categories,
            fingerprint=space.fingerprint,
            wishes=policy.wishes,
            progress=progress,
        )
        thresholds = measured.thresholds
        manifest = draft.finish(
            model=space.model,
            fingerprint=space.fingerprint,
            sequence=contents.sequence,
            as_of=contents.as_of,
            built_by=built_by,
            attachments={} if thresholds is None else {THRESHOLDS_FILE: encode_thresholds(thresholds)},
            index_type=_index_type(store.settings.index_type),
            progress=progress,
        )
    return Built(manifest, measured)


def lacking_vectors(what: str, count: int, space: Space) -> BrokenIndex:
    return BrokenIndex(
        f"{count} {what} have no vector of model {space.model!r} ({space.fingerprint}): "
        f"embed them with scripts/reindex.py --model {space.model}"
    )


def _index_type(choice: IndexChoice) -> IndexType | None:
    return None if choice is IndexChoice.AUTO else IndexType(choice.value)


def _read_contents(session: Session, space: Space, draft: Draft, progress: Progress) -> _Contents:
    """Sequence and moment are taken first: what is committed meanwhile is followed once more, which is harmless."""
    sequence = last_sequence(session)
    as_of = now()
    blobs, lacking = calibration_blobs(session, fingerprint=space.fingerprint)
    if lacking:
        raise lacking_vectors("calibration pictures", lacking, space)
    ordinary = from_blobs(blobs, space.dimension)
    total = count_present_pictures(session)
    references = matching_references(session, moment=as_of, known_item=ReferenceKind.KNOWN_ITEM.value)
    labels = [np.empty(0, np.int32)]
    seen = 0
    progress("reading vectors", 0, total)
    for chunk in stored_vectors(session, references, fingerprint=space.fingerprint, dimension=space.dimension):
        if chunk.lacking:
            missing = count_without_vector(session, fingerprint=space.fingerprint)
            raise lacking_vectors("reference pictures", missing, space)
        draft.append(chunk.picture_ids, chunk.reference_keys, chunk.vectors)
        labels.append(chunk.labels)
        seen += chunk.seen
        progress("reading vectors", seen, total)
    return _Contents(sequence, as_of, np.concatenate(labels), references.categories, ordinary)

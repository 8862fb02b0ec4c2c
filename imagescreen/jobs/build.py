"""From stored vectors to an index version on disk: no model is loaded, no other version is opened."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from imagescreen.calibration.scale import encode_scale
from imagescreen.calibration.thresholds import Thresholds
from imagescreen.database.background_set import stored_background
from imagescreen.database.calibration_set import CalibrationSet, calibration_set
from imagescreen.database.calibration_succession import Succession
from imagescreen.database.feed import last_sequence, now
from imagescreen.database.matchable import count_without_vector
from imagescreen.database.stored_vectors import count_present_pictures, matching_references, stored_vectors
from imagescreen.database.vectors import from_blobs
from imagescreen.database.words import matching_words
from imagescreen.embedding.manifest import model_folder, read_manifest
from imagescreen.embedding.registry import entry_of
from imagescreen.errors import BrokenIndex
from imagescreen.jobs.measure import Measured, Ordinary, measure
from imagescreen.jobs.progress import Progress
from imagescreen.jobs.workbench import Store
from imagescreen.matching import Draft, IndexType, VersionManifest, WordMatcher, drafting
from imagescreen.references.facts import ReferenceKind
from imagescreen.references.words import described
from imagescreen.screening.policy import Policy
from imagescreen.settings import IndexChoice, Settings

UNCHANGED = Succession()


@dataclass(frozen=True, slots=True)
class Space:
    """The embedding space of an installed model."""

    model: str
    fingerprint: str
    dimension: int


@dataclass(frozen=True, slots=True)
class Built:
    """A version, and how its scores were measured; `packages`: ids of the calibration packages that were looked at."""

    manifest: VersionManifest
    measured: Measured
    packages: frozenset[int]

    @property
    def thresholds(self) -> Thresholds | None:
        return self.measured.thresholds


@dataclass(frozen=True, slots=True, eq=False)
class _Contents:
    """What went into the draft, the words of references, and the ordinary pictures to measure with. `labels` (n,) are
    rows of `categories`.
    """

    fingerprint: str
    sequence: int
    as_of: datetime
    labels: NDArray[np.int32]
    categories: tuple[str, ...]
    words: WordMatcher
    ordinary: Ordinary
    packages: frozenset[int]


def installed_space(model: str, settings: Settings) -> Space:
    """Reads the model's manifest alone. Raises BrokenInstallation when it is not installed, or not sound."""
    entry = entry_of(model, settings.weights_dir)
    manifest = read_manifest(entry, model_folder(entry, settings.weights_dir))
    return Space(entry.name, manifest.fingerprint, manifest.dimension)


def build_version(
    store: Store,
    policy: Policy,
    space: Space,
    *,
    built_by: str,
    succession: Succession = UNCHANGED,
    check: Callable[[Measured], None] = lambda _: None,
    progress: Progress,
) -> Built:
    """Builds and publishes a version of everything that matches now; nothing is made current.

    Thresholds are measured with the packages that are to count after `succession`. `check` may refuse what was measured
    by raising, and then nothing is published. Memory stays flat: vectors stream from the database to the disk. Raises
    BrokenIndex when a picture lacks a vector, or has one that cannot be indexed, naming it; and when the disk does not
    take the version, of which nothing is left then.
    """
    with drafting(store.versions_dir, dimension=space.dimension, progress=progress) as draft:
        with store.database.read() as session:
            contents = _read_contents(session, space, succession, draft, progress)
        measured = _measure(store, policy, draft, contents, progress)
        check(measured)
        manifest = draft.finish(
            model=space.model,
            fingerprint=space.fingerprint,
            sequence=contents.sequence,
            as_of=contents.as_of,
            built_by=built_by,
            attachments=encode_scale(measured.scale),
            index_type=_index_type(store.settings.index_type),
            progress=progress,
        )
    return Built(manifest, measured, contents.packages)


def measure_only(store: Store, policy: Policy, space: Space, ordinary: Ordinary, *, progress: Progress) -> Measured:
    """What a build would measure with these ordinary pictures in place of the stored ones; nothing is published."""
    with drafting(store.versions_dir, dimension=space.dimension, progress=progress) as draft:
        with store.database.read() as session:
            contents = _read_contents(session, space, UNCHANGED, draft, progress)
        return _measure(store, policy, draft, replace(contents, ordinary=ordinary), progress)


def stored_ordinary(session: Session, space: Space) -> Ordinary:
    """The stored packages that count, and the background. Raises BrokenIndex when a picture lacks a vector."""
    return _ordinary(session, space, calibration_set(session, UNCHANGED, fingerprint=space.fingerprint))


def _ordinary(session: Session, space: Space, packages: CalibrationSet) -> Ordinary:
    if packages.lacking:
        raise lacking_vectors("calibration pictures", packages.lacking, space)
    background = stored_background(session, fingerprint=space.fingerprint)
    if background.lacking:
        raise lacking_vectors("background pictures", background.lacking, space)
    return Ordinary(
        vectors=from_blobs(packages.vectors, space.dimension),
        sizes=np.array(packages.sizes, np.int64),
        background=from_blobs(background.vectors, space.dimension),
        names=background.names,
        sha256s=background.sha256s,
        lost=packages.lost,
    )


def _measure(store: Store, policy: Policy, draft: Draft, contents: _Contents, progress: Progress) -> Measured:
    return measure(
        contents.ordinary,
        draft.vectors,
        contents.labels,
        contents.categories,
        contents.words,
        fingerprint=contents.fingerprint,
        wishes=policy.wishes,
        near_duplicate=store.settings.near_duplicate_similarity,
        progress=progress,
    )


def lacking_vectors(what: str, count: int, space: Space) -> BrokenIndex:
    return BrokenIndex(
        f"{count} {what} have no vector of model {space.model!r} ({space.fingerprint}): "
        f"embed them with scripts/reindex.py --model {space.model}"
    )


def _index_type(choice: IndexChoice) -> IndexType | None:
    return None if choice is IndexChoice.AUTO else IndexType(choice.value)


def _read_contents(
    session: Session, space: Space, succession: Succession, draft: Draft, progress: Progress
) -> _Contents:
    """Sequence and moment are taken first: what is committed meanwhile is followed once more, which is harmless."""
    sequence = last_sequence(session)
    as_of = now()
    packages = calibration_set(session, succession, fingerprint=space.fingerprint)
    ordinary = _ordinary(session, space, packages)
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
    stored = matching_words(session, fingerprint=space.fingerprint, moment=as_of)
    # A model may have no text side, so words without a vector are no reason to build nothing.
    words = WordMatcher.of(described(stored, space.dimension), [one.reference_id for one in stored if one.lacking()])
    return _Contents(
        fingerprint=space.fingerprint,
        sequence=sequence,
        as_of=as_of,
        labels=np.concatenate(labels),
        categories=references.categories,
        words=words,
        ordinary=ordinary,
        packages=packages.members,
    )

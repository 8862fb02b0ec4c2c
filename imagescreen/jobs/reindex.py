"""Builds an index version from the database and makes it current; with another model, embeds everything first."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from imagescreen.calibration.thresholds import Thresholds, encode_thresholds, flagged_by, measure_thresholds
from imagescreen.database.calibration_set import calibration_blobs
from imagescreen.database.feed import last_sequence, lock_feed, now
from imagescreen.database.index_versions import activate_version, current_version
from imagescreen.database.matchable import count_without_vector, matching_pictures
from imagescreen.database.tables import IndexVersionRow, ReferenceRow
from imagescreen.database.vectors import from_blobs
from imagescreen.embedding.encoder import Encoder
from imagescreen.errors import BrokenIndex, Conflict, FingerprintMismatch, InvalidContent
from imagescreen.jobs.progress import Progress, silent
from imagescreen.jobs.reembed import reembed
from imagescreen.jobs.workbench import Workbench
from imagescreen.matching import VersionManifest, write_version
from imagescreen.references.facts import ReferenceKind
from imagescreen.serving.loader import THRESHOLDS_FILE

SAME_PICTURE = 0.999
"""A calibration picture this similar to a reference shows the known item itself and measures nothing."""

_BLOCK_VALUES = 16_000_000
"""Similarities held at once when ordinary pictures are compared with references (64 MB)."""


@dataclass(frozen=True, slots=True)
class Built:
    """`flagged_share`, `held_share`: what the thresholds do to the ordinary pictures over all categories together.

    `uncalibrated` says why there are no thresholds; every package goes to review then.
    """

    manifest: VersionManifest
    thresholds: Thresholds | None
    uncalibrated: str | None
    flagged_share: float
    held_share: float


@dataclass(frozen=True, slots=True)
class _Contents:
    sequence: int
    as_of: datetime
    picture_ids: NDArray[np.int64]
    reference_ids: Sequence[UUID]
    vectors: NDArray[np.float32]
    categories: dict[UUID, str]


def reindex(bench: Workbench, *, model: str | None = None, built_by: str, progress: Progress = silent) -> Built:
    """Builds and activates; this process serves the new version when it returns, others follow by the feed.

    `model`: name of the model of the new version, with which everything is embedded that is not yet; None keeps that of
    the current version. Raises BrokenIndex when a picture lacks a vector, FingerprintMismatch when the current
    version's model is not the installed one, and Conflict when another process switched the model meanwhile.
    """
    bench.follower.catch_up()
    with bench.database.read() as session:
        current = current_version(session)
    encoder = _encoder(bench, model, current)
    if model is not None:
        reembed(bench, encoder, progress)
    while True:
        built = _build(bench, encoder, built_by, progress)
        if _activate(bench, encoder, built.manifest, current, built_by):
            break
        # References were added with the old model meanwhile: a version that activates now would lose them.
        reembed(bench, encoder, progress)
    bench.follower.poll()
    return built


def _encoder(bench: Workbench, model: str | None, current: IndexVersionRow | None) -> Encoder:
    running = bench.follower.serving.current().batcher.encoder
    name = model or (running.name if current is None else current.model)
    encoder = running if running.name == name else bench.loader.encoder(name)
    if model is None and current is not None and encoder.fingerprint != current.fingerprint:
        raise FingerprintMismatch(
            f"the current index version was made with model {name!r} of fingerprint {current.fingerprint}, the one "
            f"installed has {encoder.fingerprint}: embed everything anew with scripts/reindex.py --model {name}"
        )
    return encoder


def _build(bench: Workbench, encoder: Encoder, built_by: str, progress: Progress) -> Built:
    with bench.database.read() as session:
        missing = count_without_vector(session, fingerprint=encoder.fingerprint)
        if missing:
            raise BrokenIndex(
                f"{missing} reference pictures have no vector of model {encoder.name!r} ({encoder.fingerprint}): "
                f"embed them with scripts/reindex.py --model {encoder.name}"
            )
        contents = _read_contents(session, encoder, progress)
        ordinary, lacking = calibration_blobs(session, fingerprint=encoder.fingerprint)
    if lacking:
        raise BrokenIndex(
            f"{lacking} calibration pictures have no vector of model {encoder.name!r} ({encoder.fingerprint}): "
            f"embed them with scripts/reindex.py --model {encoder.name}"
        )
    measured = _measure(bench, encoder, from_blobs(ordinary, encoder.dimension), contents)
    progress("writing the version", 0, 1)
    manifest = write_version(
        bench.loader.versions_dir,
        model=encoder.name,
        fingerprint=encoder.fingerprint,
        vectors=contents.vectors,
        picture_ids=contents.picture_ids,
        reference_ids=contents.reference_ids,
        sequence=contents.sequence,
        as_of=contents.as_of,
        built_by=built_by,
        attachments={} if measured.thresholds is None else {THRESHOLDS_FILE: encode_thresholds(measured.thresholds)},
    )
    progress("writing the version", 1, 1)
    return Built(manifest, measured.thresholds, measured.uncalibrated, measured.flagged_share, measured.held_share)


@dataclass(frozen=True, slots=True)
class _Measured:
    thresholds: Thresholds | None = None
    uncalibrated: str | None = None
    flagged_share: float = 0.0
    held_share: float = 0.0


def _measure(bench: Workbench, encoder: Encoder, ordinary: NDArray[np.float32], contents: _Contents) -> _Measured:
    if not len(ordinary):
        return _Measured(uncalibrated="there are no calibration pictures: run scripts/calibrate.py")
    best = _best_by_category(ordinary, contents)
    if best:
        ordinary_ones = np.max(np.stack(list(best.values())), axis=0) < SAME_PICTURE
        best = {category: values[ordinary_ones] for category, values in best.items()}
    try:
        thresholds = measure_thresholds(
            best,
            fingerprint=encoder.fingerprint,
            rates=bench.policy.wishes.rates,
            category_rates=bench.policy.wishes.category_rates,
        )
    except InvalidContent as error:
        return _Measured(uncalibrated=error.detail)
    return _Measured(thresholds, None, *flagged_by(best, thresholds))


def _activate(
    bench: Workbench, encoder: Encoder, manifest: VersionManifest, seen: IndexVersionRow | None, actor: str
) -> bool:
    """False when pictures came that lack a vector of the new model. `seen` was current when the job began."""
    with bench.database.write() as session:
        lock_feed(session)
        current = current_version(session)
        if (current and current.fingerprint) != (seen and seen.fingerprint):
            raise Conflict(
                f"another process switched to model {current.model if current else None!r} meanwhile: "
                "what was built is not made current; run the command again"
            )
        if count_without_vector(session, fingerprint=encoder.fingerprint):
            return False
        if session.get(IndexVersionRow, manifest.version) is None:
            session.add(
                IndexVersionRow(
                    version=manifest.version,
                    model=manifest.model,
                    fingerprint=manifest.fingerprint,
                    sequence=manifest.sequence,
                    manifest=msgspec.to_builtins(manifest),
                    built_at=manifest.built_at,
                )
            )
            session.flush()
        activate_version(session, manifest.version, actor=actor)
    return True


def _read_contents(session: Session, encoder: Encoder, progress: Progress) -> _Contents:
    """Sequence and moment are taken first: what is committed meanwhile is followed once more, which is harmless."""
    sequence = last_sequence(session)
    as_of = now()
    picture_ids: list[int] = []
    reference_ids: list[UUID] = []
    vectors: list[NDArray[np.float32]] = []
    for chunk in matching_pictures(session, fingerprint=encoder.fingerprint, moment=as_of):
        picture_ids.extend(row[0] for row in chunk)
        reference_ids.extend(row[1] for row in chunk)
        vectors.append(from_blobs([row[2] for row in chunk], encoder.dimension))
        progress("reading vectors", len(picture_ids), len(picture_ids))
    rows = session.execute(
        select(ReferenceRow.id, ReferenceRow.category).where(
            ReferenceRow.kind == ReferenceKind.KNOWN_ITEM.value, ReferenceRow.category.is_not(None)
        )
    )
    return _Contents(
        sequence=sequence,
        as_of=as_of,
        picture_ids=np.array(picture_ids, dtype=np.int64),
        reference_ids=reference_ids,
        vectors=np.concatenate(vectors) if vectors else np.empty((0, encoder.dimension), np.float32),
        categories={row[0]: row[1] for row in rows},
    )


def _best_by_category(ordinary: NDArray[np.float32], contents: _Contents) -> dict[str, NDArray[np.float32]]:
    """For each category: (n,) best similarity of each ordinary picture to its references' pictures."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, reference_id in enumerate(contents.reference_ids):
        category = contents.categories.get(reference_id)
        if category is not None:
            rows[category].append(row)
    best: dict[str, NDArray[np.float32]] = {}
    for category, chosen in sorted(rows.items()):
        highest = np.full(len(ordinary), -1.0, np.float32)
        step = max(1, _BLOCK_VALUES // len(ordinary))
        for start in range(0, len(chosen), step):
            block = contents.vectors[chosen[start : start + step]]
            np.maximum(highest, (ordinary @ block.T).max(axis=1), out=highest)
        best[category] = highest
    return best

"""Embeds every stored picture with another model. What is embedded stays, so it can be interrupted and go on."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from imagescreen.database.background_set import (
    background_pictures_without_vector,
    count_background_pictures_without_vector,
)
from imagescreen.database.calibration_set import (
    calibration_pictures_without_vector,
    count_calibration_pictures_without_vector,
)
from imagescreen.database.feed import lock_feed
from imagescreen.database.matchable import count_without_vector, pictures_without_vector
from imagescreen.database.tables import BackgroundVectorRow, CalibrationVectorRow, ReferenceVectorRow
from imagescreen.database.vectors import to_blob
from imagescreen.database.words import phrases_without_vector
from imagescreen.embedding.encoder import Encoder
from imagescreen.embedding.model_config import Pixels
from imagescreen.errors import BrokenInstallation, ImagescreenError
from imagescreen.jobs.progress import Progress
from imagescreen.jobs.workbench import Workbench
from imagescreen.references.words import embed_phrases

CHUNK = 64
"""Pictures in one commit, and in one batch of the model."""


@dataclass(frozen=True, slots=True)
class _Task:
    """One table of pictures: what lacks a vector, after a key, and how a vector is stored."""

    what: str
    count: Callable[[Session], int]
    pending: Callable[[Session, int], Sequence[tuple[int, str]]]
    make_row: Callable[[int, bytes], ReferenceVectorRow | CalibrationVectorRow | BackgroundVectorRow]


def reembed(bench: Workbench, encoder: Encoder, progress: Progress) -> int:
    """Gives every reference, calibration and background picture whose bytes are kept a vector of `encoder`, and the
    phrases of described references where it has a text side, and returns how many lacked one.

    Raises BrokenInstallation that names the picture whose stored bytes are gone or damaged.
    """
    fingerprint = encoder.fingerprint
    references = _Task(
        "references",
        lambda session: count_without_vector(session, fingerprint=fingerprint),
        lambda session, after: pictures_without_vector(session, fingerprint=fingerprint, after=after, limit=CHUNK),
        lambda key, vector: ReferenceVectorRow(reference_picture_id=key, fingerprint=fingerprint, vector=vector),
    )
    ordinary = _Task(
        "calibration pictures",
        lambda session: count_calibration_pictures_without_vector(session, fingerprint=fingerprint),
        lambda session, after: calibration_pictures_without_vector(
            session, fingerprint=fingerprint, after=after, limit=CHUNK
        ),
        lambda key, vector: CalibrationVectorRow(calibration_picture_id=key, fingerprint=fingerprint, vector=vector),
    )
    background = _Task(
        "background pictures",
        lambda session: count_background_pictures_without_vector(session, fingerprint=fingerprint),
        lambda session, after: background_pictures_without_vector(
            session, fingerprint=fingerprint, after=after, limit=CHUNK
        ),
        lambda key, vector: BackgroundVectorRow(background_picture_id=key, fingerprint=fingerprint, vector=vector),
    )
    pictures = sum(_embed_all(bench, encoder, task, progress) for task in (references, ordinary, background))
    return pictures + (_embed_phrases(bench, encoder, progress) if encoder.has_text else 0)


def _embed_phrases(bench: Workbench, encoder: Encoder, progress: Progress) -> int:
    with bench.database.read() as session:
        missing = phrases_without_vector(session, fingerprint=encoder.fingerprint)
    for start in range(0, len(missing), CHUNK):
        vectors = embed_phrases(encoder, missing[start : start + CHUNK])
        with bench.database.write() as session:
            lock_feed(session)
            vectors.store(session)
        progress(f"embedding words with {encoder.name}", min(start + CHUNK, len(missing)), len(missing))
    return len(missing)


def _embed_all(bench: Workbench, encoder: Encoder, task: _Task, progress: Progress) -> int:
    """Once through the table by key; what is added behind is found as well, since keys only grow."""
    with bench.database.read() as session:
        total = task.count(session)
    done = last = 0
    with ThreadPoolExecutor(bench.settings.decode_threads or 1) as decoders:
        while True:
            with bench.database.read() as session:
                chunk = task.pending(session, last)
            if not chunk:
                return done
            pictures = list(decoders.map(lambda item: _prepare(bench, encoder, *item), chunk))
            vectors = _encode(encoder, chunk, pictures)
            with bench.database.write() as session:
                for (key, _), vector in zip(chunk, vectors, strict=True):
                    session.merge(task.make_row(key, to_blob(vector)))
            last = chunk[-1][0]
            done += len(chunk)
            progress(f"embedding {task.what} with {encoder.name}", done, max(total, done))


def _prepare(bench: Workbench, encoder: Encoder, key: int, sha256: str) -> Pixels:
    try:
        data = bench.files.get(sha256)
        header = bench.reader.header(data)
        if header.sha256 != sha256:
            raise BrokenInstallation("its content is not what its name says")
        return encoder.preprocess(bench.reader.read(data, header, reduce_to=encoder.input_side).image)
    except ImagescreenError as error:
        raise _unembeddable(key, sha256, error) from error


def _encode(
    encoder: Encoder, chunk: Sequence[tuple[int, str]], pictures: Sequence[Pixels]
) -> Sequence[NDArray[np.float32]]:
    try:
        return list(encoder.encode(np.stack(pictures)))
    except ImagescreenError:
        # One by one, to find the picture that the model cannot take.
        vectors = []
        for (key, sha256), pixels in zip(chunk, pictures, strict=True):
            try:
                vectors.append(encoder.encode(pixels[np.newaxis])[0])
            except ImagescreenError as error:
                raise _unembeddable(key, sha256, error) from error
        return vectors


def _unembeddable(key: int, sha256: str, error: ImagescreenError) -> BrokenInstallation:
    return BrokenInstallation(f"stored picture {key} (sha256 {sha256}) cannot be embedded: {error.detail}")

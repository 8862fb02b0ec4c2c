"""Embeds every stored picture with another model. What is embedded stays, so it can be interrupted and go on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from imagescreen.database.calibration_set import calibration_pictures_without_vector
from imagescreen.database.matchable import pictures_without_vector
from imagescreen.database.tables import CalibrationVectorRow, ReferenceVectorRow
from imagescreen.database.vectors import to_blob
from imagescreen.embedding.encoder import Encoder
from imagescreen.errors import BrokenInstallation, ImagescreenError
from imagescreen.jobs.progress import Progress
from imagescreen.jobs.workbench import Workbench

CHUNK = 64
"""Pictures in one commit."""


@dataclass(frozen=True, slots=True)
class _Task:
    """One table of pictures: what lacks a vector, and how a vector is stored."""

    what: str
    pending: Callable[[Session, int], Sequence[tuple[int, str]]]
    make_row: Callable[[int, bytes], ReferenceVectorRow | CalibrationVectorRow]


def reembed(bench: Workbench, encoder: Encoder, progress: Progress) -> None:
    """Gives every reference and calibration picture a vector of `encoder`.

    Raises BrokenInstallation that names the picture whose stored bytes are gone or damaged.
    """
    fingerprint = encoder.fingerprint
    references = _Task(
        "references",
        lambda session, limit: pictures_without_vector(session, fingerprint=fingerprint, limit=limit),
        lambda key, vector: ReferenceVectorRow(reference_picture_id=key, fingerprint=fingerprint, vector=vector),
    )
    ordinary = _Task(
        "calibration pictures",
        lambda session, limit: calibration_pictures_without_vector(session, fingerprint=fingerprint, limit=limit),
        lambda key, vector: CalibrationVectorRow(calibration_picture_id=key, fingerprint=fingerprint, vector=vector),
    )
    for task in (references, ordinary):
        _embed_all(bench, encoder, task, progress)


def _embed_all(bench: Workbench, encoder: Encoder, task: _Task, progress: Progress) -> None:
    with bench.database.read() as session:
        total = len(task.pending(session, 1 << 31))
    done = 0
    while True:
        with bench.database.read() as session:
            chunk = task.pending(session, CHUNK)
        if not chunk:
            return
        vectors = [_embed(bench, encoder, key, sha256) for key, sha256 in chunk]
        with bench.database.write() as session:
            for (key, _), vector in zip(chunk, vectors, strict=True):
                session.merge(task.make_row(key, vector))
        done += len(chunk)
        progress(f"embedding {task.what} with {encoder.name}", done, max(total, done))


def _embed(bench: Workbench, encoder: Encoder, key: int, sha256: str) -> bytes:
    try:
        data = bench.files.get(sha256)
        header = bench.reader.header(data)
        if header.sha256 != sha256:
            raise BrokenInstallation("its content is not what its name says")
        picture = bench.reader.read(data, header, reduce_to=encoder.input_side)
        return to_blob(encoder.encode(encoder.preprocess(picture.image)[None])[0])
    except ImagescreenError as error:
        raise BrokenInstallation(
            f"stored picture {key} (sha256 {sha256}) cannot be embedded: {error.detail}"
        ) from error

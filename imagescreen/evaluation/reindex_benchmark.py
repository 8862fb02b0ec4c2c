"""How long a reindex takes: a database of synthetic references, and the script run on it as an operator runs it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert
from uuid_utils.compat import uuid7

from imagescreen.database.feed import ChangeKind, now
from imagescreen.database.session import Database
from imagescreen.database.tables import (
    Base,
    CalibrationPictureRow,
    CalibrationVectorRow,
    ChangeRow,
    ReferencePictureRow,
    ReferenceRow,
    ReferenceVectorRow,
)
from imagescreen.errors import ImagescreenError

SEED = 20_260_101
PICTURES_A_REFERENCE = 4
CATEGORIES = ("counterfeit", "prohibited", "recalled", "restricted")
_REFERENCES_A_COMMIT = 10_000

Progress = Callable[[str, int, int], None]


class BenchmarkFailed(ImagescreenError):
    """What was to be measured did not happen."""

    code = "benchmark-failed"
    title = "The benchmark failed"


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of scripts/reindex.py: seconds in all and by stage, and the most memory that the process held."""

    pictures: int
    ordinary: int
    threads: int
    wall_s: float
    peak_mib: int
    stages: Mapping[str, float]


def fill(
    database: Database,
    *,
    pictures: int,
    ordinary: int,
    fingerprint: str,
    dimension: int,
    progress: Progress,
    seed: int = SEED,
) -> None:
    """Writes `pictures` reference pictures, four to a reference, and `ordinary` calibration pictures into an empty,
    migrated database, each with a vector drawn uniformly from the unit sphere. There are no picture files.
    """
    draw = _unit_vectors(np.random.default_rng(seed), dimension)
    references = -(-pictures // PICTURES_A_REFERENCE)
    for start in range(0, references, _REFERENCES_A_COMMIT):
        numbers = range(start, min(start + _REFERENCES_A_COMMIT, references))
        _write_references(database, numbers, pictures, fingerprint=fingerprint, draw=draw)
        progress("writing references", numbers.stop, references)
    with database.write() as session:
        moment = now()
        for key in range(1, ordinary + 1):
            session.add(
                CalibrationPictureRow(
                    id=key, sha256=_sha256(pictures + key), size_bytes=1, source="synthetic", created_at=moment
                )
            )
        session.flush()
        session.add_all(
            CalibrationVectorRow(calibration_picture_id=key, fingerprint=fingerprint, vector=vector.tobytes())
            for key, vector in enumerate(draw(ordinary), start=1)
        )


def _write_references(
    database: Database,
    numbers: range,
    pictures: int,
    *,
    fingerprint: str,
    draw: Callable[[int], NDArray[np.float32]],
) -> None:
    moment = now()
    references: list[dict[str, object]] = []
    rows: list[dict[str, object]] = []
    for number in numbers:
        reference_id = uuid7()
        references.append(
            {
                "id": reference_id,
                "kind": "known_item",
                "title": f"synthetic {number}",
                "category": CATEGORIES[number % len(CATEGORIES)],
                "severity": "medium",
                "suggested_action": "hold",
                "state": "active",
                "rights": [],
                "agencies": [],
                "hts_prefixes": [],
                "look_alikes": [],
                "created_at": moment,
                "updated_at": moment,
            }
        )
        first = number * PICTURES_A_REFERENCE + 1
        rows.extend(
            {
                "id": key,
                "reference_id": reference_id,
                "sha256": _sha256(key),
                "size_bytes": 1,
                "width": 1,
                "height": 1,
                "format": "jpeg",
                "created_at": moment,
            }
            for key in range(first, min(first + PICTURES_A_REFERENCE, pictures + 1))
        )
    vectors = draw(len(rows))
    with database.write() as session:
        for table, values in (
            (ReferenceRow, references),
            (ReferencePictureRow, rows),
            (
                ReferenceVectorRow,
                [
                    {"reference_picture_id": row["id"], "fingerprint": fingerprint, "vector": vector.tobytes()}
                    for row, vector in zip(rows, vectors, strict=True)
                ],
            ),
            (ChangeRow, [_change(reference, moment) for reference in references]),
        ):
            assert issubclass(table, Base)
            session.execute(insert(table), values)


def _change(reference: Mapping[str, object], moment: object) -> dict[str, object]:
    return {"kind": ChangeKind.REFERENCE_ADDED.value, "reference_id": reference["id"], "details": {}, "at": moment}


def _unit_vectors(random: np.random.Generator, dimension: int) -> Callable[[int], NDArray[np.float32]]:
    def draw(count: int) -> NDArray[np.float32]:
        vectors = random.standard_normal((count, dimension), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    return draw


def _sha256(number: int) -> str:
    return f"{number:064x}"

"""An evaluation as one JSON document."""

from collections.abc import Sequence

import msgspec

from imagescreen.evaluation.promise import Cell, Promise, pooled_rate
from imagescreen.evaluation.quality import Quality
from imagescreen.evaluation.quality_report import Heading


class Rejected(msgspec.Struct, frozen=True):
    picture: str
    why: str


class KeptPromise(msgspec.Struct, frozen=True):
    """A promise with its cells, and how many of those are inside their interval."""

    name: str
    rate: float
    cells: Sequence[Cell]
    inside: int
    pooled_rate: float
    pooled_low: float
    pooled_high: float


class Document(msgspec.Struct, frozen=True):
    heading: Heading
    tasks: Sequence[Quality]
    promises: Sequence[KeptPromise]
    remarks: Sequence[str]
    rejected: Sequence[Rejected]


def document(
    heading: Heading,
    qualities: Sequence[Quality],
    promises: Sequence[Promise],
    remarks: Sequence[str],
    rejected: Sequence[tuple[str, str]],
) -> bytes:
    """Indented JSON in UTF-8; `Document` decodes it."""
    kept = [
        KeptPromise(
            promise.name,
            promise.rate,
            promise.cells,
            promise.inside,
            pooled.rate,
            pooled.low,
            pooled.high,
        )
        for promise, pooled in ((promise, pooled_rate([promise])) for promise in promises)
    ]
    told = Document(heading, qualities, kept, remarks, [Rejected(name, why) for name, why in rejected])
    return msgspec.json.format(msgspec.json.encode(told)) + b"\n"

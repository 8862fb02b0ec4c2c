"""References that partners share as hashes, without pictures: a CSV of PDQ or sha256 with the catalogue's columns."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from imagescreen.database.feed import ChangeKind, append_change, lock_feed, now
from imagescreen.database.session import Database
from imagescreen.database.tables import ReferenceHashRow, ReferenceRow
from imagescreen.errors import InvalidContent
from imagescreen.pictures import MIN_PDQ_QUALITY
from imagescreen.references.facts import FACT_NAMES, WORD_NAMES, ReferenceFacts, facts_from_columns
from imagescreen.references.offers import FLAT_RIGHT_COLUMNS, read_csv
from imagescreen.references.stored import columns_of

HASH_COLUMNS = ("pdq", "sha256", "quality")
# Words need a model, and this loads none.
COLUMNS = (*(name for name in FACT_NAMES if name not in WORD_NAMES), *FLAT_RIGHT_COLUMNS, *HASH_COLUMNS)
ROWS_A_COMMIT = 100

_HEX = re.compile(r"[0-9a-f]{64}")
_LEAST_BITS = 64
"""Half of a PDQ hash's 256 bits are set, by its definition; a hash that is far from it belongs to no picture."""


@dataclass(frozen=True, slots=True)
class HashOffer:
    """One row: where it was told, the facts of its reference, and its hashes, at least one of them."""

    name: str
    facts: ReferenceFacts
    sha256: str | None
    pdq: bytes | None
    quality: int | None


@dataclass(slots=True)
class HashReport:
    """What became of the rows. `rejected` is (row, why)."""

    added: int = 0
    extended: int = 0
    skipped: int = 0
    rejected: list[tuple[str, str]] = field(default_factory=list)


def hash_offers_of(source: Path, columns: dict[str, str]) -> Iterator[tuple[str, HashOffer | InvalidContent]]:
    """Every row by its name. `columns` are facts for all rows that do not tell their own.

    Raises WrongUse when the file cannot be read as a whole, e.g. for an unknown column.
    """
    for number, row in read_csv(source, COLUMNS, required=()):
        name = f"row {number}"
        try:
            yield name, _offer(name, {**columns, **{key: cell for key, cell in row.items() if cell.strip()}})
        except InvalidContent as error:
            yield name, error


def _offer(name: str, told: dict[str, str]) -> HashOffer:
    sha256, pdq, quality = (told.pop(column, "").strip().lower() for column in ("sha256", "pdq", "quality"))
    for column, cell in (("sha256", sha256), ("pdq", pdq)):
        if cell and not _HEX.fullmatch(cell):
            raise InvalidContent(f"`{column}` must be 64 hexadecimal digits, not {cell[:80]!r}")
    if not sha256 and not pdq:
        raise InvalidContent("neither `pdq` nor `sha256` is told: at least one is needed")
    told_quality = _quality(quality)
    bits = None if not pdq else bytes.fromhex(pdq)
    if bits is not None and not _LEAST_BITS <= int.from_bytes(bits, "big").bit_count() <= 256 - _LEAST_BITS:
        raise InvalidContent("`pdq` is no hash of a picture with something on it: about half of its bits must be set")
    if told_quality is not None and told_quality < MIN_PDQ_QUALITY and not sha256:
        raise InvalidContent(
            f"`quality` is {told_quality}: PDQ hashes below {MIN_PDQ_QUALITY} match what they should not, "
            "and there is no `sha256`"
        )
    facts = facts_from_columns(told)
    if facts.source is None or facts.source_reference is None:
        raise InvalidContent("`source` and `source_reference` are required: they tell whether a row is there already")
    return HashOffer(name, facts, sha256 or None, bits, told_quality)


def _quality(cell: str) -> int | None:
    if not cell:
        return None
    if not re.fullmatch(r"[0-9]{1,3}", cell) or int(cell) > 100:
        raise InvalidContent(f"`quality` must be a whole number from 0 to 100, not {cell[:80]!r}")
    return int(cell)


def import_hashes(database: Database, offers: Sequence[HashOffer], report: HashReport) -> None:
    """Adds up to `ROWS_A_COMMIT` rows in one commit.

    Rows with one `source` and `source_reference` are one reference; hashes that it has already change nothing, so the
    same file may be imported again and again.
    """
    with database.write() as session:
        lock_feed(session)
        known = _references_of(session, offers)
        for offer in offers:
            try:
                _import(session, offer, known[_origin(offer)], report)
            except InvalidContent as error:
                report.rejected.append((offer.name, error.detail))


def _origin(offer: HashOffer) -> tuple[str | None, str | None]:
    return offer.facts.source, offer.facts.source_reference


def _references_of(
    session: Session, offers: Sequence[HashOffer]
) -> Mapping[tuple[str | None, str | None], list[ReferenceRow]]:
    """What there is already, by `source` and `source_reference`; at once, since a look goes through all references."""
    known: dict[tuple[str | None, str | None], list[ReferenceRow]] = {_origin(offer): [] for offer in offers}
    origin = tuple_(ReferenceRow.source, ReferenceRow.source_reference)
    for row in session.scalars(select(ReferenceRow).where(origin.in_(known))):
        known[row.source, row.source_reference].append(row)
    return known


def _import(session: Session, offer: HashOffer, rows: list[ReferenceRow], report: HashReport) -> None:
    """`rows` are the references of the offer's origin; a new one is put there."""
    facts = offer.facts
    if len(rows) > 1:
        raise InvalidContent(
            f"{len(rows)} references have the source {facts.source!r} and the source reference "
            f"{facts.source_reference!r}: it is not clear which one this is"
        )
    moment = now()
    if rows:
        (row,) = rows
        if row.title != facts.title:
            raise InvalidContent(f"reference {row.id} of the same source reference has another title: {row.title!r}")
        same = select(ReferenceHashRow.id).where(
            ReferenceHashRow.reference_id == row.id,
            ReferenceHashRow.reference_picture_id.is_(None),
            ReferenceHashRow.sha256.is_(None) if offer.sha256 is None else ReferenceHashRow.sha256 == offer.sha256,
            ReferenceHashRow.pdq.is_(None) if offer.pdq is None else ReferenceHashRow.pdq == offer.pdq,
        )
        if session.scalar(same.limit(1)) is not None:
            report.skipped += 1
            return
        kind = ChangeKind.HASHES_ADDED
        row.updated_at = moment
        report.extended += 1
    else:
        row = ReferenceRow(**columns_of(facts), created_at=moment, updated_at=moment)
        session.add(row)
        session.flush()
        rows.append(row)
        kind = ChangeKind.REFERENCE_ADDED
        report.added += 1
    session.add(
        ReferenceHashRow(
            reference_id=row.id, sha256=offer.sha256, pdq=offer.pdq, quality=offer.quality, created_at=moment
        )
    )
    told = {"sha256": offer.sha256, "pdq": None if offer.pdq is None else offer.pdq.hex()}
    append_change(session, kind, reference_id=row.id, actor=facts.submitted_by, details=told)

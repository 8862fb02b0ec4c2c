"""Which of the stored packages of ordinary goods count: a calibration's as a whole, from an activation on.

Packages are stored some at a time, and counting is what makes them part of the set, so that a calibration that ends at
any moment leaves the set before it or the set after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from imagescreen.database.tables import CalibrationPackageRow

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Succession:
    """Which packages count from an activation on: those of `contents`, and those that count already unless it
    `replaces` them. The default changes nothing.
    """

    contents: frozenset[str] = frozenset()
    replaces: bool = False

    def includes(self, content: str, counts: bool) -> bool:
        return content in self.contents or (counts and not self.replaces)


def counting_packages(session: Session) -> set[str]:
    """Contents of the packages that count."""
    return set(session.scalars(select(CalibrationPackageRow.content).where(CalibrationPackageRow.counts.is_(True))))


def members_of(session: Session, succession: Succession) -> frozenset[int]:
    """The ids of the packages that would count after it."""
    rows = session.execute(
        select(CalibrationPackageRow.id, CalibrationPackageRow.content, CalibrationPackageRow.counts)
    )
    return frozenset(key for key, content, counts in rows if succession.includes(content, counts))


def succeed(session: Session, succession: Succession) -> None:
    """From the end of the transaction on, other packages count; milliseconds for tens of thousands."""
    if succession.replaces:
        _set_counts(session, CalibrationPackageRow.counts.is_(True), counts=False)
    contents = sorted(succession.contents)
    for start in range(0, len(contents), _CHUNK):
        chosen = contents[start : start + _CHUNK]
        _set_counts(session, CalibrationPackageRow.content.in_(chosen), counts=True)


def packages_left_over(session: Session, *, limit: int) -> Sequence[str]:
    """Contents of packages that do not count."""
    without = select(CalibrationPackageRow.content).where(CalibrationPackageRow.counts.is_(False))
    return session.scalars(without.limit(limit)).all()


def _set_counts(session: Session, which: ColumnElement[bool], *, counts: bool) -> None:
    session.execute(
        update(CalibrationPackageRow).where(which).values(counts=counts),
        execution_options={"synchronize_session": False},
    )

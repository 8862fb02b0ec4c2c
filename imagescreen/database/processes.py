"""Which server processes run, and what each of them serves: rows that every process renews every few seconds."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from imagescreen.database.tables import ChangeRow, ServerProcessRow

FORGOTTEN_AFTER = timedelta(minutes=1)
"""A process that was not seen for so long is taken for dead; the usual pause between two reports is two seconds."""


class ProcessReport(msgspec.Struct, frozen=True):
    """What one server process serves.

    `feed_behind_s` is the time since its last successful look at the change feed. `loading` names the version that it
    is about to switch to, and `problem` says why it does not serve what is current.
    """

    id: UUID
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    version: str | None
    model: str
    fingerprint: str
    sequence: int
    references: int
    pictures: int
    changes_since_version: int
    feed_behind_s: float
    loading: str | None
    problem: str | None


def report_process(session: Session, report: ProcessReport) -> None:
    """Puts a report in the place of the process's last one, and drops those of processes that are gone."""
    session.execute(delete(ServerProcessRow).where(ServerProcessRow.seen_at < report.seen_at - FORGOTTEN_AFTER))
    session.merge(ServerProcessRow(**msgspec.structs.asdict(report)))


def remove_process(session: Session, process_id: UUID) -> None:
    session.execute(delete(ServerProcessRow).where(ServerProcessRow.id == process_id))


def live_processes(session: Session, *, moment: datetime) -> list[ProcessReport]:
    """The processes that were seen within the last minute before `moment`, by host and process id."""
    rows = session.scalars(
        select(ServerProcessRow)
        .where(ServerProcessRow.seen_at >= moment - FORGOTTEN_AFTER)
        .order_by(ServerProcessRow.host, ServerProcessRow.pid, ServerProcessRow.id)
    )
    return [ProcessReport(**{name: getattr(row, name) for name in ProcessReport.__struct_fields__}) for row in rows]


def served_versions(session: Session, *, moment: datetime) -> set[str]:
    """The index versions that live processes serve or are loading: these must not be deleted."""
    reports = live_processes(session, moment=moment)
    return {name for report in reports for name in (report.version, report.loading) if name is not None}


def entries_after(session: Session, sequence: int) -> tuple[int, datetime | None]:
    """How many entries the change feed has after a sequence number, and when the oldest of them was committed."""
    count, oldest = session.execute(
        select(func.count(), func.min(ChangeRow.at)).where(ChangeRow.sequence > sequence)
    ).one()
    return count, oldest

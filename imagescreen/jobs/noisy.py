"""Finds references that flag too much, and quarantines them: they still match, and lead to review at most.

A job and not a part of screening: it reads the answers and reviews that are stored, so it costs a screening nothing,
and what it decides reaches every server process by the change feed.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import NormalDist
from uuid import UUID

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from imagescreen.database.feed import ChangeKind, append_change, lock_feed, now
from imagescreen.database.tables import QuarantineRow, ReferenceRow, ScreeningRow
from imagescreen.errors import NotFound
from imagescreen.jobs.workbench import Store
from imagescreen.screening.answer import Disposition, Reason
from imagescreen.screening.disposition import FLAGGING_CODES
from imagescreen.screening.policy import NoisyRules, Policy
from imagescreen.screening.record import Decision, latest_decision


class ReferenceCounts(msgspec.Struct, frozen=True):
    """Of the packages screened in the window: how many the reference flagged, and their latest reviews.

    `expected`: how many packages all references together may flag falsely, by the promised rate.
    """

    screened: int
    flagged: int
    confirmed: int
    dismissed: int
    expected: float


class Noisy(msgspec.Struct, frozen=True):
    """A reference in quarantine; `trusted_at` when a person has lifted it since."""

    reference_id: UUID
    title: str
    why: str
    counts: ReferenceCounts
    quarantined_at: datetime
    trusted_at: datetime | None


@dataclass(slots=True)
class _Tally:
    """Moments of the screenings that a reference flagged, with their latest decision."""

    flagged: list[tuple[datetime, Decision | None]] = field(default_factory=list)


def judge(counts: ReferenceCounts, rules: NoisyRules) -> str | None:
    """Why a reference is noisy, in words; None when it is not.

    What people confirm is no noise: with a tenth of its reviews confirmed, a reference is never noisy.
    """
    reviewed = counts.confirmed + counts.dismissed
    if reviewed and counts.confirmed >= rules.confirmed_share * reviewed:
        return None
    if counts.dismissed >= rules.least_dismissed:
        return f"reviews dismissed {counts.dismissed} of the packages that it flagged and confirmed {counts.confirmed}"
    limit = poisson_limit(counts.expected, rules.chance)
    if counts.flagged >= rules.least_flagged and counts.flagged > limit:
        return (
            f"it flagged {counts.flagged} of {counts.screened} packages, where all references together may flag "
            f"{counts.expected:.1f} by the promised rate, and more than {limit} in fewer than one of "
            f"{1 / rules.chance:,.0f} such periods"
        )
    return None


def poisson_limit(expected: float, chance: float) -> int:
    """The least number that a Poisson count of mean `expected` exceeds with a probability of at most `chance`."""
    number, below = 0, math.exp(-expected) if expected < 700 else 0.0
    if not below:
        # Far from zero the normal approximation will do, with a term for the skewness (Cornish and Fisher, 1938).
        z = NormalDist().inv_cdf(1 - chance)
        return math.ceil(expected + z * math.sqrt(expected) + (z * z - 1) / 6 + 1)
    term = below
    while 1 - below > chance:
        number += 1
        term *= expected / number
        below += term
    return number


def update_noisy(store: Store, policy: Policy, *, moment: datetime | None = None) -> list[Noisy]:
    """Counts anew over the policy's window; returns what went into quarantine now.

    A reference that is in quarantine stays there, with new counts, until a person trusts it; from then on only what
    was screened later counts against it.
    """
    rules, moment = policy.wishes.noisy, moment or now()
    since = moment - timedelta(days=rules.window_days)
    with store.database.read() as session:
        tallies = _tallies(session, since)
        known = {row.reference_id: row for row in session.scalars(select(QuarantineRow))}
        starts = {since} | {_start(since, row) for row in known.values()}
        screened = {start: _screened(session, start) for start in starts}
    # What is in quarantine and flags nothing any more has new counts too.
    tallies |= {reference_id: _Tally() for reference_id in known if reference_id not in tallies}
    quarantined: list[UUID] = []
    with store.database.write() as session:
        lock_feed(session)
        for reference_id, tally in sorted(tallies.items()):
            before = known.get(reference_id)
            start = _start(since, before)
            counts = _counts(tally, screened[start], policy.wishes.rates.review, since=start)
            if before is not None and before.trusted_at is None:
                session.get_one(QuarantineRow, reference_id).counts = msgspec.to_builtins(counts)
                continue
            why = judge(counts, rules)
            if why is None:
                continue
            session.merge(
                QuarantineRow(
                    reference_id=reference_id,
                    why=why,
                    counts=msgspec.to_builtins(counts),
                    quarantined_at=moment,
                    trusted_at=None,
                    trusted_by=None,
                )
            )
            append_change(session, ChangeKind.REFERENCE_QUARANTINED, reference_id=reference_id, details={"why": why})
            quarantined.append(reference_id)
    listed = noisy_references(store)
    return [one for one in listed if one.reference_id in quarantined]


def noisy_references(store: Store) -> list[Noisy]:
    """All that are or were in quarantine, those that still are first."""
    with store.database.read() as session:
        rows = session.execute(
            select(QuarantineRow, ReferenceRow.title)
            .join(ReferenceRow, ReferenceRow.id == QuarantineRow.reference_id)
            .order_by(QuarantineRow.trusted_at.is_not(None), QuarantineRow.quarantined_at, QuarantineRow.reference_id)
        ).all()
    return [
        Noisy(
            row.reference_id,
            title,
            row.why,
            msgspec.convert(row.counts, ReferenceCounts),
            row.quarantined_at,
            row.trusted_at,
        )
        for row, title in rows
    ]


def trust(store: Store, reference_id: UUID, *, actor: str | None = None) -> None:
    """Lifts the quarantine of a reference. Raises NotFound when it is in none."""
    with store.database.write() as session:
        lock_feed(session)
        row = session.get(QuarantineRow, reference_id)
        if row is None or row.trusted_at is not None:
            raise NotFound(f"reference {reference_id} is not in quarantine")
        row.trusted_at, row.trusted_by = now(), actor
        append_change(session, ChangeKind.REFERENCE_TRUSTED, reference_id=reference_id, actor=actor)


def _tallies(session: Session, since: datetime) -> dict[UUID, _Tally]:
    tallies: dict[UUID, _Tally] = {}
    for screened_at, answer, decision in _flagged(session, since):
        reasons = msgspec.json.decode(answer, type=_Reasons).reasons
        told = {reason.reference_id for reason in reasons if reason.code in FLAGGING_CODES}
        for reference_id in told - {None}:
            assert reference_id is not None
            tally = tallies.setdefault(reference_id, _Tally())
            tally.flagged.append((screened_at, None if decision is None else Decision(decision)))
    return tallies


class _Reasons(msgspec.Struct, frozen=True):
    """As much of a stored answer as is needed."""

    reasons: list[Reason]


def _flagged(session: Session, since: datetime) -> Iterator[tuple[datetime, str, str | None]]:
    rows = session.execute(
        select(ScreeningRow.screened_at, ScreeningRow.answer, latest_decision())
        .where(
            ScreeningRow.screened_at >= since,
            ScreeningRow.disposition.in_([Disposition.REVIEW.value, Disposition.HOLD.value]),
        )
        .execution_options(yield_per=1000)
    )
    for row in rows:
        yield row[0], row[1], row[2]


def _start(since: datetime, known: QuarantineRow | None) -> datetime:
    """From when on a reference is counted: from its last trust, when that is later."""
    return since if known is None or known.trusted_at is None else max(since, known.trusted_at)


def _screened(session: Session, since: datetime) -> int:
    return session.scalar(select(func.count()).where(ScreeningRow.screened_at >= since)) or 0


def _counts(tally: _Tally, screened: int, rate: float, *, since: datetime) -> ReferenceCounts:
    counted = [decision for at, decision in tally.flagged if at >= since]
    return ReferenceCounts(
        screened=screened,
        flagged=len(counted),
        confirmed=counted.count(Decision.CONFIRMED),
        dismissed=counted.count(Decision.DISMISSED),
        expected=screened * rate,
    )

"""Which references flag too much, by what was screened and reviewed."""

import math
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from imagescreen.database.feed import now
from imagescreen.database.tables import ReferenceRow, ReviewRow, ScreeningRow
from imagescreen.errors import NotFound
from imagescreen.jobs.noisy import ReferenceCounts, judge, noisy_references, poisson_limit, trust, update_noisy
from imagescreen.jobs.workbench import Store, open_store
from imagescreen.references.stored import columns_of
from imagescreen.screening.answer import Reason, ReasonCode
from imagescreen.screening.policy import NoisyRules, read_policy, record_policy
from tests.conftest import settings_of
from tests.material import facts

POLICY = read_policy(None)
RULES = NoisyRules()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(settings_of(tmp_path)) as opened:
        record_policy(opened.database, POLICY)
        yield opened


def new_reference(store: Store) -> UUID:
    reference_id = uuid4()
    with store.database.write() as session:
        moment = now()
        session.add(ReferenceRow(id=reference_id, **columns_of(facts()), created_at=moment, updated_at=moment))
    return reference_id


def screened(store: Store, count: int, *flagged_by: UUID, days_ago: float = 1, decision: str | None = None) -> None:
    """`count` packages with one match each against the references that flagged them, all reviewed alike."""
    reasons = [Reason(ReasonCode.RESEMBLES_REFERENCE, "resembles", 0, one) for one in flagged_by]
    moment = now() - timedelta(days=days_ago)
    rows = [
        {
            "id": uuid4(),
            "participant": "",
            "package_id": str(uuid4()),
            "revision": 1,
            "content_hash": "x",
            "disposition": "review" if flagged_by else "clear",
            "incomplete": False,
            "package": "{}",
            "answer": msgspec.json.encode({"reasons": reasons}).decode(),
            "fingerprint": "x",
            "index_version": "x",
            "sequence": 1,
            "policy_version": POLICY.version,
            "screened_at": moment,
        }
        for _ in range(count)
    ]
    with store.database.write() as session:
        session.execute(insert(ScreeningRow), rows)
        if decision is not None:
            session.add_all(ReviewRow(screening_id=row["id"], decision=decision, created_at=moment) for row in rows)


def quarantined(store: Store) -> set[UUID]:
    return {one.reference_id for one in noisy_references(store) if one.trusted_at is None}


def test_one_that_flags_more_than_all_together_may_is_quarantined_and_the_others_are_not(store: Store) -> None:
    noisy, ordinary = new_reference(store), new_reference(store)
    screened(store, 900)
    screened(store, 60, noisy)
    screened(store, 12, ordinary, noisy)
    (found,) = update_noisy(store, POLICY)
    assert (found.reference_id, found.counts.flagged, found.counts.screened) == (noisy, 72, 972)
    assert "72 of 972" in found.why
    assert quarantined(store) == {noisy}
    assert update_noisy(store, POLICY) == []


def test_what_people_confirm_is_no_noise(store: Store) -> None:
    catching = new_reference(store)
    screened(store, 90, catching)
    screened(store, 10, catching, decision="confirmed")
    screened(store, 20, catching, decision="dismissed")
    assert update_noisy(store, POLICY) == []


def test_what_lies_before_the_window_does_not_count(store: Store) -> None:
    reference = new_reference(store)
    screened(store, 50, reference, days_ago=RULES.window_days + 1, decision="dismissed")
    assert update_noisy(store, POLICY) == []


def test_a_trusted_reference_is_judged_by_what_came_later(store: Store) -> None:
    reference = new_reference(store)
    screened(store, 5, reference, decision="dismissed")
    update_noisy(store, POLICY)
    trust(store, reference, actor="desk 4")
    assert update_noisy(store, POLICY) == []
    assert quarantined(store) == set()
    with pytest.raises(NotFound, match="not in quarantine"):
        trust(store, reference)
    screened(store, 5, reference, days_ago=-0.1, decision="dismissed")
    update_noisy(store, POLICY)
    assert quarantined(store) == {reference}


def test_a_trusted_reference_is_compared_with_the_packages_since_then(store: Store) -> None:
    reference = new_reference(store)
    screened(store, 5, reference, decision="dismissed")
    screened(store, 5000)
    update_noisy(store, POLICY)
    trust(store, reference)
    screened(store, 100, days_ago=-0.1)
    screened(store, RULES.least_flagged, reference, days_ago=-0.1)
    (found,) = update_noisy(store, POLICY)
    assert (found.counts.screened, found.counts.flagged) == (120, 20)


def test_one_in_quarantine_that_flags_nothing_any_more_stays_there_with_new_counts(store: Store) -> None:
    reference = new_reference(store)
    screened(store, 5, reference, decision="dismissed")
    update_noisy(store, POLICY)
    screened(store, 30, days_ago=-RULES.window_days)
    update_noisy(store, POLICY, moment=now() + timedelta(days=RULES.window_days))
    (listed,) = noisy_references(store)
    assert (listed.trusted_at, listed.counts.screened, listed.counts.flagged) == (None, 30, 0)


@settings(deadline=None)
@given(st.floats(0, 2000), st.sampled_from([0.1, 0.01, 0.001, 1e-6]))
def test_chance_alone_seldom_exceeds_the_limit_of_a_count(expected: float, chance: float) -> None:
    limit = poisson_limit(expected, chance)
    terms = [
        math.exp(n * math.log(expected) - expected - math.lgamma(n + 1)) if expected else float(n == 0)
        for n in range(limit + 1)
    ]
    assert 1 - math.fsum(terms) <= chance * (1 + 1e-6) + 1e-9
    wide, room = (5, 8) if chance >= 0.001 else (7, 12)
    assert limit <= expected + wide * math.sqrt(expected) + room


counts = st.integers(0, 1000)


@given(counts, counts, counts, counts)
def test_few_flags_and_few_dismissals_never_make_a_reference_noisy(a: int, b: int, c: int, d: int) -> None:
    told = ReferenceCounts(a + b, b, c, d, 0.01 * (a + b))
    if judge(told, RULES) is not None:
        assert told.flagged >= RULES.least_flagged or told.dismissed >= RULES.least_dismissed
        assert told.confirmed < RULES.confirmed_share * max(1, told.confirmed + told.dismissed)

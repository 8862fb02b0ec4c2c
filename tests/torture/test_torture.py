"""A few rounds of torture; `make torture` plays hundreds."""

import time
from pathlib import Path

import pytest

from tests.torture.rounds import QUICK, torture

ROUNDS = 20
LIMIT_S = 1200
"""Only ends a hang; a round takes some seconds on an idle machine."""


@pytest.mark.timeout(LIMIT_S)
def test_killed_at_any_moment_nothing_acknowledged_is_lost_and_no_half_version_serves(tmp_path: Path) -> None:
    seed = time.time_ns() % 1_000_000
    print(f"again: .venv/bin/python -m tests.torture --rounds {ROUNDS} --seed {seed}")
    with torture(tmp_path / "home", seed, QUICK) as rounds:
        number = 0
        while rounds.tally.total() < ROUNDS:
            number += 1
            played = rounds.play(number)
            print(number, played.victim, played.hit, played.moment, played.told)
        rounds.tidy()

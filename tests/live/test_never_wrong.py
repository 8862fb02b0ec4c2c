"""Whatever is done in whatever order: what must match does, and nothing else."""

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from imagescreen.embedding.encoder import load_encoder
from imagescreen.serving import loader
from imagescreen.settings import IndexChoice
from tests.live.machine import LiveIndex, Stage, make_stage

EXAMPLES = 25
STEPS = 20
LIMIT_S = 1200
"""Only ends a hang, or the search for a smaller example of a failure."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch:
        # Reading the model takes longer than everything else; it is the same model each time.
        patch.setattr(loader, "load_encoder", functools.cache(load_encoder))
        yield make_stage(tmp_path_factory.mktemp("stage"))


@pytest.mark.timeout(LIMIT_S)
@pytest.mark.parametrize("index_type", [choice for choice in IndexChoice if choice is not IndexChoice.AUTO])
def test_every_sequence_of_changes_builds_and_restarts_matches_what_it_must(
    stage: Stage, tmp_path: Path, index_type: IndexChoice
) -> None:
    class Machine(LiveIndex):
        def __init__(self) -> None:
            super().__init__(stage, tmp_path / "home", index_type)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

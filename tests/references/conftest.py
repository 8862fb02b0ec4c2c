"""Two processes on the same data."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagescreen.jobs.workbench import Workbench, open_workbench
from tests.conftest import settings_of


@pytest.fixture
def other_process(bench: Workbench, tmp_path: Path) -> Iterator[Workbench]:
    """A second workbench on the same data, which only polls, as another process would."""
    with open_workbench(settings_of(tmp_path)) as other:
        yield other

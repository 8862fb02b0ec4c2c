"""Tests run beside each other on few cores, where threads that wait for each other take longer than one alone."""

import pytest

from imagescreen.matching import set_search_threads


@pytest.fixture(autouse=True)
def one_search_thread() -> None:
    set_search_threads(1)

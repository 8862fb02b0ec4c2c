"""The thread that loads versions beside the looks."""

import threading
import time
from collections.abc import Iterator

import pytest

from imagescreen.database.index_versions import Activation
from imagescreen.references.following import Followed
from imagescreen.references.loading import BackgroundLoading, Refused


def load(wanted: Activation) -> Followed | Refused:
    if wanted.version == "unforeseen":
        raise OSError("no locks available")
    return Refused(f"{wanted.version} was looked at")


@pytest.fixture
def loading() -> Iterator[BackgroundLoading]:
    stop = threading.Event()
    loading = BackgroundLoading(load, lambda _followed: None, stop)
    yield loading
    stop.set()
    loading.close()


def result(loading: BackgroundLoading, wanted: Activation) -> Followed | Refused:
    deadline = time.monotonic() + 60
    while (found := loading.ask(wanted)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_whatever_loading_raises_is_told_and_the_next_version_is_loaded_all_the_same(
    loading: BackgroundLoading,
) -> None:
    refused = result(loading, Activation(1, "unforeseen"))
    assert isinstance(refused, Refused)
    assert "unforeseen is current but was refused: it cannot be loaded (OSError)" in refused.why
    assert result(loading, Activation(2, "next")) == Refused("next was looked at")
    assert loading.loading is None

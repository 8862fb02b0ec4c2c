"""Who does not wait any more stands in nobody's way."""

import threading
from concurrent.futures import Future

import pytest

from imagescreen.embedding.patience import Patience
from imagescreen.errors import CallerGone, Overloaded

WAIT_S = 30


def test_a_caller_that_goes_away_takes_back_what_it_waits_for() -> None:
    patience, future = Patience(), Future[int]()
    leaving = threading.Timer(0.05, patience.give_up)
    leaving.start()
    with pytest.raises(CallerGone):
        patience.result_of(future)
    leaving.join(WAIT_S)
    assert future.cancelled()


def test_a_caller_whose_time_is_over_takes_back_what_it_waits_for() -> None:
    future: Future[int] = Future()
    with pytest.raises(Overloaded, match=r"longer than 0\.01 s"):
        Patience(0.01).result_of(future)
    assert future.cancelled()


def test_time_that_the_caller_took_itself_does_not_count() -> None:
    patience = Patience(0)
    patience.extend(WAIT_S)
    done: Future[int] = Future()
    done.set_result(3)
    assert patience.result_of(done) == 3


def test_what_the_work_raised_is_raised_also_when_it_is_a_timeout() -> None:
    failed: Future[int] = Future()
    failed.set_exception(TimeoutError("the work's own"))
    with pytest.raises(TimeoutError, match="own"):
        Patience(WAIT_S).result_of(failed)

"""Sharing the encoder with others: what one caller does must not cost another."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from imagescreen.embedding.batcher import Batcher
from imagescreen.errors import Overloaded
from imagescreen.jobs.workbench import Workbench
from imagescreen.serving.embed import embed_each
from imagescreen.serving.self_test import SelfTester


def test_a_refused_call_takes_back_what_it_had_queued(bench: Workbench) -> None:
    encoder = bench.follower.serving.current().batcher.encoder
    tensor = encoder.test_input()
    with Batcher(encoder, max_batch=1, max_waiting=6) as batcher:
        with pytest.raises(Overloaded):
            embed_each(batcher, [tensor] * 64)
        vectors = embed_each(batcher, [tensor] * 4)
    assert all(isinstance(vector, np.ndarray) for vector in vectors)


def test_a_full_queue_does_not_make_a_healthy_process_look_dead(bench: Workbench) -> None:
    served = bench.follower.serving.current()
    tester = SelfTester(bench.follower.serving, interval_s=60)
    tensor = served.batcher.encoder.test_input()
    waiting: list[Future[object]] = []
    with ThreadPoolExecutor(1) as pool:
        filled = threading.Event()

        def fill() -> None:
            try:
                while True:
                    waiting.append(served.batcher.submit([tensor]))  # type: ignore[arg-type]
            except Overloaded:
                filled.set()

        pool.submit(fill)
        assert filled.wait(60)
        # There is no index here, which is the only thing it may complain of.
        assert all("index version" in problem for problem in tester.result().problems)
        probed = served.batcher.probe(tensor).result(60)
    served.batcher.encoder.check_test_vector(probed[0])
    for future in waiting:
        future.cancel()

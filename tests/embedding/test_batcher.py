import gc
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from imagescreen.embedding.batcher import Batcher
from imagescreen.embedding.encoder import Encoder
from imagescreen.embedding.hardware import available_cores
from imagescreen.embedding.loading import LoadedModel, Towers, load_model
from imagescreen.embedding.manifest import read_manifest
from imagescreen.embedding.model_config import Pixels, read_config
from imagescreen.embedding.patience import Patience
from imagescreen.embedding.registry import entry_of
from imagescreen.errors import CallerGone, Overloaded, Unavailable, UnreadablePicture
from imagescreen.pictures import DecodingBudget, PictureLimits, PictureReader
from imagescreen.serving.embed import embed_each, prepare
from imagescreen.settings import BUILT_IN_MODEL, DType
from tests.material import product

Vectors = NDArray[np.float32]
WAIT_S = 30


class HeldTowers:
    """The built-in model behind a gate, as on a device that is busy until told otherwise; keeps the batch sizes."""

    def __init__(self, towers: Towers) -> None:
        self._towers = towers
        self._gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.batches: list[int] = []

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(image))
        self.entered.release()
        assert self._gate.wait(WAIT_S)
        return self._towers.encode_image(image)

    def encode_text(self, text: torch.Tensor) -> torch.Tensor:
        return self._towers.encode_text(text)

    def open(self) -> None:
        self._gate.set()


@pytest.fixture(scope="module")
def model(shipped_weights: Path) -> LoadedModel:
    entry = entry_of(BUILT_IN_MODEL, shipped_weights)
    folder = shipped_weights / BUILT_IN_MODEL
    return load_model(entry, folder, read_config(folder), dtype=DType.FLOAT32, device="cpu")


@pytest.fixture
def towers(model: LoadedModel) -> Iterator[HeldTowers]:
    held = HeldTowers(model.towers)
    yield held
    held.open()


@pytest.fixture
def encoder(model: LoadedModel, towers: HeldTowers, shipped_weights: Path) -> Encoder:
    return encoder_with(towers, model, shipped_weights)


def encoder_with(
    towers: Towers, model: LoadedModel, shipped_weights: Path, *, kind: type[Encoder] = Encoder
) -> Encoder:
    return kind(
        LoadedModel(towers, model.transform, model.scaling, model.tokenizer, model.text_off_reason),
        read_manifest(entry_of(BUILT_IN_MODEL, shipped_weights), shipped_weights / BUILT_IN_MODEL),
        read_config(shipped_weights / BUILT_IN_MODEL),
        dtype=DType.FLOAT32,
        device="cpu",
        threads=available_cores(),
    )


@pytest.fixture(scope="module")
def pictures(mini: Encoder) -> list[Pixels]:
    generator = np.random.default_rng(7)
    side = mini.input_side
    return [generator.integers(256, size=(side, side, 3), dtype=np.uint8) for _ in range(12)]


def occupied(batcher: Batcher, towers: HeldTowers, picture: Pixels) -> "Future[Vectors]":
    """Keep the encoder busy with one picture."""
    future = batcher.submit([picture])
    assert towers.entered.acquire(timeout=WAIT_S)
    return future


def test_pictures_of_concurrent_callers_share_a_batch_while_the_encoder_is_busy(
    encoder: Encoder, towers: HeldTowers, pictures: list[Pixels], mini: Encoder
) -> None:
    with Batcher(encoder, max_batch=8, max_waiting=50) as batcher:
        futures = [occupied(batcher, towers, pictures[0])]
        with ThreadPoolExecutor(5) as callers:
            futures += callers.map(lambda picture: batcher.submit([picture]), pictures[1:6])
        assert batcher.waiting == 5
        towers.open()
        found = np.concatenate([future.result(WAIT_S) for future in futures])
    assert towers.batches == [1, 5]
    assert np.allclose(found, mini.encode(np.stack(pictures[:6])), atol=1e-5)


def test_idle_encoder_takes_a_picture_at_once(encoder: Encoder, towers: HeldTowers, pictures: list[Pixels]) -> None:
    towers.open()
    with Batcher(encoder, max_batch=8, max_waiting=50) as batcher:
        assert batcher.embed(pictures[:1]).shape == (1, encoder.dimension)
        assert batcher.embed(pictures[:2]).shape == (2, encoder.dimension)
        assert batcher.embed([]).shape == (0, encoder.dimension)
    assert towers.batches == [1, 2]


def test_one_call_may_bring_more_than_a_batch(
    encoder: Encoder, towers: HeldTowers, pictures: list[Pixels], mini: Encoder
) -> None:
    towers.open()
    with Batcher(encoder, max_batch=5, max_waiting=50) as batcher:
        found = batcher.embed(pictures)
    assert towers.batches == [5, 5, 2]
    assert np.allclose(found, mini.encode(np.stack(pictures)), atol=1e-5)


def test_too_many_waiting_pictures_are_refused_at_once(
    encoder: Encoder, towers: HeldTowers, pictures: list[Pixels]
) -> None:
    with Batcher(encoder, max_batch=2, max_waiting=3) as batcher:
        accepted = [occupied(batcher, towers, pictures[0]), batcher.submit(pictures[1:3])]
        with pytest.raises(Overloaded):
            batcher.submit(pictures[3:5])
        accepted.append(batcher.submit(pictures[3:4]))
        towers.open()
        assert [len(future.result(WAIT_S)) for future in accepted] == [1, 2, 1]


def test_cancelled_picture_leaves_the_queue(encoder: Encoder, towers: HeldTowers, pictures: list[Pixels]) -> None:
    with Batcher(encoder, max_batch=8, max_waiting=50) as batcher:
        first = occupied(batcher, towers, pictures[0])
        given_up, kept = batcher.submit(pictures[1:4]), batcher.submit(pictures[4:6])
        assert given_up.cancel()
        assert batcher.waiting == 2
        assert not first.cancel()
        towers.open()
        assert len(kept.result(WAIT_S)) == 2
    assert towers.batches == [1, 2]


class BlindTowers:
    """The built-in model, whose numbers overflow on a picture of one colour."""

    def __init__(self, towers: Towers) -> None:
        self._towers = towers

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        return self._towers.encode_image(image).masked_fill(of_one_colour(image)[:, None], float("nan"))

    def encode_text(self, text: torch.Tensor) -> torch.Tensor:
        return self._towers.encode_text(text)


def of_one_colour(images: torch.Tensor) -> torch.Tensor:
    """(n, 3, s, s) -> (n,) bool."""
    flat = images.flatten(2)
    return (flat == flat[:, :, :1]).all(dim=2).all(dim=1)


def test_poisoned_picture_never_fails_its_neighbours(
    model: LoadedModel, pictures: list[Pixels], mini: Encoder, shipped_weights: Path
) -> None:
    gate = HeldTowers(BlindTowers(model.towers))
    encoder = encoder_with(gate, model, shipped_weights)
    poisoned = np.zeros_like(pictures[0])
    with Batcher(encoder, max_batch=8, max_waiting=50) as batcher:
        occupied(batcher, gate, pictures[0])
        before, bad, after = batcher.submit(pictures[1:3]), batcher.submit([poisoned]), batcher.submit(pictures[3:4])
        gate.open()
        with pytest.raises(UnreadablePicture):
            bad.result(WAIT_S)
        assert np.allclose(before.result(WAIT_S), mini.encode(np.stack(pictures[1:3])), atol=1e-5)
        assert np.allclose(after.result(WAIT_S), mini.encode(np.stack(pictures[3:4])), atol=1e-5)
        assert batcher.alive
        assert batcher.embed(pictures[:1]).shape == (1, encoder.dimension)


def test_what_was_embedded_is_let_go_without_a_search_for_garbage(mini: Encoder, pictures: list[Pixels]) -> None:
    with Batcher(mini, max_batch=8, max_waiting=50) as batcher:
        gc.collect()
        gc.disable()
        try:
            future = batcher.submit(pictures[:2])
            assert len(future.result(WAIT_S)) == 2
            held = weakref.ref(future)
            del future
            # The worker's own hold of its last batch ends with the next one.
            batcher.embed(pictures[2:3])
            assert held() is None
        finally:
            gc.enable()


class FailingTowers:
    """The built-in model, out of order for batches that hold a picture of one colour."""

    def __init__(self, towers: Towers) -> None:
        self._towers = towers

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        if of_one_colour(image).any():
            raise RuntimeError("out of order")
        return self._towers.encode_image(image)

    def encode_text(self, text: torch.Tensor) -> torch.Tensor:
        return self._towers.encode_text(text)


def test_picture_on_which_the_model_fails_never_fails_its_neighbours(
    model: LoadedModel, pictures: list[Pixels], mini: Encoder, shipped_weights: Path
) -> None:
    gate = HeldTowers(FailingTowers(model.towers))
    encoder = encoder_with(gate, model, shipped_weights)
    with Batcher(encoder, max_batch=8, max_waiting=50) as batcher:
        occupied(batcher, gate, pictures[0])
        before = batcher.submit([pictures[1]])
        bad = batcher.submit([np.zeros_like(pictures[0])])
        after = batcher.submit([pictures[2]])
        gate.open()
        with pytest.raises(Unavailable, match="out of order"):
            bad.result(WAIT_S)
        found = np.concatenate([before.result(WAIT_S), after.result(WAIT_S)])
    assert np.allclose(found, mini.encode(np.stack(pictures[1:3])), atol=1e-5)


class TwoLanes(Encoder):
    """As on a GPU: one batch is copied there while another runs."""

    lanes = 2


def test_lanes_run_batches_side_by_side_and_mix_nothing_up(
    model: LoadedModel, pictures: list[Pixels], mini: Encoder, shipped_weights: Path
) -> None:
    gate = HeldTowers(model.towers)
    encoder = encoder_with(gate, model, shipped_weights, kind=TwoLanes)
    with Batcher(encoder, max_batch=4, max_waiting=50) as batcher:
        first, whole = occupied(batcher, gate, pictures[0]), batcher.submit(pictures)
        assert gate.entered.acquire(timeout=WAIT_S)
        gate.open()
        assert np.allclose(whole.result(WAIT_S), mini.encode(np.stack(pictures)), atol=1e-5)
        assert first.result(WAIT_S).shape == (1, encoder.dimension)
        assert batcher.alive


def test_caller_that_goes_away_leaves_the_queue(encoder: Encoder, towers: HeldTowers, pictures: list[Pixels]) -> None:
    with Batcher(encoder, max_batch=8, max_waiting=50) as batcher, ThreadPoolExecutor(1) as callers:
        occupied(batcher, towers, pictures[0])
        patience = Patience()
        asked = callers.submit(embed_each, batcher, pictures[1:5], patience)
        while batcher.waiting < 4:
            assert not asked.done()
        patience.give_up()
        with pytest.raises(CallerGone):
            asked.result(WAIT_S)
        assert batcher.waiting == 0
        towers.open()


def test_caller_that_waited_too_long_is_told_to_try_again_and_leaves_the_queue(
    encoder: Encoder, towers: HeldTowers, pictures: list[Pixels]
) -> None:
    with Batcher(encoder, max_batch=8, max_waiting=50) as batcher:
        occupied(batcher, towers, pictures[0])
        with pytest.raises(Overloaded) as refused:
            embed_each(batcher, pictures[1:5], Patience(0.05))
        assert refused.value.retry_after_s == 1
        assert batcher.waiting == 0
        towers.open()


def test_the_next_picture_is_decoded_while_the_encoder_is_busy(
    encoder: Encoder, towers: HeldTowers, pictures: list[Pixels]
) -> None:
    reader = PictureReader(PictureLimits(1 << 20, 1 << 20, 32), DecodingBudget(1 << 20, 1))
    data = product(1)
    with Batcher(encoder, max_batch=8, max_waiting=50) as batcher:
        occupied(batcher, towers, pictures[0])
        following = batcher.submit([prepare(reader, encoder, data, reader.header(data))])
        assert (batcher.waiting, towers.batches) == (1, [1])
        towers.open()
        assert following.result(WAIT_S).shape == (1, encoder.dimension)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
def test_a_model_that_was_loaded_at_low_priority_embeds_at_that_of_whoever_asks(
    mini: Encoder, pictures: list[Pixels]
) -> None:
    made: list[Batcher] = []

    def load() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        made.append(Batcher(mini, max_batch=8, max_waiting=50))

    loader = threading.Thread(target=load)
    loader.start()
    loader.join(WAIT_S)
    before = {thread.native_id for thread in threading.enumerate()}
    with made[0] as batcher:
        batcher.embed(pictures[:1])
        (worker,) = {thread.native_id for thread in threading.enumerate()} - before
        assert worker is not None
        own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        assert os.getpriority(os.PRIO_PROCESS, worker) == own


def test_one_that_never_saw_a_picture_closes_too(mini: Encoder, pictures: list[Pixels]) -> None:
    batcher = Batcher(mini, max_batch=8, max_waiting=50)
    batcher.close()
    with pytest.raises(Unavailable, match="shutting down"):
        batcher.submit(pictures[:1])


def test_closing_finishes_what_was_accepted_and_takes_no_more(
    encoder: Encoder, towers: HeldTowers, pictures: list[Pixels]
) -> None:
    batcher = Batcher(encoder, max_batch=2, max_waiting=50)
    accepted = [occupied(batcher, towers, pictures[0]), batcher.submit(pictures[1:6])]
    closing = threading.Thread(target=batcher.close)
    closing.start()
    towers.open()
    closing.join(WAIT_S)
    assert [len(future.result(0)) for future in accepted] == [1, 5]
    assert not batcher.alive
    with pytest.raises(Unavailable, match="shutting down"):
        batcher.submit(pictures[:1])

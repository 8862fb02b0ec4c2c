"""Pictures of concurrent callers share the encoder's batches."""

import threading
import weakref
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from imagescreen.embedding.encoder import Encoder
from imagescreen.embedding.model_config import Pixels
from imagescreen.errors import Overloaded, Unavailable

Vectors = NDArray[np.float32]


@dataclass(eq=False)
class _Job:
    """The pictures of one call, with the vectors that are there already."""

    pictures: list[Pixels]
    vectors: Vectors
    future: "Future[Vectors]"
    missing: int
    failed: bool = False


@dataclass(frozen=True, eq=False)
class _Picture:
    job: _Job
    position: int

    @property
    def pixels(self) -> Pixels:
        return self.job.pictures[self.position]


class Batcher:
    """Worker threads in front of an encoder, one for each of its `lanes`.

    While a lane is idle a picture runs at once; while all are busy pictures collect, and the next batch takes up to
    `max_batch` of them in the order in which they came. So nobody waits for a timer, and batches grow with the load.
    A picture is written to its place in the batch's memory when the batch is made up: before, nobody knows which one
    it will be in, since others may be cancelled.
    """

    def __init__(self, encoder: Encoder, *, max_batch: int, max_waiting: int) -> None:
        self.encoder = encoder
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._queue: deque[_Picture] = deque()
        self._changed = threading.Condition()
        self._busy = 0
        self._closed = False
        self._workers = [
            threading.Thread(
                target=self._work, args=(encoder.batch_memory(max_batch),), name=f"encoder-{lane}", daemon=True
            )
            for lane in range(encoder.lanes)
        ]

    @property
    def waiting(self) -> int:
        """Pictures that are accepted and not yet in the encoder."""
        return len(self._queue)

    @property
    def alive(self) -> bool:
        """Whether the worker threads run; they start with the first picture."""
        return all(worker.is_alive() for worker in self._workers)

    def submit(self, pictures: Sequence[Pixels]) -> "Future[Vectors]":
        """The future vectors, (n, d), of n preprocessed pictures, each (s, s, 3); n may exceed `max_batch`.

        The future fails when one of its pictures fails, and only then: what must survive another picture is submitted
        on its own, which costs nothing, since calls share batches. It can be cancelled until its first picture is in
        the encoder. Raises Overloaded when more than `max_waiting` pictures would wait, and Unavailable after `close`.
        """
        job = _Job(
            pictures=list(pictures),
            vectors=np.empty((len(pictures), self.encoder.dimension), dtype=np.float32),
            future=Future(),
            missing=len(pictures),
        )
        if not job.pictures:
            job.future.set_result(job.vectors)
            return job.future
        with self._changed:
            if self._closed:
                raise Unavailable("The encoder is shutting down and takes no more pictures.")
            run_at_once = (len(self._workers) - self._busy) * self._max_batch
            if len(self._queue) + len(job.pictures) > self._max_waiting + run_at_once:
                raise Overloaded(
                    f"{len(self._queue)} pictures are waiting for the encoder and at most {self._max_waiting} may."
                )
            self._queue.extend(_Picture(job, position) for position in range(len(job.pictures)))
            self._wake()
        # Weakly, or each future would hold itself, and only a search for garbage would let it and its vectors go.
        given_up = weakref.ref(job)
        job.future.add_done_callback(lambda future: self._forget(given_up()) if future.cancelled() else None)
        return job.future

    def probe(self, picture: Pixels) -> "Future[Vectors]":
        """As `submit` of one picture, but in front of the queue and however long that is: to see whether it works."""
        job = _Job(
            pictures=[picture],
            vectors=np.empty((1, self.encoder.dimension), dtype=np.float32),
            future=Future(),
            missing=1,
        )
        with self._changed:
            if self._closed:
                raise Unavailable("The encoder is shutting down and takes no more pictures.")
            self._queue.appendleft(_Picture(job, 0))
            self._wake()
        return job.future

    def embed(self, pictures: Sequence[Pixels]) -> Vectors:
        """As `submit`, and waits for the vectors; raises what the encoder raised."""
        return self.submit(pictures).result()

    def close(self) -> None:
        """Take no more pictures, finish those that were accepted, end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for worker in self._workers:
            if worker.ident is not None:
                worker.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wake(self) -> None:
        """With the lock held. A thread has the priority of the one that starts it for good, and models are loaded in
        one of low priority: so it starts for whoever comes first with a picture.
        """
        for worker in self._workers:
            if worker.ident is None:
                worker.start()
        self._changed.notify()

    def _forget(self, job: _Job | None) -> None:
        """Nothing, when the job is gone already."""
        with self._changed:
            self._queue = deque(picture for picture in self._queue if picture.job is not job)

    def _work(self, memory: Pixels) -> None:
        while batch := self._next_batch():
            self._run(batch, memory)
            with self._changed:
                self._busy -= 1

    def _next_batch(self) -> list[_Picture]:
        """The next pictures, at least one; none when the batcher is closed and everything is done."""
        with self._changed:
            while True:
                batch: list[_Picture] = []
                while self._queue and len(batch) < self._max_batch:
                    picture = self._queue.popleft()
                    if _still_wanted(picture.job):
                        batch.append(picture)
                if batch:
                    self._busy += 1
                    if self._queue:
                        self._changed.notify()
                    return batch
                if self._closed:
                    return []
                self._changed.wait()

    def _run(self, batch: list[_Picture], memory: Pixels) -> None:
        try:
            pixels = np.stack([picture.pixels for picture in batch], out=memory[: len(batch)])
            vectors = self.encoder.encode(pixels)
        except Exception as error:
            if len(batch) == 1:
                self._fail(batch[0].job, error)
                return
            # One picture must not fail its neighbours, so each gets its own attempt.
            for picture in batch:
                if not picture.job.failed:
                    self._run([picture], memory)
            return
        for picture, vector in zip(batch, vectors, strict=True):
            job = picture.job
            job.vectors[picture.position] = vector
            # Another lane may be at work on other pictures of the same call.
            with self._changed:
                job.missing -= 1
                complete = job.missing == 0
            if complete:
                job.pictures.clear()
                job.future.set_result(job.vectors)

    def _fail(self, job: _Job, error: Exception) -> None:
        with self._changed:
            first, job.failed = not job.failed, True
        if first:
            self._forget(job)
            job.future.set_exception(error)


def _still_wanted(job: _Job) -> bool:
    """Whether to go on with a job; from the first time on, its future can no longer be cancelled."""
    return job.future.running() or (not job.future.done() and job.future.set_running_or_notify_cancel())

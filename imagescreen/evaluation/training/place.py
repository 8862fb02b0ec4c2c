"""Where and how long a run computes, what it says meanwhile, and how it is stopped between two steps."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import FrameType

import torch

from imagescreen.embedding.hardware import resolve_dtype
from imagescreen.evaluation.training.checkpoint import Origin
from imagescreen.settings import DType


class Stage(StrEnum):
    TEACHERS = "teachers' vectors"
    TRAINING = "training"


@dataclass(frozen=True, slots=True)
class State:
    """How far a stage is: `done` of `total` views or, in training, steps. `losses` are means since it was last told."""

    stage: Stage
    done: int
    total: int
    views_per_s: float
    seconds_left: float
    losses: dict[str, float] = field(default_factory=dict)


Tell = Callable[[State], None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run computes and keeps its state. `stop_after_s` ends it early, to go on later."""

    folder: Path
    device: str
    tell_every_s: float = 10
    save_every_s: float = 120
    stop_after_s: float = math.inf


def multiplies_bfloat16(device: torch.device) -> bool:
    """A processor that does so in hardware: half the time there, and an emulation that crawls elsewhere."""
    return device.type == "cpu" and resolve_dtype(DType.AUTO, "cpu") is DType.BFLOAT16


@dataclass(slots=True)
class Stop:
    """Whether a run should end here, from which it can go on."""

    deadline: float
    interrupted: bool = False

    @property
    def wanted(self) -> bool:
        return self.interrupted or time.monotonic() >= self.deadline


@dataclass(frozen=True, slots=True)
class Context:
    """What all stages of a run share."""

    origin: Origin
    place: Place
    stop: Stop
    tell: Tell


@contextmanager
def stopping(after_s: float) -> Iterator[Stop]:
    """A Ctrl-C is kept until the run has saved its state, and is raised at the end; a second one ends it at once.

    Nothing is changed in a thread other than the main one, where a Ctrl-C never comes, nor where it is ignored, as a
    shell's background jobs ignore it.
    """
    stop = Stop(time.monotonic() + after_s)
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is signal.SIG_IGN:
        yield stop
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        stop.interrupted = True
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
    if stop.interrupted:
        raise KeyboardInterrupt

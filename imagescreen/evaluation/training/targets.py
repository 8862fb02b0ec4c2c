"""The teachers' vectors of all clean views, which the student learns to give; kept view by view, so that a run that
was interrupted here goes on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from imagescreen.evaluation.training.checkpoint import load_tensors, save_tensors
from imagescreen.evaluation.training.edits import Editor
from imagescreen.evaluation.training.place import Context, Stage, State
from imagescreen.evaluation.training.teachers import INPUT_SIDE, Reduction, Teachers, finite
from imagescreen.evaluation.training.views import Views

_FOLDER = "targets"

Make = Callable[[Editor, Tensor, Tensor, int], Tensor]


@dataclass(frozen=True, slots=True)
class Targets:
    """`crops` (n, v, d) and `mixtures` (n, m, d), float16 of unit length, made in `seconds`.

    `whole` is False when the run was stopped before all were made.
    """

    crops: Tensor
    mixtures: Tensor
    seconds: float
    whole: bool


@torch.no_grad()
def teachers_vectors(views: Views, teachers: Teachers, context: Context) -> Targets:
    """Computes what is not kept yet. Raises BrokenModel for teachers whose vectors are not finite, WrongUse as
    load_tensors and save_tensors do.
    """
    return _Work(views, teachers, context).targets()


@dataclass(slots=True)
class _Work:
    views: Views
    teachers: Teachers
    context: Context
    seconds: float = 0.0
    done: int = 0
    done_here: int = 0
    started: float = field(default_factory=time.monotonic)
    told: float = field(default_factory=time.monotonic)

    def targets(self) -> Targets:
        recipe = self.context.origin.recipe
        whole = self._vectors("whole", self.views.cropped, 0, lambda vectors: vectors)
        if len(whole) < len(self.views.pixels):
            return Targets(whole, whole, self.seconds, whole=False)
        reduction = self._reduction(whole)
        crops = [reduction(whole).half()]
        crops += [self._vectors(f"crop-{n}", self.views.cropped, n, reduction) for n in range(1, recipe.views)]
        mixtures = [self._vectors(f"mixture-{n}", self.views.mixed, n, reduction) for n in range(recipe.mixtures)]
        if any(len(vectors) < len(whole) for vectors in crops + mixtures):
            return Targets(whole, whole, self.seconds, whole=False)
        return Targets(torch.stack(crops, 1), torch.stack(mixtures, 1), self.seconds, whole=True)

    def _reduction(self, whole: Tensor) -> Reduction:
        # Kept, because the signs of components may differ on another machine.
        path = self.context.place.folder / _FOLDER / "reduction.safetensors"
        loaded = load_tensors(path, self.context.origin)
        if loaded is not None:
            return Reduction(loaded[0]["mean"], loaded[0]["components"])
        reduction = Reduction.of(whole, self.context.origin.recipe.dimension)
        save_tensors(path, self.context.origin, {"mean": reduction.mean, "components": reduction.components}, {})
        return reduction

    def _vectors(self, name: str, make: Make, number: int, reduced: Callable[[Tensor], Tensor]) -> Tensor:
        """(n, ...) on the processor; fewer rows when the run was stopped."""
        path = self.context.place.folder / _FOLDER / f"{name}.safetensors"
        loaded = load_tensors(path, self.context.origin)
        parts = [] if loaded is None else [loaded[0]["vectors"]]
        spent = 0.0 if loaded is None else float(loaded[1]["seconds"])
        count, first = len(self.views.pixels), sum(map(len, parts))
        self.done += first
        started = saved = time.monotonic()
        device = self.views.pixels.device
        half = device.type == "cuda"
        number_format = torch.float16 if half else torch.float32
        teachers = self.teachers.to(device, number_format)
        editor = Editor(
            self.context.origin.recipe.edits, torch.zeros(1, 4, 8, 8, device=device), torch.Generator(device)
        )
        size = 512 if half else 16
        for start in range(first, count, size):
            if self.context.stop.wanted:
                break
            chosen = torch.arange(start, min(start + size, count), device=device)
            images = make(editor, chosen, torch.full_like(chosen, number), INPUT_SIDE)
            vectors = teachers(images.to(number_format).contiguous(memory_format=torch.channels_last)).cpu()
            vectors = reduced(finite(vectors))
            parts.append(vectors if name == "whole" else vectors.half())
            self._tell(len(chosen))
            now = time.monotonic()
            if now - saved >= self.context.place.save_every_s:
                self._save(path, parts, spent + now - started)
                saved = now
        spent += time.monotonic() - started
        if sum(map(len, parts)) > first:
            self._save(path, parts, spent)
        self.seconds += spent
        return torch.cat(parts) if parts else torch.empty(0)

    def _save(self, path: Path, parts: list[Tensor], seconds: float) -> None:
        save_tensors(path, self.context.origin, {"vectors": torch.cat(parts)}, {"seconds": str(seconds)})

    def _tell(self, count: int) -> None:
        self.done += count
        self.done_here += count
        recipe = self.context.origin.recipe
        total = len(self.views.pixels) * (recipe.views + recipe.mixtures)
        now = time.monotonic()
        if now - self.told >= self.context.place.tell_every_s or self.done == total:
            rate = self.done_here / (now - self.started)
            self.context.tell(State(Stage.TEACHERS, self.done, total, rate, (total - self.done) / rate))
            self.told = now

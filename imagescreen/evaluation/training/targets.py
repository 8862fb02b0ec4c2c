"""The teachers' vectors of all clean views, which the student learns to give; kept view by view, so that a run that
was interrupted here goes on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from imagescreen.evaluation.training.checkpoint import load_tensors, save_tensors
from imagescreen.evaluation.training.cut_outs import tried
from imagescreen.evaluation.training.fitting import LIKENESS_TEMPERATURE, Fitted, fitted_to_labels, turned_to
from imagescreen.evaluation.training.goods import product_directions
from imagescreen.evaluation.training.place import Context, Stage, State, multiplies_bfloat16
from imagescreen.evaluation.training.teachers import INPUT_SIDE, Reduction, Teachers, finite
from imagescreen.evaluation.training.views import Views

_FOLDER = "targets"

Make = Callable[[Tensor, Tensor, int], Tensor]


StudentVectors = Callable[[], Tensor]


@dataclass(frozen=True, slots=True)
class Targets:
    """`crops` (n, v, d), `mixtures` (n, m, d) and `cut_outs` (w, c, d), of the w pictures that have some, float16 of
    unit length, made in `seconds`. `directions` (k, d), orthonormal, are those in which known products differ; none
    where there are few.

    `likely` (w, c) is how likely a cut-out shows what its picture is named after, by its distances to the classes; 0
    without a name, or without a map that is fitted to the labels. (The map was fitted with those that were tried, and
    is lenient to them therefore.) `whole` is False when the run was stopped before all were made.
    """

    crops: Tensor
    mixtures: Tensor
    cut_outs: Tensor
    likely: Tensor
    directions: Tensor
    seconds: float
    whole: bool

    def to(self, device: torch.device) -> "Targets":
        crops, mixtures = self.crops.to(device), self.mixtures.to(device)
        cut_outs, likely = self.cut_outs.to(device), self.likely.to(device)
        directions = self.directions.to(device)
        return replace(self, crops=crops, mixtures=mixtures, cut_outs=cut_outs, likely=likely, directions=directions)


@torch.no_grad()
def teachers_vectors(
    views: Views, teachers: Teachers, classes: Tensor, context: Context, student: StudentVectors
) -> Targets:
    """Computes what is not kept yet. `classes` (n,) are the places of the pictures' names, -1 for none; `student` gives
    the vectors (n, d) of the whole pictures by a student that has learned already, to which the targets are turned.

    Raises BrokenModel for teachers whose vectors are not finite, WrongUse as load_tensors and save_tensors do.
    """
    return _Work(views, teachers, classes.cpu(), context, student).targets()


@dataclass(slots=True)
class _Work:
    views: Views
    teachers: Teachers
    classes: Tensor
    context: Context
    student: StudentVectors
    seconds: float = 0.0
    done: int = 0
    done_here: int = 0
    started: float = field(default_factory=time.monotonic)
    told: float = field(default_factory=time.monotonic)

    def targets(self) -> Targets:
        recipe, views = self.context.origin.recipe, self.views
        whole = self._vectors("whole", views.cropped, 0, lambda vectors: vectors)
        # They are fitted with, so they are kept as long as the teachers give them.
        cut_outs = [
            self._vectors(f"cut-out-{n}", views.cut_out, n, lambda vectors: vectors, len(views.on_white))
            for n in range(recipe.cut_outs)
        ]
        stopped = self._stopped([whole]) or self._stopped(cut_outs, len(views.on_white))
        if self.context.stop.wanted or stopped:
            return self._nothing()
        started = time.monotonic()
        fitted = self._fitted(whole, cut_outs)
        self.seconds += time.monotonic() - started
        reduction = fitted.reduction
        crops = [reduction(whole).half()]
        crops += [self._vectors(f"crop-{n}", views.cropped, n, reduction) for n in range(1, recipe.views)]
        mixtures = [self._vectors(f"mixture-{n}", views.mixed, n, reduction) for n in range(recipe.mixtures)]
        if self._stopped(crops + mixtures):
            return self._nothing()
        on_white = torch.empty(len(views.on_white), 0, recipe.dimension, dtype=torch.float16)
        if cut_outs:
            on_white = torch.stack([reduction(vectors.float()).half() for vectors in cut_outs], 1)
        likely = torch.zeros(on_white.shape[:2])
        if len(fitted.prototypes):
            each = (on_white.float() @ fitted.prototypes.T / LIKENESS_TEMPERATURE).softmax(-1)
            classes = self.classes[views.on_white.cpu()]
            own = classes.clamp(min=0)[:, None, None].expand(-1, on_white.shape[1], 1)
            likely = each.gather(2, own)[..., 0] * (classes >= 0)[:, None]
        directions = torch.empty(0, recipe.dimension)
        if recipe.goods_weight and views.tell_apart:
            directions = product_directions(crops[0].float(), self.classes, views.products.cpu())
        return Targets(
            torch.stack(crops, 1), torch.stack(mixtures, 1), on_white, likely, directions, self.seconds, whole=True
        )

    def _stopped(self, made: list[Tensor], wanted: int | None = None) -> bool:
        wanted = len(self.views.pixels) if wanted is None else wanted
        return any(len(vectors) < wanted for vectors in made)

    def _nothing(self) -> Targets:
        nothing = torch.empty(0)
        return Targets(nothing, nothing, nothing, nothing, nothing, self.seconds, whole=False)

    def _fitted(self, whole: Tensor, cut_outs: list[Tensor]) -> Fitted:
        # Kept, because the signs of components may differ on another machine.
        recipe = self.context.origin.recipe
        path = self.context.place.folder / _FOLDER / "reduction.safetensors"
        loaded = load_tensors(path, self.context.origin)
        if loaded is not None:
            kept = loaded[0]
            return Fitted(Reduction(kept["mean"], kept["components"]), kept["prototypes"])
        fitted = Fitted(Reduction.of(whole, recipe.dimension), torch.empty(0, recipe.dimension))
        if recipe.fitted_to_labels:
            # Most that are found hold a part of a shelf or a hand, which is not to lie where the class does.
            blind = [vectors.float() for vectors in cut_outs[: tried(recipe.cut_outs)]]
            every = torch.cat([whole, *blind])
            of_blind = self.classes[self.views.on_white.cpu()].repeat(len(blind))
            classes = torch.cat([self.classes, of_blind])
            with torch.enable_grad():
                fitted = fitted_to_labels(fitted.reduction, every, classes, seed=recipe.seed)
        if recipe.started_from:
            fitted = turned_to(fitted, whole, self.student())
        reduction = fitted.reduction
        tensors = {"mean": reduction.mean, "components": reduction.components, "prototypes": fitted.prototypes}
        save_tensors(path, self.context.origin, tensors, {})
        return fitted

    def _vectors(
        self, name: str, make: Make, number: int, reduced: Callable[[Tensor], Tensor], wanted: int | None = None
    ) -> Tensor:
        """(`wanted`, ...) on the processor, of all pictures if not given; fewer rows when the run was stopped."""
        path = self.context.place.folder / _FOLDER / f"{name}.safetensors"
        loaded = load_tensors(path, self.context.origin)
        parts = [] if loaded is None else [loaded[0]["vectors"]]
        spent = 0.0 if loaded is None else float(loaded[1]["seconds"])
        count, first = len(self.views.pixels) if wanted is None else wanted, sum(map(len, parts))
        self.done += first
        started = saved = time.monotonic()
        device = self.views.pixels.device
        half = device.type == "cuda"
        number_format = torch.float16 if half else torch.float32
        narrow = torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bfloat16(device))
        teachers = self.teachers.to(device, number_format)
        size = 512 if half else 16
        for start in range(first, count, size):
            if self.context.stop.wanted:
                break
            chosen = torch.arange(start, min(start + size, count), device=device)
            images = make(chosen, torch.full_like(chosen, number), INPUT_SIDE)
            with narrow:
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
        total += len(self.views.on_white) * recipe.cut_outs
        now = time.monotonic()
        if now - self.told >= self.context.place.tell_every_s or self.done == total:
            rate = self.done_here / (now - self.started)
            self.context.tell(State(Stage.TEACHERS, self.done, total, rate, (total - self.done) / rate))
            self.told = now

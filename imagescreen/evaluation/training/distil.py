"""The training loop: the student sees edited views, its target is the teachers' vector of the clean picture."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from imagescreen.evaluation.training.checkpoint import load_checkpoint, load_tensors, save_checkpoint, save_tensors
from imagescreen.evaluation.training.edits import Editor
from imagescreen.evaluation.training.losses import Batch, losses
from imagescreen.evaluation.training.names import NO_CLASS, class_name, class_names
from imagescreen.evaluation.training.overlays import draw_overlays
from imagescreen.evaluation.training.pictures import TrainingPictures
from imagescreen.evaluation.training.recipe import Recipe
from imagescreen.evaluation.training.student import Student
from imagescreen.evaluation.training.teachers import INPUT_SIDE, Reduction, Teachers
from imagescreen.evaluation.training.views import Views

_PRODUCTS = ("grocery",)
"""Sets whose labels are single products: their pictures of one label are no wrong answers to each other."""
_OVERLAYS = 400
_TARGETS_FILE = "targets.safetensors"


@dataclass(frozen=True, slots=True)
class State:
    """How far a run is: `losses` are means since it was last told."""

    step: int
    steps: int
    pictures_per_s: float
    seconds_left: float
    losses: dict[str, float]


@dataclass(frozen=True, slots=True)
class Trained:
    """The averaged weights of the towers, and what they took."""

    tensors: dict[str, Tensor]
    seconds: float
    views: int
    finished: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run computes and keeps its state. `stop_after_s` ends it early, to go on later."""

    folder: Path
    device: str
    tell_every_s: float = 10
    save_every_s: float = 120
    stop_after_s: float = math.inf


def distil(
    pictures: TrainingPictures,
    teachers: Teachers,
    recipe: Recipe,
    place: Place,
    tell: Callable[[State], None],
) -> Trained:
    """Trains, or goes on with, the run of `recipe` in `place.folder`."""
    device = torch.device(place.device)
    torch.manual_seed(recipe.seed)
    # Edits and losses are multiplied in TF32 on CUDA: nothing here needs more.
    torch.set_float32_matmul_precision("high")
    names = class_names([row.label for row in pictures.rows])
    student = Student(recipe, names).to(device)
    student.towers.visual.to(memory_format=torch.channels_last)
    average = copy.deepcopy(student).requires_grad_(False)
    run = _Run(recipe, _data(pictures, teachers, recipe, place, names), student, average)
    done, spent = load_checkpoint(place.folder, recipe, student=student, average=average, optimizer=run.optimizer)
    steps_of_a_pass = max(1, len(pictures.rows) // recipe.batch)
    steps = recipe.passes * steps_of_a_pass
    started = told = saved = time.monotonic()
    sums: dict[str, Tensor] = {}
    since = 0
    step = done
    while step < steps and time.monotonic() - started < place.stop_after_s:
        for name, value in run.step(step, steps, steps_of_a_pass).items():
            sums[name] = sums.get(name, torch.zeros((), device=device)) + value
        step, since = step + 1, since + 1
        now = time.monotonic()
        if now - told >= place.tell_every_s or step == steps:
            means = {name: float(value) / since for name, value in sums.items()}
            now = time.monotonic()
            rate = since * recipe.batch * 2 / (now - told)
            tell(State(step, steps, rate, (steps - step) * (now - told) / since, means))
            sums, since, told = {}, 0, now
        if now - saved >= place.save_every_s:
            _save(place, recipe, run, step, spent + now - started)
            saved = now
    seconds = spent + time.monotonic() - started
    _save(place, recipe, run, step, seconds)
    return Trained(
        {name: value.detach().cpu() for name, value in average.towers.state_dict().items()},
        seconds,
        step * recipe.batch * 2,
        step == steps,
    )


def _save(place: Place, recipe: Recipe, run: "_Run", step: int, seconds: float) -> None:
    save_checkpoint(
        place.folder,
        recipe,
        step=step,
        seconds=seconds,
        student=run.student,
        average=run.average,
        optimizer=run.optimizer,
    )


@dataclass(frozen=True, slots=True)
class _Data:
    """All on the device. `of_crops` (n, v, d) and `of_mixtures` (n, m, d) float16 are the teachers' vectors."""

    views: Views
    of_crops: Tensor
    of_mixtures: Tensor
    classes: Tensor
    products: Tensor


def _data(
    pictures: TrainingPictures, teachers: Teachers, recipe: Recipe, place: Place, names: tuple[str, ...]
) -> _Data:
    device = torch.device(place.device)
    views = Views.of(pictures, recipe, device)
    path = place.folder / _TARGETS_FILE
    targets = load_tensors(path, recipe)
    if targets is None:
        targets = _targets(views, teachers.to(device), recipe)
        save_tensors(path, recipe, targets, {})
    places = {name: number for number, name in enumerate(names)}
    classes = [places[class_name(row.label)] if row.label != NO_CLASS else -1 for row in pictures.rows]
    products = [row.tar in _PRODUCTS for row in pictures.rows]
    return _Data(
        views,
        targets["crops"].to(device),
        targets["mixtures"].to(device),
        torch.tensor(classes, device=device),
        torch.tensor(products, device=device),
    )


class _Run:
    def __init__(self, recipe: Recipe, data: _Data, student: Student, average: Student) -> None:
        self.recipe, self.data = recipe, data
        self.student, self.average = student, average
        self.device = data.of_crops.device
        self.optimizer = torch.optim.AdamW(_groups(student, recipe), lr=recipe.learning_rate)
        self.generator = torch.Generator(self.device)
        overlays = torch.from_numpy(draw_overlays(_OVERLAYS, seed=recipe.seed)).to(self.device)
        self.editor = Editor(recipe.edits, overlays, self.generator)
        self.encode = torch.compile(student) if self.device.type == "cuda" else student

    def step(self, step: int, steps: int, steps_of_a_pass: int) -> dict[str, Tensor]:
        """One batch. All randomness comes from the seed and the step, so a run that goes on is the same run."""
        recipe, data = self.recipe, self.data
        self.student.train()
        self.generator.manual_seed(recipe.seed * 1_000_003 + step)
        chosen = self._chosen(step, steps_of_a_pass)
        mixed, cropped = chosen.tensor_split([round(len(chosen) * recipe.mixed_share)])
        with torch.no_grad():
            views, targets = self._views(mixed, cropped)
        classes = torch.cat((torch.full_like(mixed, -1), data.classes[cropped]))
        phrasing = torch.randint(
            len(self.student.tokens), (self.student.tokens.shape[1],), generator=self.generator, device=self.device
        )
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            vectors = self.encode(views)
            words = self.student.words(phrasing)
        first, second = vectors.float().chunk(2)
        found = losses(Batch(first, second, targets, words.float(), classes, data.products[chosen]), recipe)
        total = torch.stack(list(found.values())).sum()
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(step, steps, recipe.warmup_share)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimizer.step()
        self._average(step)
        return {name: value.detach() for name, value in found.items()} | {"all": total.detach()}

    def _views(self, mixed: Tensor, cropped: Tensor) -> tuple[Tensor, Tensor]:
        """(2b, 3, s, s): all pictures of the batch edited once, then once again; (b, d): the teachers' vectors."""
        data, editor, side = self.data, self.editor, self.recipe.side
        mixture = self._number(len(mixed), data.of_mixtures.shape[1])
        # Half of the time the whole picture, which is what is screened.
        whole = torch.rand(len(cropped), generator=self.generator, device=self.device) < 0.5
        crop = torch.where(whole, 0, self._number(len(cropped), data.of_crops.shape[1]))
        targets = torch.cat((data.of_mixtures[mixed, mixture], data.of_crops[cropped, crop])).float()
        both = data.views.mixed(editor, mixed, mixture, side)
        pixels, extents = data.views.pixels[cropped], data.views.extents[cropped]
        boxes = data.views.crops[cropped, crop]
        twice = []
        for _ in range(2):
            twice += [editor.recoloured(both), editor.edited(pixels, extents, boxes, side)]
        return torch.cat(twice), targets

    def _number(self, count: int, below: int) -> Tensor:
        return torch.randint(below, (count,), generator=self.generator, device=self.device)

    def _chosen(self, step: int, steps_of_a_pass: int) -> Tensor:
        number, place = divmod(step, steps_of_a_pass)
        order = np.random.default_rng((self.recipe.seed, number)).permutation(len(self.data.classes))
        batch = order[place * self.recipe.batch : (place + 1) * self.recipe.batch]
        return torch.from_numpy(batch).to(self.device)

    @torch.no_grad()
    def _average(self, step: int) -> None:
        """Short at first, so that the first, bad weights are soon forgotten."""
        decay = min(self.recipe.average_decay, (1 + step) / (10 + step))
        ours, theirs = self.average.state_dict(), self.student.state_dict()
        wide = [name for name, value in ours.items() if value.is_floating_point()]
        torch._foreach_lerp_([ours[name] for name in wide], [theirs[name] for name in wide], 1 - decay)
        for name in ours.keys() - set(wide):
            ours[name].copy_(theirs[name])


def _groups(student: Student, recipe: Recipe) -> list[dict[str, object]]:
    """No decay for biases, norms and the text side's embeddings, of which a batch sees few."""
    named = [(name, p) for name, p in student.named_parameters() if p.requires_grad]
    decayed = [p for name, p in named if p.ndim > 1 and "embedding" not in name]
    rest = [p for name, p in named if p.ndim <= 1 or "embedding" in name]
    return [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}]


def _schedule(step: int, steps: int, warmup_share: float) -> float:
    """Linear warm-up, then a half cosine (Loshchilov and Hutter, "SGDR", 2017)."""
    warmup = max(1, round(steps * warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


@torch.no_grad()
def _targets(views: Views, teachers: Teachers, recipe: Recipe) -> dict[str, Tensor]:
    """`crops` (n, v, d) and `mixtures` (n, m, d), float16."""
    device = views.pixels.device
    editor = Editor(recipe.edits, torch.zeros(1, 4, 8, 8, device=device), torch.Generator(device))
    number_format = torch.float16 if device.type == "cuda" else torch.float32
    teachers = teachers.to(number_format)
    size = 512 if device.type == "cuda" else 16

    def of(make: Callable[[Editor, Tensor, Tensor, int], Tensor], view: int) -> Tensor:
        parts = []
        for chosen in torch.arange(len(views.pixels), device=device).split(size):  # type: ignore[no-untyped-call]
            images = make(editor, chosen, torch.full_like(chosen, view), INPUT_SIDE)
            parts.append(teachers(images.to(number_format).contiguous(memory_format=torch.channels_last)))
        return torch.cat(parts)

    whole = of(views.cropped, 0)
    reduction = Reduction(whole, recipe.dimension)
    crops = [reduction(whole)] + [reduction(of(views.cropped, view)) for view in range(1, recipe.views)]
    mixtures = [reduction(of(views.mixed, view)) for view in range(recipe.mixtures)]
    return {"crops": torch.stack(crops, 1).half().cpu(), "mixtures": torch.stack(mixtures, 1).half().cpu()}

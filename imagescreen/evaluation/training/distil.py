"""The training loop: the student sees edited views, its target is the teachers' vector of the clean picture."""

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from imagescreen.errors import BrokenModel, WrongUse
from imagescreen.evaluation.machine import processor
from imagescreen.evaluation.training.checkpoint import Done, Origin, load_checkpoint, save_checkpoint
from imagescreen.evaluation.training.edits import Editor
from imagescreen.evaluation.training.goods import product_directions, with_goods
from imagescreen.evaluation.training.levels import with_middle
from imagescreen.evaluation.training.losses import Batch, losses
from imagescreen.evaluation.training.names import NO_CLASS, class_name, class_names
from imagescreen.evaluation.training.overlays import draw_overlays
from imagescreen.evaluation.training.pictures import TrainingPictures
from imagescreen.evaluation.training.place import (
    Context,
    Place,
    Stage,
    State,
    Tell,
    multiplies_bfloat16,
    stopping,
)
from imagescreen.evaluation.training.recipe import Recipe
from imagescreen.evaluation.training.student import Student
from imagescreen.evaluation.training.targets import Targets, teachers_vectors
from imagescreen.evaluation.training.teachers import Teachers
from imagescreen.evaluation.training.views import Views
from imagescreen.evaluation.training.whitening import whitened, whitening

_OVERLAYS = 400
_BATCH = 128
# Added to how likely a cut-out shows its product, for how often it is seen; and from where on it has the name.
_SEEN_ANYWAY = 0.03
_NAMED_FROM = 0.15


@dataclass(frozen=True, slots=True)
class Trained:
    """The averaged weights of the towers, and what they took: `seconds` with the teachers' vectors."""

    tensors: dict[str, Tensor]
    done: Done
    seconds: float
    finished: bool


def distil(
    pictures: TrainingPictures,
    teachers: Teachers,
    recipe: Recipe,
    place: Place,
    tell: Tell,
    *,
    start: Mapping[str, Tensor] | None = None,
) -> Trained:
    """Trains, or goes on with, the run of `recipe` in `place.folder`. Ctrl-C ends it after the step that is under way.

    `start` are the towers' weights that the recipe says it is started from. The `recipe` and the pictures are taken as
    check_recipe and check_rows want them. Raises WrongUse for a folder with a run of another origin, damaged state or
    more passes, BrokenModel when the loss, the teachers' or the student's vectors are not finite, and
    KeyboardInterrupt; the state that was saved last is kept.
    """
    device = torch.device(place.device)
    torch.manual_seed(recipe.seed)
    # Edits and losses are multiplied in TF32 on CUDA: nothing here needs more.
    torch.set_float32_matmul_precision("high")
    names = class_names([row.label for row in pictures.rows])
    steps = recipe.passes * (len(pictures.rows) // recipe.batch)
    views = Views.of(pictures, recipe, device)
    student = Student(recipe, names)
    if start is not None:
        student.towers.load_state_dict(start)
    student = student.to(device)
    student.towers.visual.to(memory_format=torch.channels_last)
    _freeze(student, recipe)
    average = copy.deepcopy(student).requires_grad_(False)
    # As it was before any step: the targets are turned to it whenever they are made.
    begun = copy.deepcopy(average)
    optimizer = torch.optim.AdamW(_groups(student, recipe), lr=recipe.learning_rate)
    origin = Origin(recipe, f"{pictures.digest()} {teachers.digest}")
    done = load_checkpoint(place.folder, origin, student=student, average=average, optimizer=optimizer)
    if done.steps > steps:
        raise WrongUse(
            f"the run in {place.folder} has made {done.steps:,} steps, and {recipe.passes} passes are {steps:,}: "
            "give more passes, or take a new folder"
        )
    seconds, finished = 0.0, not steps
    if not steps:
        done = Done(0, 0.0, datetime.now(UTC).date().isoformat(), described(place.device))
    with stopping(place.stop_after_s) as stop:
        if steps:
            context = Context(origin, place, stop, tell)
            classes = _classes(pictures, names)
            targets = teachers_vectors(views, teachers, classes, context, partial(_of_whole, begun, views, recipe))
            if targets.whole:
                run = _Run(recipe, _data(views, targets, classes), student, average, optimizer)
                done = _go_on(run, done, steps, context)
            seconds, finished = targets.seconds, targets.whole and done.steps == steps
    tensors = {name: value.detach().cpu() for name, value in average.towers.state_dict().items()}
    if start is not None:
        tensors = _with_start(tensors, start, recipe.kept_share)
    if finished and recipe.whitening:
        average.towers.load_state_dict(tensors)
        tensors = whitened(tensors, whitening(_of_whole(average, views, recipe), recipe.whitening))
    if finished and recipe.middle_share:
        average.towers.load_state_dict(tensors)
        tensors = with_middle(tensors, _seen(average.middle, average, views, recipe), recipe.middle_share)
        if recipe.goods_share:
            learned, classes = _of_whole(average, views, recipe), _classes(pictures, names)
            directions = product_directions(learned, classes, views.products.cpu())
            tensors = with_goods(tensors, directions, recipe.goods_share)
    return Trained(tensors, done, seconds + done.seconds, finished)


def _with_start(tensors: dict[str, Tensor], start: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    return {
        name: torch.lerp(value, start[name], share) if value.is_floating_point() else value
        for name, value in tensors.items()
    }


def _go_on(run: "_Run", done: Done, steps: int, context: Context) -> Done:
    """The steps that are still to do; what was done is saved at the end."""
    place, stop, recipe = context.place, context.stop, context.origin.recipe
    spent, device_name = done.seconds, described(place.device)
    started = told = saved = time.monotonic()
    sums: dict[str, Tensor] = {}
    since = 0
    ended = done.steps == steps or stop.wanted
    while not ended:
        for name, value in run.step(done.steps, steps).items():
            sums[name] = sums[name] + value if name in sums else value
        since += 1
        now = time.monotonic()
        done = Done(done.steps + 1, spent + now - started, datetime.now(UTC).date().isoformat(), device_name)
        ended = done.steps == steps or stop.wanted
        saving = ended or now - saved >= place.save_every_s
        if saving or now - told >= place.tell_every_s:
            means = {name: float(value) / since for name, value in sums.items()}
            # Only now has the device done it all.
            now = time.monotonic()
            each = (now - told) / since
            if not all(map(math.isfinite, means.values())):
                raise BrokenModel(
                    f"At step {done.steps:,} the loss is not finite. What was saved before is kept; a new run with "
                    "another seed may end better."
                )
            state = State(
                Stage.TRAINING, done.steps, steps, recipe.batch * 2 / each, (steps - done.steps) * each, means
            )
            if saving:
                save_checkpoint(
                    place.folder,
                    context.origin,
                    done,
                    student=run.student,
                    average=run.average,
                    optimizer=run.optimizer,
                )
                saved = now
            # Who reads it may end the run at once.
            context.tell(state)
            sums, since, told = {}, 0, now
    return done


def described(device: str) -> str:
    """The name of the device that computes, for people."""
    return torch.cuda.get_device_name() if device == "cuda" else f"{processor()}, {torch.get_num_threads()} threads"


@dataclass(frozen=True, slots=True)
class _Data:
    """All on the device: the `targets` of the `views`, and the place of each picture's name. `drawn` (n,) is how often
    each picture of a product is drawn, by the square root of how rare its class is.
    """

    views: Views
    targets: Targets
    classes: Tensor
    drawn: Tensor


def _classes(pictures: TrainingPictures, names: tuple[str, ...]) -> Tensor:
    places = {name: number for number, name in enumerate(names)}
    return torch.tensor([places[class_name(row.label)] if row.label != NO_CLASS else -1 for row in pictures.rows])


def _data(views: Views, targets: Targets, classes: Tensor) -> _Data:
    device = views.pixels.device
    products = views.products.cpu()
    rarity = torch.bincount(classes[products], minlength=1).clamp(min=1).rsqrt()
    drawn = torch.where(products, rarity[classes.clamp(min=0, max=len(rarity) - 1)], 0.0)
    return _Data(views, targets.to(device), classes.to(device), drawn.to(device))


def _of_whole(student: Student, views: Views, recipe: Recipe) -> Tensor:
    """(n, d) on the processor: the student's vectors of the whole pictures, unedited."""
    return _seen(student, student, views, recipe)


def _seen(see: Callable[[Tensor], Tensor], student: Student, views: Views, recipe: Recipe) -> Tensor:
    """(n, ...) on the processor: what `see` gives, a part of the `student`, of the whole pictures, unedited."""
    device = views.pixels.device
    student.eval()
    found = []
    for first in range(0, len(views.pixels), _BATCH):
        chosen = torch.arange(first, min(first + _BATCH, len(views.pixels)), device=device)
        images = views.cropped(chosen, torch.zeros_like(chosen), recipe.side)
        with torch.autocast(device.type, torch.bfloat16, enabled=multiplies_bfloat16(device)):
            found.append(see(images).cpu())
    return torch.cat(found)


class _Run:
    """Makes steps on the `student`, and keeps the `average` of its weights."""

    def __init__(
        self, recipe: Recipe, data: _Data, student: Student, average: Student, optimizer: torch.optim.Optimizer
    ) -> None:
        self.recipe, self.data = recipe, data
        self.student, self.average, self.optimizer = student, average, optimizer
        self.device = data.classes.device
        self.generator = torch.Generator(self.device)
        overlays = torch.from_numpy(draw_overlays(_OVERLAYS, seed=recipe.seed)).to(self.device)
        self.editor = Editor(recipe.edits, overlays, self.generator)
        self.still_editor = Editor(recipe.still_edits, overlays, self.generator)
        self.encode = torch.compile(student) if self.device.type == "cuda" else student

    def step(self, step: int, steps: int) -> dict[str, Tensor]:
        """One batch. All randomness comes from the seed and the step, so a run that goes on is the same run."""
        recipe, data = self.recipe, self.data
        self._into_training()
        self.generator.manual_seed(recipe.seed * 1_000_003 + step)
        mixed, cut, cropped = parts = self._chosen(step)
        chosen = torch.cat((mixed, data.views.on_white[cut], cropped))
        with torch.no_grad():
            views, targets, classes = self._views(*parts)
        phrasing = torch.randint(
            len(self.student.tokens), (self.student.tokens.shape[1],), generator=self.generator, device=self.device
        )
        narrow = self.device.type == "cuda" or multiplies_bfloat16(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=narrow):
            vectors = self.encode(views)
            words = self.student.words(phrasing)
        first, second = vectors.float().chunk(2)
        products = data.views.products[chosen]
        on_white = torch.zeros_like(products)
        on_white[len(mixed) : len(mixed) + len(cut)] = True
        # Mixtures are of no product.
        products[: len(mixed)] = False
        batch = Batch(first, second, targets, words.float(), classes, products, on_white, data.targets.directions)
        found = losses(batch, recipe)
        total = torch.stack(list(found.values())).sum()
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(step, steps, recipe.warmup_share)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimizer.step()
        self._average(step)
        return {name: value.detach() for name, value in found.items()} | {"all": total.detach()}

    def _into_training(self) -> None:
        """Batch norms that are to keep their statistics stay as in use."""
        self.student.train()
        visual, recipe = self.student.towers.visual, self.recipe
        for name, module in visual.named_modules():
            if isinstance(module, nn.BatchNorm2d) and (recipe.frozen_norms or name.startswith(recipe.frozen)):
                module.eval()

    def _views(self, mixed: Tensor, cut: Tensor, cropped: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(2b, 3, s, s): all pictures of the batch edited once, then once again; (b, d): the teachers' vectors; (b,):
        the places of their names, -1 where the view has none.
        """
        data, editor, side = self.data, self.editor, self.recipe.side
        mixture = self._number(len(mixed), data.targets.mixtures.shape[1])
        # Half of the time the whole picture, which is what is screened.
        whole = torch.rand(len(cropped), generator=self.generator, device=self.device) < 0.5
        crop = torch.where(whole, 0, self._number(len(cropped), data.targets.crops.shape[1]))
        both = [data.views.mixed(mixed, mixture, side)]
        targets = [data.targets.mixtures[mixed, mixture]]
        classes = [torch.full_like(mixed, -1)]
        if len(cut):
            # One that shows the product is seen rather than one that shows the shelf.
            likely, names = data.targets.likely[cut], data.classes[data.views.on_white[cut]]
            cut_out = torch.multinomial(likely + _SEEN_ANYWAY, 1, generator=self.generator)[:, 0]
            both.append(data.views.cut_out(cut, cut_out, side))
            targets.append(data.targets.cut_outs[cut, cut_out])
            classes.append(torch.where(likely.gather(1, cut_out[:, None])[:, 0] > _NAMED_FROM, names, -1))
        targets.append(data.targets.crops[cropped, crop])
        classes.append(data.classes[cropped])
        pixels, extents = data.views.pixels[cropped], data.views.extents[cropped]
        boxes = data.views.crops[cropped, crop]
        unedited = torch.cat(both)
        twice = []
        for _ in range(2):
            twice += [self.still_editor.recoloured(unedited), editor.edited(pixels, extents, boxes, side)]
        return torch.cat(twice), torch.cat(targets).float(), torch.cat(classes)

    def _number(self, count: int, below: int) -> Tensor:
        return torch.randint(below, (count,), generator=self.generator, device=self.device)

    def _chosen(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """The pictures to be seen as mixtures, as cut-outs, by their place among those that have some, and as crops: so
        many products, first as cut-outs and what is left as crops, and the rest from the next pictures of this pass.
        """
        recipe, data, count = self.recipe, self.data, self.recipe.batch
        number, place = divmod(step, len(data.classes) // count)
        order = np.random.default_rng((recipe.seed, number)).permutation(len(data.classes))
        batch = torch.from_numpy(order[place * count : (place + 1) * count]).to(self.device)
        any_products = bool(data.views.products.any())
        cut, as_crops = batch[:0], batch[:0]
        if recipe.cut_outs:
            drawn = data.drawn[data.views.on_white] if any_products else torch.ones_like(data.drawn)
            cut = self._drawn(drawn, round(count * recipe.cut_out_share))
        if any_products:
            as_crops = self._drawn(data.drawn, round(count * recipe.product_share) - len(cut))
        batch = batch[: count - len(cut) - len(as_crops)]
        mixed, cropped = batch.tensor_split([round(count * recipe.mixed_share)])
        return mixed, cut, torch.cat((cropped, as_crops))

    def _drawn(self, weights: Tensor, count: int) -> Tensor:
        if count <= 0:
            return torch.empty(0, dtype=torch.long, device=self.device)
        return torch.multinomial(weights, count, replacement=True, generator=self.generator)

    @torch.no_grad()
    def _average(self, step: int) -> None:
        """Short at first, so that the first, bad weights are soon forgotten."""
        decay = min(self.recipe.average_decay, (1 + step) / (10 + step))
        ours, theirs = self.average.state_dict(), self.student.state_dict()
        wide = [name for name, value in ours.items() if value.is_floating_point()]
        torch._foreach_lerp_([ours[name] for name in wide], [theirs[name] for name in wide], 1 - decay)
        for name in ours.keys() - set(wide):
            ours[name].copy_(theirs[name])


def _freeze(student: Student, recipe: Recipe) -> None:
    for name, parameter in student.towers.visual.named_parameters():
        if recipe.frozen and name.startswith(recipe.frozen):
            parameter.requires_grad_(False)


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

"""What the student is pulled towards, for a batch of pictures seen in two edited views each."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from imagescreen.evaluation.training.recipe import Recipe

_SMOOTHING = 0.05


@dataclass(frozen=True, slots=True)
class Batch:
    """`first` and `second` (n, d) are the student's unit vectors of two views, `targets` (n, d) the teachers' of the
    clean picture, `words` (c, d) the text side's of all class names, `classes` (n,) the names' places, -1 for none.
    `products` (n,) bool tells whose class is one product, so that pictures of it are no wrong answers to each other,
    and `on_white` (n,) bool which are cut-outs. `directions` (k, d) are those in which products differ, or none.
    """

    first: Tensor
    second: Tensor
    targets: Tensor
    words: Tensor
    classes: Tensor
    products: Tensor
    on_white: Tensor
    directions: Tensor


def losses(batch: Batch, recipe: Recipe) -> dict[str, Tensor]:
    """Each weighted: their sum is what is minimised.

    `cosine` pulls each view to its target, `teachers` makes the view as similar to the other pictures' targets as its
    own target is (Fang et al., "SEED: self-supervised distillation for visual representation", 2021); `copies` is the
    contrastive loss between the two views (Chen et al., "A simple framework for contrastive learning", 2020), without
    other pictures of the same product; `words` is the cross-entropy over all class names; `products` finds cut-outs of
    the same product by its photographs, and the photographs by the cut-outs (Khosla et al., "Supervised contrastive
    learning", 2020); `goods` is what `cosine` and `teachers` are, for views of products in the directions in which
    products differ, whatever a view has in others.
    """
    views = torch.cat((batch.first, batch.second))
    targets = batch.targets.repeat(2, 1)
    wanted = (targets @ batch.targets.T / recipe.teacher_temperature).softmax(1)
    words = views @ batch.words.T / recipe.words_temperature
    found = {
        "cosine": recipe.cosine_weight * (1 - (views * targets).sum(1)).mean(),
        "teachers": recipe.teacher_weight
        * functional.cross_entropy(views @ batch.targets.T / recipe.teacher_temperature, wanted),
        "copies": recipe.copies_weight
        * _contrastive(batch.first, batch.second, _alike(batch), recipe.copies_temperature),
        "words": recipe.words_weight * _naming(words, batch.classes.repeat(2)),
    }
    if recipe.products_weight:
        found["products"] = recipe.products_weight * _across(batch, views, recipe.products_temperature)
    if recipe.goods_weight and len(batch.directions):
        found["goods"] = recipe.goods_weight * _goods(batch, views, recipe)
    return found


def _goods(batch: Batch, views: Tensor, recipe: Recipe) -> Tensor:
    """0 for a batch without any product."""
    if not batch.products.any():
        return views.sum() * 0
    wanted = functional.normalize(batch.targets[batch.products] @ batch.directions.T)
    given = functional.normalize(views[batch.products.repeat(2)] @ batch.directions.T)
    alike = (wanted @ wanted.T / recipe.teacher_temperature).softmax(1).repeat(2, 1)
    cosine = (1 - (given * wanted.repeat(2, 1)).sum(1)).mean()
    similarities = functional.cross_entropy(given @ wanted.T / recipe.teacher_temperature, alike)
    return recipe.cosine_weight * cosine + recipe.teacher_weight * similarities


def _naming(logits: Tensor, classes: Tensor) -> Tensor:
    """0 for a batch in which nothing has a name, where the mean would be no number."""
    summed = functional.cross_entropy(logits, classes, ignore_index=-1, label_smoothing=_SMOOTHING, reduction="sum")
    return summed / (classes >= 0).sum().clamp(min=1)


def _across(batch: Batch, views: Tensor, temperature: float) -> Tensor:
    """Between photographs and cut-outs of products; 0 where none of the one has any of the other."""
    classes, products = batch.classes.repeat(2), (batch.products & (batch.classes >= 0)).repeat(2)
    on_white = batch.on_white.repeat(2)
    photographs, cut_outs = products & ~on_white, products & on_white
    similarities = views[photographs] @ views[cut_outs].T / temperature
    same = classes[photographs][:, None] == classes[cut_outs][None]
    return (_found(similarities, same) + _found(similarities.T, same.T)) / 2


def _found(logits: Tensor, same: Tensor) -> Tensor:
    """The mean over what has something to find, of the mean over what it is to find."""
    any_same = same.any(1)
    if not any_same.any():
        return logits.sum() * 0
    logits, same = logits[any_same], same[any_same]
    return -((logits.log_softmax(1) * same).sum(1) / same.sum(1)).mean()


def _alike(batch: Batch) -> Tensor:
    """(n, n) bool: another picture of the same product."""
    products = batch.products & (batch.classes >= 0)
    same = (batch.classes[:, None] == batch.classes[None]) & products[:, None] & products[None]
    return same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)


def _contrastive(left: Tensor, right: Tensor, alike: Tensor, temperature: float) -> Tensor:
    logits = (left @ right.T / temperature).masked_fill(alike, float("-inf"))
    own = torch.arange(len(left), device=left.device)
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2

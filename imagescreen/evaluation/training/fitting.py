"""The space that the student learns: the teachers' vectors under a linear map that is fitted to the class names, so
that a photograph in a shop and a picture in a catalogue lie together where they show the same.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from imagescreen.evaluation.training.teachers import Reduction

_STEPS = 300
_BATCH = 1024
_LEARNING_RATE = 1e-3
LIKENESS_TEMPERATURE = 0.1
_SMOOTHING = 0.05
# Similarities may move from what the teachers say: where the labels say nothing, the teachers are to be followed.
_KEEPING_WEIGHT = 10.0
_KEPT_PAIRS = 512


@dataclass(frozen=True, slots=True)
class Fitted:
    """`prototypes` (classes, d) of unit length: where the pictures of each class lie."""

    reduction: Reduction
    prototypes: Tensor


def fitted_to_labels(start: Reduction, vectors: Tensor, classes: Tensor, *, seed: int) -> Fitted:
    """`vectors` (n, 1856) are the teachers', `classes` (n,) the places of their names, -1 for none.

    The map starts as `start`; cross-entropy over the classes moves it, while the similarities of random pairs are kept
    near what they were.
    """
    generator = torch.Generator().manual_seed(seed)
    centred = vectors - start.mean
    before = functional.normalize(centred @ start.components)
    prototypes = torch.zeros(int(classes.max()) + 1, start.components.shape[1])
    prototypes.index_add_(0, classes.clamp(min=0), before * (classes >= 0)[:, None])
    prototypes = functional.normalize(prototypes).requires_grad_()
    components = start.components.clone().requires_grad_()
    optimizer = torch.optim.Adam([components, prototypes], lr=_LEARNING_RATE)
    for step in range(_STEPS):
        for group in optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * (1 - step / _STEPS)
        chosen = torch.randint(len(vectors), (_BATCH,), generator=generator)
        found = functional.normalize(centred[chosen] @ components)
        logits = found @ functional.normalize(prototypes).T / LIKENESS_TEMPERATURE
        naming = functional.cross_entropy(
            logits, classes[chosen], ignore_index=-1, label_smoothing=_SMOOTHING, reduction="sum"
        ) / (classes[chosen] >= 0).sum().clamp(min=1)
        kept, some = before[chosen[:_KEPT_PAIRS]], found[:_KEPT_PAIRS]
        keeping = (some @ some.T - kept @ kept.T).square().mean()
        optimizer.zero_grad()
        (naming + _KEEPING_WEIGHT * keeping).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return Fitted(
        Reduction(start.mean, components.detach()),
        functional.normalize(prototypes.detach()),
    )


def turned_to(fitted: Fitted, vectors: Tensor, student: Tensor) -> Fitted:
    """The same space, turned so that the teachers' `vectors` (n, 1856) lie as near as can be to those that the
    `student` (n, d) gives already: similarities in it stay what they are, and the student has less to learn
    (orthogonal Procrustes; Schönemann, 1966).
    """
    left, _, right = torch.linalg.svd(fitted.reduction(vectors).T.double() @ student.double())
    turn = (left @ right).float()
    return Fitted(
        Reduction(fitted.reduction.mean, fitted.reduction.components @ turn),
        fitted.prototypes @ turn,
    )

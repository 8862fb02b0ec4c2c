"""What is caught at which price: recall against false flags, and precision against recall, in numpy.

Here `positive` are scores of what must be caught and `ordinary` scores of what must not be flagged. A score is flagged
when it is *above* a threshold, as in the service.
"""

from typing import cast

import numpy as np
import numpy.typing as npt

from imagescreen.errors import WrongUse

Floats = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]


def allowed_false_flags(ordinary: int, rate: float) -> int:
    """The most of `ordinary` scores that may be flagged at `rate`. Raises WrongUse when it is less than one."""
    if not 0 < rate < 1:
        raise WrongUse(f"a rate of false flags is a share between 0 and 1, not {rate:g}")
    allowed = int(ordinary * rate + 1e-9)
    if allowed < 1:
        needed = int(np.ceil(1 / rate - 1e-9))
        raise WrongUse(
            f"{ordinary} ordinary packages are too few to measure 1 false flag in {1 / rate:g}: at least {needed} are "
            f"needed, {needed - ordinary} more"
        )
    return allowed


def threshold_at(ordinary: Floats, rate: float) -> float:
    """The least threshold that flags at most the share `rate` of these `ordinary` (o,) scores. Raises WrongUse."""
    allowed = allowed_false_flags(len(ordinary), rate)
    place = len(ordinary) - 1 - allowed
    return float(np.partition(ordinary, place)[place]) if place >= 0 else -np.inf


def recall_at_rate(positive: Floats, ordinary: Floats, rate: float) -> float:
    """The share of `positive` (p,) above the threshold at which at most `rate` of `ordinary` (o,) are flagged."""
    if not len(positive):
        raise WrongUse("there is nothing to measure: no labelled queries")
    return float((positive > threshold_at(ordinary, rate)).mean())


def recall_curve(positive: Floats, ordinary: Floats) -> tuple[Floats, Floats]:
    """False-flag rates and recalls, both (o + 1,): at 0, 1, ... o false flags in the `ordinary` scores.

    Where ordinary scores are equal, fewer are flagged than allowed, so that the curve is what `recall_at_rate` says.
    """
    if not len(positive) or not len(ordinary):
        raise WrongUse("there is nothing to measure: no labelled queries, or no ordinary ones")
    thresholds = np.concatenate([np.sort(ordinary)[::-1], [-np.inf]])
    above = len(positive) - np.searchsorted(np.sort(positive), thresholds, side="right")
    rates = np.arange(len(ordinary) + 1) / len(ordinary)
    return rates, above / len(positive)


def precision_recall_curve(scores: Floats, correct: Flags, positives: int) -> tuple[Floats, Floats]:
    """Precision and recall, both (m,), over falling thresholds, one for each different score.

    `scores` (n,) are of everything that could be flagged, `correct` (n,) says which flags would be right, `positives`
    is how many there are to be caught, also those that no flag can catch any more. Raises WrongUse.
    """
    if positives < 1 or scores.shape != correct.shape or not len(scores):
        raise WrongUse("a precision-recall curve needs scores, whether each is right, and something to be caught")
    order = np.argsort(-scores, kind="stable")
    caught = np.cumsum(correct[order])
    last = np.append(np.diff(scores[order]) != 0, True)
    flagged = np.arange(1, len(scores) + 1)
    return cast(Floats, (caught / flagged)[last]), cast(Floats, (caught / positives)[last])


def average_precision(precision: Floats, recall: Floats) -> float:
    """The area under a precision-recall curve, as the sum of precision times each step of recall (micro-AP)."""
    return float(np.sum(precision * np.diff(recall, prepend=0.0)))


def recall_at_precision(precision: Floats, recall: Floats, least: float) -> float:
    """The highest recall at which the precision is at least `least`; 0 where none is."""
    enough = recall[precision >= least]
    return float(enough.max()) if len(enough) else 0.0

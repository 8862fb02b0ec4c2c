"""The whole evaluation: labelled pictures or a photo set in; measured tasks with what a report shows out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from imagescreen.evaluation.curves import allowed_false_flags, threshold_at
from imagescreen.evaluation.embedded import Embedded, Embedder, NamedPicture, check_apart
from imagescreen.evaluation.labelled import LabelledPicture, Role, check_roles
from imagescreen.evaluation.photo_tasks import (
    edited_copies_right_first,
    photo_pictures,
    photo_tasks,
    promise_pools,
)
from imagescreen.evaluation.photos import PhotoSet
from imagescreen.evaluation.picture_pairs import show_pairs, worst_false_flags, worst_misses
from imagescreen.evaluation.promise import Promise, drawn_packages, keep_promise
from imagescreen.evaluation.quality import Counts, Kind, Quality, measure_quality
from imagescreen.evaluation.quality_plots import plot_curves, plot_scores
from imagescreen.evaluation.quality_report import Section
from imagescreen.evaluation.trials import Ids, Scored, Scores, Trial, nearest_scores, pooled, score_trial
from imagescreen.pictures import PictureReader

DEFAULT_RATES = (0.01, 0.001)
PROMISES = ((1, 0.01), (3, 0.01), (8, 0.01), (1, 0.001))
"""Pictures of a package, and the rate that is promised for it."""
PROMISE_SPLITS = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """How to measure. Without `rates` they are 1 in 100, and 1 in 1,000 where there are ordinary packages enough."""

    rates: tuple[float, ...]
    beta: float
    top_k: int
    seed: int
    rounds: int
    pairs: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`scored` and `pictures` of each quality are what its report is made of."""

    qualities: list[Quality]
    scored: list[dict[Kind, Scored]]
    pictures: Sequence[NamedPicture]
    rejected: tuple[tuple[str, str], ...]
    promises: list[Promise]
    remarks: list[str]


def evaluate_labelled(name: str, pictures: Sequence[LabelledPicture], embedder: Embedder, plan: Plan) -> Evaluation:
    """Measures labelled folders or a manifest. Raises WrongUse for what cannot be measured, before or after reading."""
    packages = {picture.package for picture in pictures if picture.role is Role.ORDINARY}
    _rates(plan, len(packages))
    embedded = embedder.embed(pictures)
    check_apart(embedded)
    check_roles(embedded.pictures, which="readable pictures")
    trial = Trial(
        references=_places(embedded, Role.REFERENCE),
        positive=_packages(embedded, Role.QUERY),
        ordinary=_packages(embedded, Role.ORDINARY),
        background=_places(embedded, Role.BACKGROUND),
    )
    labels = np.unique([picture.label for picture in embedded.pictures], return_inverse=True)[1].astype(np.int64)
    quality, scored = _measured((name, ""), embedded.vectors, labels, [trial], plan)
    return Evaluation([quality], [scored], embedded.pictures, embedded.rejected, [], [])


def evaluate_photos(photos: PhotoSet, embedder: Embedder, plan: Plan) -> Evaluation:
    """Measures the three tasks of a photo set, and whether promised rates are kept on its ordinary goods."""
    embedded = embedder.embed(photo_pictures(photos, embedder.reader))
    qualities, scored = [], []
    for task in photo_tasks(embedded.pictures, seed=plan.seed):
        quality, scores = _measured((task.name, task.what), embedded.vectors, task.labels, task.trials, plan)
        qualities.append(quality)
        scored.append(scores)
    promises = []
    for number, pool in enumerate(promise_pools(embedded.pictures, seed=plan.seed)):
        ordinary = nearest_scores(
            embedded.vectors, pool.references, pool.ordinary, pool.background, beta=plan.beta, top_k=plan.top_k
        )
        promises += [
            keep_promise(
                f"{pool.name}, {size} picture{'s' if size > 1 else ''} each",
                partial(drawn_packages, ordinary, size),
                rate=rate,
                splits=PROMISE_SPLITS,
                # Splits of their own for each row: with the same ones, rows would be right or wrong together.
                seed=(plan.seed, number, row),
            )
            for row, (size, rate) in enumerate(PROMISES)
        ]
    first, count = edited_copies_right_first(embedded.pictures, embedded.vectors)
    remark = f"Edited copies with their own original first among all {count:,} garments (R@1): {first:.3f}"
    return Evaluation(qualities, scored, embedded.pictures, embedded.rejected, promises, [remark])


def sections(evaluation: Evaluation, reader: PictureReader, plan: Plan) -> list[Section]:
    """What the HTML report shows of each task: plots, worst false flags, worst misses at the highest rate."""
    shown = []
    for quality, scored in zip(evaluation.qualities, evaluation.scored, strict=True):
        kind = quality.calibrated_on
        rate = max(entry.rate for entry in quality.at_rates)
        threshold = threshold_at(scored[kind].ordinary, rate)
        shown.append(
            Section(
                quality=quality,
                curves=plot_curves(quality, scored),
                histograms=plot_scores(scored),
                false_flags=show_pairs(worst_false_flags(scored[kind], plan.pairs), evaluation.pictures, reader),
                misses=show_pairs(worst_misses(scored[kind], threshold, plan.pairs), evaluation.pictures, reader),
                judged_by=kind,
            )
        )
    return shown


def _measured(
    task: tuple[str, str], vectors: Scores, labels: Ids, trials: Sequence[Trial], plan: Plan
) -> tuple[Quality, dict[Kind, Scored]]:
    name, what = task
    betas = {Kind.RAW: 0.0, Kind.NORMALISED: plan.beta}
    if not all(len(trial.background) for trial in trials):
        del betas[Kind.NORMALISED]
    scored = {
        kind: pooled([score_trial(vectors, labels, trial, beta=beta, top_k=plan.top_k) for trial in trials])
        for kind, beta in betas.items()
    }
    references = np.unique(np.concatenate([trial.references for trial in trials]))
    counts = Counts(
        references=len(references),
        labels=len(np.unique(labels[references])),
        queries=sum(len(trial.positive) for trial in trials),
        query_pictures=_pictures([package for trial in trials for package in trial.positive]),
        ordinary=sum(len(trial.ordinary) for trial in trials),
        ordinary_pictures=_pictures([package for trial in trials for package in trial.ordinary]),
        background=len(np.unique(np.concatenate([trial.background for trial in trials]))),
    )
    quality = measure_quality(
        name,
        what,
        counts,
        scored,
        rates=_rates(plan, counts.ordinary),
        beta=plan.beta,
        top_k=plan.top_k,
        seed=plan.seed,
        rounds=plan.rounds,
    )
    return quality, scored


def _rates(plan: Plan, ordinary: int) -> list[float]:
    """Raises WrongUse when a wanted rate, or without any the first default, needs more ordinary packages."""
    if plan.rates:
        for rate in plan.rates:
            allowed_false_flags(ordinary, rate)
        return list(plan.rates)
    allowed_false_flags(ordinary, DEFAULT_RATES[0])
    return [rate for rate in DEFAULT_RATES if ordinary * rate >= 1]


def _pictures(packages: Sequence[Ids]) -> int:
    return len(np.unique(np.concatenate(packages)))


def _places(embedded: Embedded[LabelledPicture], role: Role) -> Ids:
    return np.array([at for at, picture in enumerate(embedded.pictures) if picture.role is role], np.int64)


def _packages(embedded: Embedded[LabelledPicture], role: Role) -> list[Ids]:
    packages: dict[str, list[int]] = {}
    for at, picture in enumerate(embedded.pictures):
        if picture.role is role:
            packages.setdefault(picture.package, []).append(at)
    return [np.array(places, np.int64) for places in packages.values()]

"""Trains the built-in model: a small open_clip model, distilled from two ImageNet encoders on a photo set.

Takes a photo set (tar files or folders, and their index.csv), of which it trains on the rows of use train alone, and
the folder of the teachers' weights. Runs on CUDA (minutes) or, with a smaller recipe, on a processor (hours). A run
that was interrupted goes on when the same command is given again. See docs/training.md. Needs the extra `train`.
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from _console import low_priority, new_app, out, progress_bar, run
from rich.table import Table

from imagescreen.errors import WrongUse
from imagescreen.settings import BUILT_IN_MODEL, Device

if TYPE_CHECKING:
    from imagescreen.evaluation.training.distil import Trained
    from imagescreen.evaluation.training.measure import Measured
    from imagescreen.evaluation.training.place import State

app = new_app()

EPILOG = """
**Examples**

    .venv/bin/python scripts/train_mini.py photos/ teachers/ run/

    .venv/bin/python scripts/train_mini.py photos/ teachers/ run/ --trunk resnet10t --side 128 --passes 20 --batch 128
    --views 2 --mixtures 2

    .venv/bin/python scripts/train_mini.py photos/ teachers/ finish/ --start run/weights/NAME --name NAME-2

    .venv/bin/python scripts/train_mini.py photos/ teachers/ whitened/ --start run/weights/NAME --name NAME-3 --passes 0

    .venv/bin/python scripts/train_mini.py shop/ teachers/ run/ --no-measure --licence "photos=CC0, our own"

Exit codes: 0 trained, or stopped after --minutes; 1 something is broken; 2 wrong use; 130 interrupted.
"""


@app.command(help=__doc__, epilog=EPILOG)
def main(
    photos: Annotated[Path, typer.Argument(help="Folder of a photo set.", show_default=False)],
    teachers: Annotated[Path, typer.Argument(help="Folder of the teachers' weights.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="Where the run is kept: its state and the model.", show_default=False)],
    *,
    start: Annotated[
        Path | None, typer.Option(help="Folder of a model to finish: its weights, a shorter recipe, milder edits.")
    ] = None,
    all_stages: Annotated[
        bool,
        typer.Option("--all-stages", help="With --start, train all stages on, by a long recipe, for a GPU."),
    ] = False,
    name: Annotated[str, typer.Option(help="Name of the model.")] = BUILT_IN_MODEL,
    trunk: Annotated[str | None, typer.Option(help="timm architecture of the picture side.")] = None,
    side: Annotated[
        int | None, typer.Option(min=64, help="Side of the model's input, a multiple of 16 pixels.")
    ] = None,
    dimension: Annotated[int | None, typer.Option(min=16, help="Components of a vector.")] = None,
    passes: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Passes over the training pictures; 0, with --start, trains nothing and whitens, and what is said of "
            "training changes nothing.",
        ),
    ] = None,
    batch: Annotated[int | None, typer.Option(min=8, help="Pictures of a batch.")] = None,
    views: Annotated[int | None, typer.Option(min=1, help="Clean crops that the teachers see of a picture.")] = None,
    mixtures: Annotated[int | None, typer.Option(min=1, help="Mixtures that they see of a picture.")] = None,
    cut_outs: Annotated[
        int | None, typer.Option(min=1, help="Cut-outs on white that they see of a picture of a product, with --start.")
    ] = None,
    keep: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of the weights of --start in what is written, 0 if not given; can be changed after.",
        ),
    ] = None,
    whiten: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="How far vectors are whitened in the end; 0.4 if not given, 0.2 with --start; can be changed after.",
        ),
    ] = None,
    middle: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=4,
            help="Length of what the stage before the last adds to a vector, where the rest is 1; 1 if not given and "
            "the trunk is one of those that can; can be changed after.",
        ),
    ] = None,
    goods: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=4,
            help="Length of what tells known goods apart, where what was learned is 1; 0.5 if not given, "
            "--middle is not 0 and there are more than 32 products among the pictures; can be changed after.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of everything.")] = 0,
    device: Annotated[Device, typer.Option(help="Where to train; auto takes CUDA when it is there.")] = Device.AUTO,
    minutes: Annotated[float, typer.Option(min=0, help="Stop after so long, to go on later; 0 is never.")] = 0,
    measure: Annotated[bool, typer.Option(help="Measure the model on rows of use test.")] = True,
    measure_teachers: Annotated[bool, typer.Option(help="Measure the teachers as well, for the card.")] = False,
    licence: Annotated[
        list[str] | None, typer.Option(help="TAR=LICENCE of pictures, for the card; can be repeated.")
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0 is one per core.")] = 0,
) -> None:
    low_priority()
    licences = dict(map(_licence, licence or []))
    of_training = {"batch": batch, "views": views, "mixtures": mixtures, "cut_outs": cut_outs, "kept_share": keep}
    if start is None and (cut_outs is not None or keep is not None or all_stages):
        raise WrongUse("--cut-outs, --keep and --all-stages are for a model that has learned already: give --start")
    import torch

    from imagescreen.embedding.hardware import resolve_device, thread_count
    from imagescreen.evaluation.photos import PhotoSet
    from imagescreen.evaluation.training import run as runs
    from imagescreen.evaluation.training.measure import check_measurable
    from imagescreen.evaluation.training.pictures import training_rows
    from imagescreen.evaluation.training.place import Place
    from imagescreen.evaluation.training.recipe import (
        Recipe,
        changed,
        finishing,
        going_on,
        usual_goods_share,
        usual_middle_share,
    )
    from imagescreen.evaluation.training.start import start_from
    from imagescreen.evaluation.training.teachers import Teachers

    photo_set = PhotoSet(photos)
    built = changed(Recipe(name=name, seed=seed), trunk=trunk, side=side, dimension=dimension)
    begun = None if start is None else start_from(start, built, instead_of=folder / runs.WEIGHTS / name)
    usual = built if begun is None else (going_on if all_stages else finishing)(built, begun.told)
    middle = usual_middle_share(built.trunk) if middle is None else middle
    recipe = changed(usual, passes=passes, whitening=whiten, middle_share=middle, **of_training)
    goods = usual_goods_share(recipe, training_rows(photo_set)) if goods is None else goods
    recipe = changed(recipe, goods_share=goods)
    torch.set_num_threads(thread_count(threads))
    place = Place(folder, resolve_device(device), stop_after_s=60 * minutes if minutes else float("inf"))

    if measure or measure_teachers:
        check_measurable(photo_set)
    runs.check(photo_set, recipe)
    taught = Teachers(teachers)
    folder.mkdir(parents=True, exist_ok=True)
    with progress_bar() as progress:
        pictures = runs.read_pictures(photo_set, recipe, progress)
    if recipe.cut_outs and recipe.passes:
        out.print("cut-outs are looked for where they are not made yet: a minute or two for some thousand pictures")
    outcome = runs.train(pictures, taught, recipe, place, _tell, start=begun, licences=licences)
    if not isinstance(outcome, runs.Outcome):
        out.print(f"stopped after {outcome.seconds / 60:.1f} minutes in all; the same command goes on")
        return
    out.print(f"{outcome.folder}: {outcome.size_bytes:,} bytes, {_took(outcome.subject.trained)}", markup=False)
    measured = {}
    with progress_bar() as progress:
        if measure:
            weights_dir, count = folder / runs.WEIGHTS, thread_count(threads)
            measured[name] = runs.measure_model(name, weights_dir, photo_set, threads=count, progress=progress)
        if measure_teachers:
            found = runs.measure_teachers(taught, photo_set, device=place.device, progress=progress)
            measured["the teachers"] = found
    if measured:
        runs.write_card(outcome.folder, outcome.subject, measured)
        out.print(_table(measured))


def _took(trained: "Trained") -> str:
    return f"{trained.seconds / 60:.1f} minutes" if trained.done.steps else "nothing was trained"


def _table(measured: "dict[str, Measured]") -> Table:
    table = Table("measured", *measured)
    for key in asdict(next(iter(measured.values()))):
        table.add_row(key, *(_shown(getattr(found, key)) for found in measured.values()))
    return table


def _tell(state: "State") -> None:
    losses = "".join(f", {key} {value:.3f}" for key, value in state.losses.items())
    what = "step" if losses else "view"
    out.print(
        f"{state.stage}: {what} {state.done:,} of {state.total:,}, {state.views_per_s:,.0f} views/s{losses}, "
        f"{state.seconds_left / 60:.1f} minutes left"
    )


def _licence(told: str) -> tuple[str, str]:
    tar, _, licence = told.partition("=")
    if not tar.strip() or not licence.strip():
        raise WrongUse(f"--licence {told!r} is not TAR=LICENCE")
    return tar.strip(), licence.strip()


def _shown(value: float | int | None) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "" if value is None else str(value)


if __name__ == "__main__":
    run(app)

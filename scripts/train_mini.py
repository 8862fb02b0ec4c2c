"""Trains the built-in model: a small open_clip model, distilled from two ImageNet encoders on a photo set.

Takes a photo set (tar files and their index.csv), of which it trains on the rows of use train alone, and the folder
of the teachers' weights. Runs on CUDA (minutes) or on a processor (hours); a run that was interrupted goes on when the
same command is given again, from what it saved every two minutes. Needs the extra `train`.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
from _console import low_priority, new_app, out, progress_bar, run
from rich.table import Table

app = new_app()

EPILOG = """
**Examples**

    .venv/bin/python scripts/train_mini.py photos/ teachers/ run/

    .venv/bin/python scripts/train_mini.py photos/ teachers/ run/ --passes 20 --trunk resnet10t --side 128

Exit codes: 0 trained, 1 something is broken, 2 wrong use, 130 interrupted.
"""


@app.command(help=__doc__, epilog=EPILOG)
def main(
    photos: Annotated[Path, typer.Argument(help="Folder of a photo set.", show_default=False)],
    teachers: Annotated[Path, typer.Argument(help="Folder of the teachers' weights.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="Where the run is kept: its state and the model.", show_default=False)],
    *,
    name: Annotated[str, typer.Option(help="Name of the model.")] = "mini-2",
    trunk: Annotated[str | None, typer.Option(help="timm architecture of the picture side.")] = None,
    side: Annotated[int | None, typer.Option(min=64, help="Side of the model's input in pixels.")] = None,
    dimension: Annotated[int | None, typer.Option(min=16, help="Components of a vector.")] = None,
    passes: Annotated[int | None, typer.Option(min=1, help="Passes over the training pictures.")] = None,
    batch: Annotated[int | None, typer.Option(min=8, help="Pictures of a batch.")] = None,
    views: Annotated[int | None, typer.Option(min=1, help="Clean crops that the teachers see of a picture.")] = None,
    mixtures: Annotated[int | None, typer.Option(min=1, help="Mixtures that they see of a picture.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    minutes: Annotated[float, typer.Option(min=0, help="Stop after so long, to go on later; 0 is never.")] = 0,
    measure: Annotated[bool, typer.Option(help="Measure the model on rows of use test.")] = True,
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0 is one per core.")] = 0,
) -> None:
    low_priority()
    from imagescreen.embedding.libraries import import_open_clip

    import_open_clip()
    import torch

    from imagescreen.embedding.hardware import resolve_device, thread_count
    from imagescreen.evaluation.photos import PhotoSet
    from imagescreen.evaluation.training.distil import Place, State
    from imagescreen.evaluation.training.recipe import Recipe
    from imagescreen.evaluation.training.run import WEIGHTS, measure_model, train
    from imagescreen.evaluation.training.teachers import Teachers
    from imagescreen.settings import Device

    usual = Recipe()
    recipe = replace(
        usual,
        name=name,
        trunk=trunk or usual.trunk,
        side=side or usual.side,
        dimension=dimension or usual.dimension,
        passes=passes or usual.passes,
        batch=batch or usual.batch,
        views=views or usual.views,
        mixtures=mixtures or usual.mixtures,
        seed=seed,
    )
    torch.set_num_threads(thread_count(threads))
    chosen = resolve_device(Device(device))
    folder.mkdir(parents=True, exist_ok=True)

    def tell(state: State) -> None:
        parts = " ".join(f"{key} {value:.3f}" for key, value in state.losses.items())
        out.print(
            f"step {state.step:,} of {state.steps:,}: {state.pictures_per_s:,.0f} views/s, {parts}, "
            f"{state.seconds_left / 60:.1f} minutes left"
        )

    place = Place(folder, chosen, stop_after_s=60 * minutes if minutes else float("inf"))
    photo_set = PhotoSet(photos)
    outcome = train(photo_set, Teachers(teachers), recipe, place, tell)
    if outcome.folder is None:
        out.print(f"stopped after {outcome.trained.seconds / 60:.1f} minutes; the same command goes on")
        return
    out.print(f"{outcome.folder}: {outcome.size_bytes:,} bytes, {outcome.trained.seconds / 60:.1f} minutes")
    if not measure:
        return
    with progress_bar() as progress:
        measured = measure_model(name, folder / WEIGHTS, photo_set, threads=thread_count(threads), progress=progress)
    table = Table("measured", "value")
    for key, value in asdict(measured).items():
        table.add_row(key, f"{value:.3f}" if isinstance(value, float) else str(value))
    out.print(table)


if __name__ == "__main__":
    run(app)

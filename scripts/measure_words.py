"""Measures what words catch without any picture: classes of objects of a photo set, described in phrases.

Takes a photo set (tar files and their index.csv), of which it reads the rows of use calibrate and test. It shows the
recall at 1 false flag in 100 ordinary pictures of the known classes, and the ways to make a score that were compared on
other rows.
"""

from pathlib import Path
from typing import Annotated

import typer
from _console import low_priority, new_app, out, progress_bar, run
from rich.table import Table

from imagescreen.errors import WrongUse
from imagescreen.settings import read_settings

app = new_app()

EPILOG = """
**Examples**

    .venv/bin/python scripts/measure_words.py photos/

    .venv/bin/python scripts/measure_words.py photos/ --model vit-b-32-laion2b --vectors vectors.npz

Exit codes: 0 measured, 1 something is broken, 2 wrong use.
"""


@app.command(help=__doc__, epilog=EPILOG)
def main(
    folder: Annotated[Path, typer.Argument(help="Folder of a photo set.", show_default=False)],
    model: Annotated[str | None, typer.Option(help="A model in weights/; by default the setting.")] = None,
    vectors: Annotated[Path | None, typer.Option(help="Keep vectors here: no picture is embedded twice.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of splits and resampling.")] = 7,
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0 is one per core.")] = 0,
) -> None:
    low_priority()
    settings = read_settings(model=model, torch_threads=threads, decode_threads=threads)
    from imagescreen.embedding.encoder import load_encoder
    from imagescreen.embedding.hardware import thread_count
    from imagescreen.evaluation.embedded import Embedder
    from imagescreen.evaluation.kept_vectors import keep_vectors, read_vectors
    from imagescreen.evaluation.photo_tasks import GARMENTS, OBJECTS, photo_pictures
    from imagescreen.evaluation.photos import PhotoSet
    from imagescreen.evaluation.words import choices, known_classes
    from imagescreen.jobs.workbench import new_reader

    photos = PhotoSet(folder)
    encoder = load_encoder(
        settings.model, settings.weights_dir, dtype=settings.dtype, device=settings.device, threads=threads
    )
    if not encoder.has_text:
        raise WrongUse(f"there are no words to measure: {encoder.text_off_reason}")
    known = (
        {} if vectors is None else read_vectors(vectors, fingerprint=encoder.fingerprint, dimension=encoder.dimension)
    )
    reader = new_reader(settings)
    with progress_bar() as progress:
        embedder = Embedder(reader, encoder, thread_count(threads), progress, known)
        wanted = [one for one in photo_pictures(photos, reader) if not one.edited]
        embedded = embedder.embed([one for one in wanted if one.row.tar in (OBJECTS, GARMENTS)])
    if vectors is not None:
        keep_vectors(vectors, embedder.known, fingerprint=encoder.fingerprint)
    measured = known_classes(embedded, encoder, seed=seed)
    out.print(
        f"recall at 1 false flag in 100 of {measured[0].ordinary:,} ordinary pictures, model {encoder.name} "
        f"({encoder.fingerprint[:16]})"
    )
    table = Table("class", "pictures", "by words", "95 %", "with contrast", "together")
    for one in measured:
        table.add_row(
            one.label,
            str(one.pictures),
            f"{one.alone:.3f}",
            f"{one.interval.low:.3f}-{one.interval.high:.3f}",
            f"{one.contrasted:.3f}",
            f"{one.together:.3f}",
        )
    out.print(table)
    for one in measured:
        out.print(f"contrast of {one.label}: {', '.join(one.contrast)}", markup=False)
    table = Table("score, on rows of use calibrate", "classes", "mean recall")
    for choice in choices(embedded, encoder, seed=seed):
        table.add_row(choice.what, str(choice.classes), f"{choice.recall:.3f}")
    out.print(table)


if __name__ == "__main__":
    run(app)

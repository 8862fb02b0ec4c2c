"""Measures how well a model finds known items among ordinary goods: raw, normalised and calibrated scores.

SOURCE is a folder or a manifest of labelled pictures. A folder has references/LABEL/, queries/LABEL/, ordinary/ and,
for normalised scores, background/. Each picture of queries/LABEL/ and ordinary/ is a package of its own, and each
sub-folder there is a package of several, which scores as its best picture does. A manifest is a CSV with the columns
path, role (reference, query, ordinary, background), label (for references and queries), package, and tar: with it,
path is a member of the file TAR.tar beside the manifest.

With --photos, SOURCE is a photo set (tar files and their index.csv), and three tasks are measured on its rows of use
calibrate and test: edited copies among garments, grocery photographs against catalogue pictures, one class of objects
among the others; and whether conformal thresholds keep the rates that they promise.
"""

import os
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from _console import DONE, SOME_REJECTED, low_priority, new_app, out, progress_bar, run
from _quality import show_evaluation

from imagescreen.errors import WrongUse
from imagescreen.evaluation.normalising import BETA, TOP_K
from imagescreen.settings import Device, DType, read_settings

app = new_app()

EPILOG = """
**Examples**

    .venv/bin/python scripts/evaluate.py labelled/ --html quality.html --json quality.json

    .venv/bin/python scripts/evaluate.py labelled.csv --model vit-b-32-laion2b --rate 0.01 --rate 0.001

    .venv/bin/python scripts/evaluate.py photos/ --photos --vectors vectors.npz --append docs/quality.md

Exit codes: 0 measured, 1 measured but some pictures could not be used (they are named), or something is broken, 2 wrong
use; nothing is written then.
"""


@app.command(help=__doc__, epilog=EPILOG)
def main(
    source: Annotated[Path, typer.Argument(help="Folder or .csv of labelled pictures.", show_default=False)],
    *,
    photos: Annotated[bool, typer.Option("--photos", help="SOURCE is a photo set.")] = False,
    model: Annotated[str | None, typer.Option(help="A model in weights/; by default the setting.")] = None,
    rate: Annotated[
        list[float] | None,
        typer.Option(
            help="Share of ordinary packages flagged falsely; by default 0.01, and 0.001 where there are 1,000."
        ),
    ] = None,
    beta: Annotated[float, typer.Option(min=0, help="Weight of the background in the normalised score.")] = BETA,
    top_k: Annotated[int, typer.Option(min=1, help="Nearest background pictures that count.")] = TOP_K,
    html: Annotated[Path | None, typer.Option(help="Write the report here, one file.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write every figure here.")] = None,
    append: Annotated[Path | None, typer.Option(help="Append a section in Markdown to this file.")] = None,
    vectors: Annotated[Path | None, typer.Option(help="Keep vectors here: no picture is embedded twice.")] = None,
    pairs: Annotated[int, typer.Option(min=0, max=200, help="Worst false flags and misses shown, each.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Seed of splits and resampling.")] = 7,
    rounds: Annotated[int, typer.Option(min=100, help="Resamples behind each interval.")] = 500,
    device: Annotated[Device | None, typer.Option(help="By default the setting.", show_default=False)] = None,
    dtype: Annotated[DType | None, typer.Option(help="By default the setting.", show_default=False)] = None,
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0 is one per core.")] = 0,
) -> None:
    for path in (html, json, append, vectors):
        if path is not None:
            _check_writable(path)
    low_priority()
    settings = read_settings(model=model, device=device, dtype=dtype, torch_threads=threads, decode_threads=threads)
    from imagescreen.embedding.encoder import load_encoder
    from imagescreen.embedding.hardware import thread_count
    from imagescreen.evaluation.embedded import Embedder
    from imagescreen.evaluation.evaluate import Plan, evaluate_labelled, evaluate_photos, sections
    from imagescreen.evaluation.kept_vectors import keep_vectors, read_vectors
    from imagescreen.evaluation.labelled import labelled_pictures
    from imagescreen.evaluation.machine import described
    from imagescreen.evaluation.photos import PhotoSet
    from imagescreen.evaluation.quality_json import document
    from imagescreen.evaluation.quality_markdown import markdown
    from imagescreen.evaluation.quality_plots import check_plots
    from imagescreen.evaluation.quality_report import Heading, html_report
    from imagescreen.pictures import DecodingBudget, PictureLimits, PictureReader

    if html is not None:
        check_plots()
    plan = Plan(_checked(rate or []), beta, top_k, seed, rounds, pairs)
    photo_set = PhotoSet(source) if photos else None
    labelled = () if photos else labelled_pictures(source, settings.max_picture_bytes)
    cores = thread_count(threads)
    reader = PictureReader(
        PictureLimits(settings.max_picture_bytes, settings.max_picture_pixels, settings.min_picture_side),
        DecodingBudget(settings.max_decoding_pixels, cores),
    )
    encoder = load_encoder(
        settings.model, settings.weights_dir, dtype=settings.dtype, device=settings.device, threads=threads
    )
    known = (
        {} if vectors is None else read_vectors(vectors, fingerprint=encoder.fingerprint, dimension=encoder.dimension)
    )
    with progress_bar() as progress:
        embedder = Embedder(reader, encoder, cores, progress, known)
        if photo_set is not None:
            evaluation = evaluate_photos(photo_set, embedder, plan)
        else:
            name = source.stem or source.resolve().name
            evaluation = evaluate_labelled(name, labelled, embedder, plan)
    heading = Heading(
        title="Quality on a photo set" if photos else f"Quality on {source.name or source.resolve().name}",
        command=shlex.join([".venv/bin/python", "scripts/evaluate.py", *sys.argv[1:]]),
        machine=f"{described(('torch', 'open-clip-torch', 'numpy', 'pillow'))}; {encoder.device}, {encoder.dtype}",
        on=datetime.now(UTC).date().isoformat(),
        model=encoder.name,
        fingerprint=encoder.fingerprint,
    )
    if vectors is not None:
        keep_vectors(vectors, embedder.known, fingerprint=encoder.fingerprint)
    measured = (evaluation.qualities, evaluation.promises, evaluation.remarks, evaluation.rejected)
    show_evaluation(*measured)
    if json is not None:
        json.write_bytes(document(heading, *measured))
    if html is not None:
        page = html_report(heading, sections(evaluation, reader, plan), *measured[1:])
        html.write_text(page, encoding="utf-8")
    if append is not None:
        with append.open("a", encoding="utf-8") as file:
            file.write("\n" + markdown(heading, *measured))
    for path in (json, html, append):
        if path is not None:
            out.print(f"written to {path}", markup=False)
    raise typer.Exit(SOME_REJECTED if evaluation.rejected else DONE)


def _checked(rates: list[float]) -> tuple[float, ...]:
    for rate in rates:
        if not 0 < rate < 1:
            raise WrongUse(f"--rate {rate:g} is no share of ordinary packages: allowed is more than 0 and less than 1")
    return tuple(sorted(set(rates), reverse=True))


def _check_writable(path: Path) -> None:
    """Before an hour of embedding, not after it."""
    place = path if path.exists() else path.parent
    if path.is_dir() or not place.exists() or not os.access(place, os.W_OK):
        raise WrongUse(f"{path} cannot be written: it is a folder, or its folder is missing or not writable")


if __name__ == "__main__":
    run(app)

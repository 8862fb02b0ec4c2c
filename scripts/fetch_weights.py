"""Install a model of `weights/models.toml` from the model hub.

Each file is hashed against the registry or, where the registry knows no hash, against the hub's own; then the model is
loaded once and described in its manifest. Nothing half-made is left behind, so the command can be run again at any
time. Reindexing with the new model is a second step, because each model has its own space of vectors.

Examples:

    .venv/bin/python scripts/fetch_weights.py --list

    .venv/bin/python scripts/fetch_weights.py vit-b-32-laion2b

    .venv/bin/python scripts/reindex.py --model vit-b-32-laion2b

Exit codes: 0 installed (also when it was already), 1 it could not be installed, 2 wrong use.
"""

import signal
from pathlib import Path
from typing import Annotated

import typer
from _console import new_app, run
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from rich.table import Column, Table

from imagescreen.embedding.fetch import fetch_model, rewrite_manifest
from imagescreen.embedding.manifest import installed_models
from imagescreen.embedding.registry import read_registry
from imagescreen.errors import FetchFailed, WrongUse
from imagescreen.settings import read_settings


class ConsoleProgress:
    """A bar for each file on a terminal, a line for each elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._current: TaskID | None = None

    def __enter__(self) -> "ConsoleProgress":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def file(self, name: str, total_bytes: int) -> None:
        if not self._console.is_terminal:
            self.note(f"{name}: {total_bytes} bytes")
        self._current = self._bars.add_task(name, total=total_bytes)

    def advance(self, received_bytes: int) -> None:
        if self._current is not None:
            self._bars.advance(self._current, received_bytes)

    def note(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


def main(
    name: Annotated[str, typer.Argument(help="Name of the model in models.toml.", show_default=False)] = "",
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept the licence of a model whose licence is not an open one.")
    ] = False,
    rewrite: Annotated[
        bool,
        typer.Option("--rewrite-manifest", help="Fetch nothing; describe anew the files that are in the folder."),
    ] = False,
    show_list: Annotated[bool, typer.Option("--list", help="Show the models that there are.")] = False,
    weights_dir: Annotated[
        Path | None, typer.Option(help="Folder of the models (default: the setting `weights_dir`).")
    ] = None,
) -> None:
    folder = read_settings(weights_dir=weights_dir).weights_dir
    if show_list:
        _show(folder)
        return
    if not name:
        raise WrongUse("Name the model to install; --list shows them.")
    registry = read_registry(folder)
    if name not in registry:
        raise WrongUse(f"There is no model {name!r}; there are {', '.join(registry)}.")
    entry = registry[name]
    if rewrite:
        manifest = rewrite_manifest(entry, folder)
        print(f"{name} is described anew, fingerprint {manifest.fingerprint}.")
        return
    try:
        with ConsoleProgress(Console(stderr=True)) as progress:
            fetched = fetch_model(entry, folder, accept_licence=accept_license, progress=progress)
    except KeyboardInterrupt:
        raise FetchFailed("Interrupted: nothing was installed, and the command can be run again.") from None
    if fetched.already_there:
        print(f"{name} is already installed and whole, fingerprint {fetched.manifest.fingerprint}.")
        return
    print(f"{name} is installed, fingerprint {fetched.manifest.fingerprint}.")
    if fetched.to_pin:
        print(f"To pin what was fetched, put these lines into the entry of {name} in models.toml:")
        print("\n".join(fetched.to_pin))


def _show(folder: Path) -> None:
    installed = installed_models(folder)
    table = Table(Column("name", no_wrap=True), "vector", "input", "licence", "to fetch", "installed")
    for entry in read_registry(folder).values():
        table.add_row(
            entry.name,
            str(entry.dimension),
            str(entry.input_size or "?"),
            entry.licence + ("" if entry.open_licence else " (needs --accept-license)"),
            f"{entry.download_mib} MiB" if entry.download_mib else "" if entry.built_in else "?",
            "yes" if entry.name in installed else "no",
        )
    Console().print(table)


def _interrupted(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


app = new_app()
app.command(help=__doc__)(main)

if __name__ == "__main__":
    # Ended politely, the run clears its unfinished folder just as after Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupted)
    run(app)

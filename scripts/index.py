"""Index versions: list, verify, activate (also to go back to an earlier one), prune.

A version is an immutable folder under the setting `index_dir`; which one is current is told by the database. Running
servers follow an activation by themselves, each after it has checked the version itself.
"""

from typing import Annotated

import typer
from _console import DONE, SOME_REJECTED, low_priority, megabytes, new_app, out, run
from rich import box
from rich.console import Console
from rich.table import Column, Table

from imagescreen.settings import read_settings

app = new_app(help=__doc__, no_args_is_help=True)

EXIT_CODES = "Exit codes: 0 done, 1 it could not be done, 2 wrong use."


@app.command("list", epilog=f"Example: .venv/bin/python scripts/index.py list\n\n{EXIT_CODES}")
def list_all() -> None:
    """Lists the versions on disk by their manifests, newest first. Whether one is sound, `verify` tells."""
    from imagescreen.database.index_versions import current_version
    from imagescreen.jobs.prune import size_bytes
    from imagescreen.jobs.workbench import open_store
    from imagescreen.matching import BrokenVersion, list_versions

    with open_store(read_settings()) as store:
        with store.database.read() as session:
            current = current_version(session)
        found = list_versions(store.versions_dir)
    table = Table(
        Column("version", no_wrap=True),
        "current",
        "model",
        "type",
        Column("pictures", justify="right"),
        Column("references", justify="right"),
        Column("sequence", justify="right"),
        Column("built (UTC)", no_wrap=True),
        Column("size", justify="right", no_wrap=True),
        Column("recall", justify="right"),
        "manifest",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for entry in found:
        mark = "yes" if current is not None and entry.version == current.version else ""
        if isinstance(entry, BrokenVersion):
            table.add_row(entry.version, mark, *[""] * 8, "broken")
            continue
        table.add_row(
            entry.version,
            mark,
            entry.model,
            entry.index_type.value,
            f"{entry.pictures:,}",
            f"{entry.references:,}",
            str(entry.sequence),
            f"{entry.built_at:%Y-%m-%d %H:%M}",
            megabytes(size_bytes(entry)),
            f"{entry.recall:.4f}",
            "readable",
        )
    # Columns must not be dropped where the width is not known, as in a pipe.
    Console(width=max(out.width, 160), highlight=False).print(table)
    for entry in found:
        if isinstance(entry, BrokenVersion):
            out.print(f"{entry.version}: {entry.problem}", style="red", markup=False)
    if current is None:
        out.print("no version is current: build one with scripts/reindex.py")
    elif current.version not in {entry.version for entry in found}:
        choice = " or activate one of these" if found else ""
        out.print(
            f"version {current.version} is current, and its folder is not there: build another with scripts/reindex.py"
            f"{choice}",
            style="yellow",
        )
    if any(isinstance(entry, BrokenVersion) for entry in found):
        raise typer.Exit(SOME_REJECTED)


@app.command(epilog=f"Example: .venv/bin/python scripts/index.py verify\n\n{EXIT_CODES}")
def verify(
    versions: Annotated[list[str] | None, typer.Argument(help="Versions (default: all on disk).")] = None,
) -> None:
    """Opens versions fully, as a server does: the hash of every file, ids, canaries, thresholds."""
    from imagescreen.errors import ImagescreenError
    from imagescreen.jobs.activation import open_checked
    from imagescreen.jobs.workbench import open_store
    from imagescreen.matching import list_versions

    low_priority()
    broken = 0
    with open_store(read_settings()) as store:
        chosen = versions or [entry.version for entry in list_versions(store.versions_dir)]
        for version in chosen:
            try:
                manifest = open_checked(store, version).manifest
                out.print(f"{version}: sound ({manifest.pictures:,} pictures)", markup=False)
            except ImagescreenError as error:
                broken += 1
                out.print(error.detail, style="red", markup=False)
    if not chosen:
        out.print("there are no index versions")
    raise typer.Exit(SOME_REJECTED if broken else DONE)


@app.command(epilog=f"Example: .venv/bin/python scripts/index.py activate 20270131T120000Z-0123abcd\n\n{EXIT_CODES}")
def activate(
    version: Annotated[str, typer.Argument(help="Name of a version on disk.", show_default=False)],
    by: Annotated[str, typer.Option("--by", help="Who does it, as told; kept in the audit log.")] = "scripts/index.py",
) -> None:
    """Checks a version and makes it current; what changed since it was built, servers apply on top."""
    from imagescreen.calibration.scale import THRESHOLDS_FILE
    from imagescreen.jobs.activation import activate as activate_version
    from imagescreen.jobs.workbench import open_store

    settings = read_settings()
    with open_store(settings) as store:
        done = activate_version(store, version, actor=by)
    what = "was current already, servers that refused it try again" if done.was_current else "is current now"
    out.print(
        f"index version {version} {what}: {done.manifest.references:,} references, model {done.manifest.model}",
        markup=False,
    )
    if done.changed_references:
        out.print(
            f"references that changed since it was built, which servers apply on top: {done.changed_references:,}"
        )
    if 0 < settings.fold_changes < done.changed_references:
        out.print(
            "so many changes make a server build a new version soon: IMAGESCREEN_FOLD_CHANGES=0 keeps servers from it",
            style="yellow",
        )
    if THRESHOLDS_FILE not in done.manifest.files:
        out.print("it has no measured thresholds: every package goes to review (scripts/calibrate.py)", style="yellow")


@app.command(epilog=f"Example: .venv/bin/python scripts/index.py prune --keep 3\n\n{EXIT_CODES}")
def prune(
    keep: Annotated[
        int | None, typer.Option(min=1, help="How many of the newest remain (default: the setting `keep_versions`).")
    ] = None,
) -> None:
    """Deletes old versions, never the current one nor one that a running server serves."""
    from imagescreen.jobs.prune import prune as prune_versions
    from imagescreen.jobs.workbench import open_store

    settings = read_settings()
    with open_store(settings) as store:
        pruned = prune_versions(store, keep=keep or settings.keep_versions)
    for gone in pruned:
        out.print(f"deleted: {gone.version}, {megabytes(gone.size_bytes)}", markup=False)
    out.print(f"versions deleted: {len(pruned)}, {megabytes(sum(gone.size_bytes for gone in pruned))} freed")


if __name__ == "__main__":
    run(app)

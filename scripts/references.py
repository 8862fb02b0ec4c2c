"""Shows and changes references: list, show, activate, suspend, retire; noisy, trust; hash.

Changes take effect in a running server within a second, without a rebuild.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import msgspec
import typer
from _console import new_app, out, progress_bar, run
from rich import box
from rich.table import Column, Table

from imagescreen.errors import InvalidContent, WrongUse
from imagescreen.settings import read_settings

if TYPE_CHECKING:
    from imagescreen.references.catalogue import Catalogue

app = new_app(help=__doc__, no_args_is_help=True)
References = Annotated[list[UUID], typer.Argument(help="Reference ids.", show_default=False)]
Actor = Annotated[str | None, typer.Option("--by", help="Who changes it, as told; kept in the audit log.")]


@app.command(
    "list", epilog="Example: .venv/bin/python scripts/references.py list --state suspended --category counterfeit"
)
def list_references(
    state: Annotated[str | None, typer.Option(help="draft, active, suspended or retired.")] = None,
    kind: Annotated[str | None, typer.Option(help="known_item, genuine or not_goods.")] = None,
    category: Annotated[str | None, typer.Option(help="E.g. counterfeit.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows.")] = 50,
) -> None:
    """Lists references, oldest first."""
    from imagescreen.references.catalogue import ReferenceFilter
    from imagescreen.references.facts import ReferenceKind, ReferenceState

    wanted = ReferenceFilter(
        state=None if state is None else _member(ReferenceState, state),
        kind=None if kind is None else _member(ReferenceKind, kind),
        category=category,
    )
    with _open() as catalogue:
        rows = catalogue.list(wanted, limit=limit)
    table = Table(
        Column("reference_id", no_wrap=True, min_width=36),
        "title",
        Column("category", no_wrap=True),
        Column("state", no_wrap=True),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for row in rows:
        state = row.state.value if row.matches_now == (row.state.value == "active") else f"{row.state.value} (by date)"
        table.add_row(str(row.reference_id), row.title, row.category or row.kind.value, state)
    out.print(table)
    out.print(f"{len(rows)} references" + (f" (the first {limit})" if len(rows) == limit else ""))


@app.command()
def show(reference_id: Annotated[UUID, typer.Argument(help="Reference id.", show_default=False)]) -> None:
    """Shows one reference with everything that is known of it, as JSON."""
    with _open() as catalogue:
        out.print_json(msgspec.json.encode(catalogue.get(reference_id)).decode())


@app.command()
def activate(reference_ids: References, by: Actor = None) -> None:
    """Lets references match (again)."""
    _change(reference_ids, {"state": "active"}, by)


@app.command(epilog="Example: .venv/bin/python scripts/references.py suspend 0199… --until 2027-01-31")
def suspend(
    reference_ids: References,
    until: Annotated[
        str | None, typer.Option(help="Match again from this date (midnight UTC) or RFC 3339 time on.")
    ] = None,
    by: Actor = None,
) -> None:
    """Stops references from matching, for a time or until they are activated."""
    _change(reference_ids, {"state": "suspended", "suspended_until": _moment(until)}, by)


@app.command()
def retire(reference_ids: References, by: Actor = None) -> None:
    """Stops references from matching for good; they stay in the catalogue."""
    _change(reference_ids, {"state": "retired"}, by)


@app.command(epilog="Example: .venv/bin/python scripts/references.py noisy --update")
def noisy(
    update: Annotated[bool, typer.Option("--update", help="Count anew, and quarantine what is noisy now.")] = False,
) -> None:
    """Lists references that flag too much: they still match, and lead to review at most.

    With --update, stored screenings and reviews of the policy's window are counted anew (run it daily, say).
    """
    from imagescreen.jobs.noisy import noisy_references, update_noisy
    from imagescreen.jobs.workbench import open_store
    from imagescreen.screening.policy import read_policy

    settings = read_settings()
    with open_store(settings) as store:
        quarantined = update_noisy(store, read_policy(settings.policy_file)) if update else []
        fresh = {one.reference_id for one in quarantined}
        found = noisy_references(store)
    for one in found:
        state = f"trusted since {one.trusted_at:%Y-%m-%d}" if one.trusted_at else "in quarantine"
        state += " (new)" if one.reference_id in fresh else f" from {one.quarantined_at:%Y-%m-%d} on"
        counts = one.counts
        out.print(f"{one.reference_id}  {state}: {one.title}", markup=False)
        out.print(
            f"  {one.why}; at the last count {counts.flagged} of {counts.screened} packages flagged, "
            f"{counts.confirmed} confirmed, {counts.dismissed} dismissed",
            markup=False,
        )
    out.print(f"{sum(one.trusted_at is None for one in found)} references in quarantine")


@app.command(epilog="Example: .venv/bin/python scripts/references.py trust 0199… --by 'desk 4'")
def trust(reference_ids: References, by: Actor = None) -> None:
    """Lifts the quarantine of references; only what is screened from now on counts against them."""
    from imagescreen.jobs.noisy import trust as lift
    from imagescreen.jobs.workbench import open_store

    with open_store(read_settings()) as store:
        for reference_id in reference_ids:
            lift(store, reference_id, actor=by)
            out.print(f"{reference_id} is trusted again")


@app.command("hash", epilog="Example: .venv/bin/python scripts/references.py hash")
def hash_pictures() -> None:
    """Gives pictures that were added without the extra `pdq` their PDQ hash. Safe to interrupt and to run again."""
    from imagescreen.jobs.hash_pictures import hash_pictures as hash_all
    from imagescreen.jobs.workbench import open_store

    with open_store(read_settings()) as store, progress_bar() as progress:
        report = hash_all(store, progress=progress)
    for told in report.failed:
        out.print(told, style="yellow", markup=False)
    out.print(f"{report.hashed} pictures hashed, {len(report.failed)} could not be")
    raise typer.Exit(1 if report.failed else 0)


def _change(reference_ids: list[UUID], patch: dict[str, Any], actor: str | None) -> None:
    with _open() as catalogue:
        for reference_id in reference_ids:
            changed = catalogue.change(reference_id, patch, actor=actor)
            until = f" until {changed.suspended_until.isoformat()}" if changed.suspended_until else ""
            out.print(f"{reference_id} is {changed.state.value}{until}: {changed.title}", markup=False)


@contextmanager
def _open() -> Iterator["Catalogue"]:
    """The catalogue without a model: a running server takes notice by the change feed."""
    from imagescreen.jobs.workbench import open_store
    from imagescreen.references.catalogue import Catalogue

    with open_store(read_settings()) as store:
        yield Catalogue(store.database, store.files, on_change=lambda: None)


def _moment(told: str | None) -> str | None:
    from imagescreen.references.facts import moment_of

    if told is None:
        return None
    try:
        return moment_of("--until", told)
    except InvalidContent as error:
        raise WrongUse(error.detail) from None


def _member(kind: Any, told: str) -> Any:
    try:
        return kind(told)
    except ValueError:
        raise WrongUse(f"{told!r} is none of {', '.join(member.value for member in kind)}") from None


if __name__ == "__main__":
    run(app)

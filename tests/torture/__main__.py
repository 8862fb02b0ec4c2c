"""Kills the server, the scripts, or everything at random moments, and checks after each kill that nothing is lost."""

import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from tests.torture.rounds import ROUNDS_UNTIL_TIDY, Torture, torture
from tests.torture.world import Violation

EPILOG = """
Example: .venv/bin/python -m tests.torture --rounds 200 --seed 7

Exit codes: 0 every promise held, 1 one was broken (the home folder is kept and named), 2 wrong use.
"""


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; each kills something in the middle of its work.")] = 200,
    seed: Annotated[int | None, typer.Option(help="What is done and when; the clock still plays its part.")] = None,
    seconds_limit: Annotated[float, typer.Option(min=1, help="No round begins after so long.")] = 3600,
) -> None:
    chosen = time.time_ns() % 1_000_000 if seed is None else seed
    home = Path(tempfile.mkdtemp(prefix="imagescreen-torture-"))
    deadline = time.monotonic() + seconds_limit
    # Ended from outside, it still ends what it has started.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    print(f"seed {chosen}, home {home}", flush=True)
    try:
        with torture(home / "home", chosen) as tortured:
            _play(tortured, rounds, deadline)
    except Violation as violation:
        print(f"VIOLATION: {violation}\nkept: {home}; again: --seed {chosen}")
        sys.exit(1)
    # The build of a server that was killed may still be writing.
    shutil.rmtree(home, ignore_errors=True)
    told = ", ".join(f"{victim} {count}" for victim, count in sorted(tortured.tally.items()))
    print(f"every promise held; killed in the middle of work: {tortured.tally.total()} ({told})")


def _play(tortured: Torture, rounds: int, deadline: float) -> None:
    """A round whose victim had ended before its moment came does not count."""
    number = 0
    while tortured.tally.total() < rounds and time.monotonic() < deadline:
        number += 1
        begun = time.monotonic()
        try:
            played = tortured.play(number)
            if number % ROUNDS_UNTIL_TIDY == 0:
                tortured.tidy()
        except Violation as violation:
            raise Violation(f"round {number}: {violation}") from violation
        fate = "killed" if played.hit else "ended before"
        print(
            f"{number:4} {played.victim} {fate} at {played.moment}; {played.told}; {time.monotonic() - begun:.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(help=__doc__, epilog=EPILOG)(main)
    app()

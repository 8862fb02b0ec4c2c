"""Measures the search of an index of synthetic vectors: latency, recall against exact search, memory, build and load.

The vectors lie in clusters of 100 whose centres are uniform on the sphere; two members of one have a median cosine of
0.6. Half of the queries are members moved to cosine 0.85, half new members. What is prepared stays in --folder, so that
an interrupted run goes on after the last stage. Ten million vectors of 512 dimensions take 26 GB there.
"""

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from _console import new_app, out, run
from rich.table import Table

from imagescreen.settings import IndexChoice

app = new_app()

EPILOG = """
**Examples**

    .venv/bin/python scripts/benchmark_index.py --vectors 100000

    .venv/bin/python scripts/benchmark_index.py --vectors 10000000 --folder /mnt/large --append docs/performance.md

Exit codes: 0 measured, 1 something could not be measured, 2 wrong use.
"""


@app.command(help=__doc__, epilog=EPILOG)
def main(
    *,
    vectors: Annotated[int, typer.Option(min=100, help="Vectors in the index.")] = 100_000,
    dimension: Annotated[int, typer.Option(min=2, help="Their dimension.")] = 512,
    index_type: Annotated[IndexChoice, typer.Option(help="Structure; auto goes by size.")] = IndexChoice.AUTO,
    queries: Annotated[int, typer.Option(min=64, help="Different queries.")] = 1000,
    rounds: Annotated[int, typer.Option(min=1, help="How often the kinds of questions alternate.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of vectors and queries.")] = 7,
    folder: Annotated[Path, typer.Option(help="Where what is prepared stays.")] = Path("index/benchmark"),
    append: Annotated[Path | None, typer.Option(help="Append a section in Markdown to this file.")] = None,
) -> None:
    from imagescreen.evaluation.index_benchmark import Plan, measure_apart, prepare
    from imagescreen.evaluation.index_benchmark_report import HEADER, fact_rows, latency_rows, markdown
    from imagescreen.matching import IndexType, set_search_threads

    set_search_threads(0)
    wanted = None if index_type is IndexChoice.AUTO else IndexType(index_type.value)
    plan = Plan(vectors, dimension, wanted, min(queries, vectors), seed)
    place = folder / plan.name
    out.print(f"preparing {plan.vectors:,} x {plan.dimension} in {place}", markup=False)
    prepared = prepare(plan, place)
    out.print("measuring")
    figures = measure_apart(place, prepared.version, rounds)

    latencies = Table(*HEADER, title=f"{vectors:,} x {dimension}, median of {rounds} rounds (lowest-highest)")
    for row in latency_rows(figures):
        latencies.add_row(*row)
    facts = Table(show_header=False)
    for fact in fact_rows(prepared, figures):
        facts.add_row(*fact)
    out.print(latencies, facts)
    if append is not None:
        command = shlex.join([".venv/bin/python", "scripts/benchmark_index.py", *sys.argv[1:]])
        with append.open("a", encoding="utf-8") as file:
            file.write("\n" + markdown(plan, prepared, figures, command=command, on=datetime.now(UTC).date()))
        out.print(f"appended to {append}", markup=False)


if __name__ == "__main__":
    run(app)

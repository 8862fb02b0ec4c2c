"""scripts/evaluate.py as an operator runs it."""

import json
import os
from pathlib import Path

import pytest

from imagescreen.settings import BUILT_IN_MODEL
from tests.conftest import script
from tests.material import blank, edited_product, product

PRODUCTS, ORDINARY, BACKGROUND = range(4), range(10, 30), range(40, 50)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four known products, an edited copy of each, two of them in one package, others, a broken and a blank picture."""
    home = tmp_path_factory.mktemp("labelled") / "set <b>"
    files = {f"references/p&{seed}/{seed}.jpg": product(seed) for seed in PRODUCTS}
    files |= {f"queries/p&{seed}/{seed}.jpg": edited_product(seed) for seed in PRODUCTS}
    files |= {"queries/p&0/listing/a.jpg": edited_product(0) + b"again", "queries/p&0/listing/b.jpg": product(30)}
    files |= {f"ordinary/{seed}.jpg": product(seed) for seed in ORDINARY}
    files |= {"ordinary/broken.jpg": product(31)[:500], "ordinary/blank.png": blank()}
    files |= {f"background/{seed}.jpg": product(seed) for seed in BACKGROUND}
    for name, data in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(data)
    return home


def test_folders_are_measured_and_reported_as_table_json_html_and_markdown(labelled: Path, tmp_path: Path) -> None:
    page, figures, notes = (tmp_path / name for name in ("q.html", "q.json", "q.md"))
    arguments = ("--rate", "0.1", "--top-k", "3", "--rounds", "100", "--html", page, "--json", figures)
    done = script("evaluate.py", labelled, *arguments, "--append", notes, home=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert "not used: ordinary/broken.jpg" in done.stdout and "not used: ordinary/blank.png" in done.stdout
    assert "normalised" in done.stdout and "1 in 10" in done.stdout
    told = json.loads(figures.read_text(encoding="utf-8"))
    counts = told["tasks"][0]["counts"]
    assert (counts["queries"], counts["query_pictures"], counts["ordinary"], counts["background"]) == (5, 6, 20, 10)
    assert {entry["picture"] for entry in told["rejected"]} == {"ordinary/broken.jpg", "ordinary/blank.png"}
    assert told["heading"]["model"] == BUILT_IN_MODEL and len(told["heading"]["fingerprint"]) > 8
    recalls = {entry["kind"]: entry["recall"]["value"] for entry in told["tasks"][0]["at_rates"]}
    assert recalls["raw"] >= 0.5 and set(recalls) == {"raw", "normalised", "calibrated"}
    text = page.read_text(encoding="utf-8")
    assert "set &lt;b&gt;" in text and "<b>" not in text and "references/p&amp;" in text
    assert notes.read_text(encoding="utf-8").startswith("\n## Quality on set <b>")


def test_without_a_background_the_calibrated_figures_are_of_the_raw_score(labelled: Path, tmp_path: Path) -> None:
    rows = [f"references/p&{seed}/{seed}.jpg,reference,p{seed}" for seed in PRODUCTS]
    rows += [f"queries/p&{seed}/{seed}.jpg,query,p{seed}" for seed in PRODUCTS]
    rows += [f"ordinary/{seed}.jpg,ordinary," for seed in ORDINARY]
    manifest = labelled / "m.csv"
    manifest.write_text("\n".join(["path,role,label", *rows]))
    done = script("evaluate.py", manifest, "--rate", "0.1", "--rounds", "100", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no background" in done.stdout and "normalised" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["nowhere"], 2, "there is no nowhere"),
        (["{set}"], 2, "22 ordinary packages are too few to measure 1 false flag in 100"),
        (["{set}", "--rate", "0.1", "--rate", "0.01"], 2, "at least 100 are needed, 78 more"),
        (["{set}", "--rate", "1.5"], 2, "--rate 1.5"),
        (["{set}", "--rate", "0.1", "--top-k", "11"], 2, "10 background pictures are too few"),
        (["{set}", "--rate", "0.1", "--model", "no-such-model"], 1, "no-such-model"),
        (["{set}", "--html", "missing/q.html"], 2, "missing/q.html cannot be written"),
        (["{set}", "--photos"], 1, "there is no index.csv"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence_and_nothing_is_written(
    labelled: Path, tmp_path: Path, arguments: list[str], code: int, named: str
) -> None:
    figures = tmp_path / "q.json"
    given = [argument.format(set=labelled) for argument in arguments]
    done = script("evaluate.py", *given, "--json", figures, home=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert named in done.stderr and not figures.exists()


def test_a_picture_that_is_reference_and_ordinary_at_once_is_refused_by_name(labelled: Path, tmp_path: Path) -> None:
    double = labelled / "ordinary" / "double.jpg"
    os.link(labelled / "references/p&0/0.jpg", double)
    try:
        done = script("evaluate.py", labelled, "--rate", "0.1", home=tmp_path)
    finally:
        double.unlink()
    assert done.returncode == 2
    assert "ordinary/double.jpg" in done.stderr and "references/p&0/0.jpg" in done.stderr

"""Scripts as an operator runs them: exit codes, one line a problem, no traceback."""

import json
import os
from pathlib import Path

import pytest

from tests.conftest import script
from tests.material import product

UNKNOWN = "01a1ffc6-69fd-7134-a023-000000000000"


def pictures(folder: Path, *seeds: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (folder / f"{seed}.jpg").write_bytes(product(seed))
    return folder


@pytest.mark.parametrize(
    ("name", "arguments", "named"),
    [
        ("add_references.py", ["nowhere"], "nowhere"),
        ("add_references.py", [], "source"),
        ("calibrate.py", ["nowhere"], "nowhere"),
        ("references.py", ["show", "not-a-uuid"], "valid UUID"),
        ("references.py", ["list", "--state", "asleep"], "asleep"),
        ("references.py", ["suspend", UNKNOWN, "--until", "soon"], "soon"),
        ("screen_packages.py", ["nowhere.csv"], "nowhere.csv"),
        ("screen_packages.py", ["nowhere.txt"], "nowhere.txt"),
        ("import_hashes.py", ["nowhere.csv"], "nowhere.csv"),
        ("measure_copies.py", ["nowhere"], "nowhere"),
        ("purge.py", [], "retention"),
        ("fetch_weights.py", ["no-such-model"], "no-such-model"),
        ("serve.py", ["--port", "70000"], "PORT"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(tmp_path: Path, name: str, arguments: list[str], named: str) -> None:
    done = script(name, *arguments, home=tmp_path)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_calibrating_with_nothing_to_measure_against_is_refused_before_anything_is_embedded(tmp_path: Path) -> None:
    done = script("calibrate.py", pictures(tmp_path / "goods", 1), home=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "there are no active references of known items" in done.stderr and "embedding" not in done.stderr


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    done = script("reindex.py", home=tmp_path, max_pictures="many", log_level="loud")
    assert done.returncode == 2
    assert "IMAGESCREEN_MAX_PICTURES" in done.stderr and "IMAGESCREEN_LOG_LEVEL" in done.stderr


def test_a_setting_that_is_misspelt_is_refused(tmp_path: Path) -> None:
    done = script("references.py", "list", home=tmp_path, max_picture="3")
    assert (done.returncode, "IMAGESCREEN_MAX_PICTURE is no setting" in done.stderr) == (2, True)


def test_options_that_make_no_reference_are_wrong_use_and_not_a_rejection_of_each(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "in", 1)
    for options, named in (([], "category"), (["--category", "Bad One"], "category"), (["--kind", "foo"], "genuine")):
        done = script("add_references.py", folder, *options, home=tmp_path)
        assert (done.returncode, named in done.stderr) == (2, True), done.stderr


def test_files_that_are_not_looked_at_and_names_in_another_encoding_are_told(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "in", 1)
    pictures(folder / "a" / "deep", 2)
    (folder / "notes.txt").write_text("x")
    Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff.jpg")).write_bytes(product(3))
    done = script("add_references.py", folder, "--category", "counterfeit", home=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert "1 added" in done.stdout and "2 files were not looked at" in done.stdout
    assert "UTF-8" in (tmp_path / "in.rejected.csv").read_text(encoding="utf-8")


def test_what_cannot_be_done_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    done = script("references.py", "show", UNKNOWN, home=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "there is no reference" in done.stderr
    done = script("reindex.py", "--model", "vit-b-32-laion2b", home=tmp_path)
    assert done.returncode == 1
    assert "scripts/fetch_weights.py vit-b-32-laion2b" in done.stderr


def test_references_are_added_listed_suspended_and_rejected_ones_are_written_down(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "in", 1, 2)
    (folder / "broken.jpg").write_bytes(product(3)[:700])
    done = script("add_references.py", folder, "--category", "counterfeit", home=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "2 added" in done.stdout and "1 rejected" in done.stdout
    rejected = (tmp_path / "in.rejected.csv").read_text(encoding="utf-8").splitlines()
    assert rejected[0] == "reference,why" and rejected[1].startswith("broken.jpg,")
    (folder / "broken.jpg").unlink()
    again = script("add_references.py", folder, "--category", "counterfeit", home=tmp_path)
    assert (again.returncode, "2 were there already" in again.stdout) == (0, True)
    listed = script("references.py", "list", home=tmp_path).stdout
    reference_id = next(word for line in listed.splitlines() for word in line.split() if word.count("-") == 4)
    suspended = script("references.py", "suspend", reference_id, "--until", "2099-01-01", home=tmp_path)
    assert "suspended until 2099-01-01" in suspended.stdout
    shown = json.loads(script("references.py", "show", reference_id, home=tmp_path).stdout)
    assert (shown["state"], shown["matches_now"]) == ("suspended", False)


def test_packages_of_a_manifest_are_screened_once_and_an_interrupted_run_goes_on(sample_copy: Path) -> None:
    folder = pictures(sample_copy / "packages", 1, 2)
    manifest = folder / "monday.csv"
    manifest.write_text(
        "package_id,participant,description,listed_price,currency,known_seller,pictures\n"
        "A,carrier-7,tote,19.5,USD,false,1.jpg;2.jpg\n"
        "B,carrier-7,cap,,,,2.jpg\n"
        "C,carrier-7,cap,cheap,,,2.jpg\n"
        "D,carrier-7,cap,,,,missing.jpg\n"
        "E,carrier-7,nothing to see,,,,\n",
        encoding="utf-8",
    )
    done = script("screen_packages.py", manifest, home=sample_copy)
    assert done.returncode == 1, done.stderr
    output = folder / "monday.screened.jsonl"
    answers = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [(answer["package_id"], len(answer["pictures"])) for answer in answers] == [("A", 2), ("B", 1), ("E", 0)]
    assert answers[2]["disposition"] == "not_screenable"
    rejected = (folder / "monday.screened.rejected.csv").read_text(encoding="utf-8")
    assert "listed_price" in rejected and "missing.jpg" in rejected
    # Cut off in the middle of a line, as a killed run leaves it.
    whole = output.read_bytes()
    output.write_bytes(whole[: whole.index(b"\n") + 40])
    again = script("screen_packages.py", manifest, home=sample_copy)
    assert "1 were in" in again.stdout
    assert output.read_bytes() == whole


def test_jsonl_and_parquet_manifests_give_the_same(sample_copy: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    pyarrow = pytest.importorskip("pyarrow")
    folder = pictures(sample_copy / "packages", 1)
    lines = folder / "a.jsonl"
    lines.write_text('{"package": {"package_id": "P", "items": [{"quantity": 2}]}, "pictures": ["1.jpg"]}\nnot json\n')
    table = pyarrow.table({"package_id": ["Q"], "quantity": [2], "pictures": ["1.jpg"]})
    parquet.write_table(table, folder / "b.parquet")
    assert script("screen_packages.py", lines, home=sample_copy).returncode == 1
    assert script("screen_packages.py", folder / "b.parquet", home=sample_copy).returncode == 0
    first, second = (
        json.loads((folder / name).read_text().splitlines()[0]) for name in ("a.screened.jsonl", "b.screened.jsonl")
    )
    assert first["pictures"] == second["pictures"]

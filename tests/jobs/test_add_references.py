import csv
from pathlib import Path

import pytest

from imagescreen.errors import WrongUse
from imagescreen.jobs.add_references import add_references
from imagescreen.jobs.workbench import Workbench
from imagescreen.references.catalogue import ReferenceFilter
from imagescreen.references.offers import offers_of
from tests.material import product

COUNTERFEIT = {"category": "counterfeit"}


def folder_of(path: Path, **groups: list[int]) -> Path:
    for name, seeds in groups.items():
        (path / name).mkdir(parents=True, exist_ok=True)
        for seed in seeds:
            (path / name / f"{seed}.jpg").write_bytes(product(seed))
    return path


def titles(bench: Workbench) -> list[str]:
    return [row.title for row in bench.catalogue.list(ReferenceFilter(), limit=500)]


def test_a_folder_gives_a_reference_for_each_sub_folder_and_each_file(bench: Workbench, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", tote=[1, 2], cap=[3])
    (folder / "Red mug.jpg").write_bytes(product(4))
    (folder / "notes.txt").write_text("not a picture")
    report = add_references(bench, offers_of(folder, COUNTERFEIT))
    assert (report.added, report.rejected) == (3, [])
    assert sorted(titles(bench)) == ["Red mug", "cap", "tote"]


def test_running_it_again_skips_what_is_there_and_takes_what_is_new(bench: Workbench, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", tote=[1, 2], cap=[3])
    add_references(bench, offers_of(folder, COUNTERFEIT))
    folder_of(folder, tote=[5], mug=[6])
    report = add_references(bench, offers_of(folder, COUNTERFEIT))
    assert (report.added, report.extended, report.skipped) == (1, 1, 1)
    (tote,) = [row for row in bench.catalogue.list(ReferenceFilter(), limit=9) if row.title == "tote"]
    assert len(tote.pictures) == 3


def test_pictures_of_another_reference_are_rejected_by_its_name(bench: Workbench, tmp_path: Path) -> None:
    add_references(bench, offers_of(folder_of(tmp_path / "in", tote=[1, 2]), COUNTERFEIT))
    report = add_references(bench, offers_of(folder_of(tmp_path / "more", cap=[2, 3]), COUNTERFEIT))
    ((name, why),) = report.rejected
    assert name == "cap" and "2.jpg" in why and "tote" in why


def test_a_picture_that_was_removed_stays_removed(bench: Workbench, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", tote=[1, 2])
    add_references(bench, offers_of(folder, COUNTERFEIT))
    (tote,) = bench.catalogue.list(ReferenceFilter(), limit=9)
    bench.catalogue.remove_picture(tote.reference_id, tote.pictures[0].reference_picture_id)
    assert add_references(bench, offers_of(folder, COUNTERFEIT)).skipped == 1
    assert len(bench.catalogue.get(tote.reference_id).pictures) == 1


def test_a_manifest_fills_the_catalogue_and_wrong_rows_are_rejected_by_line(bench: Workbench, tmp_path: Path) -> None:
    folder_of(tmp_path, p=[1, 2, 3])
    (tmp_path / "p" / "broken.jpg").write_bytes(product(4)[:500])
    manifest = tmp_path / "catalogue.csv"
    with manifest.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["title", "category", "brand", "recordation_number", "severity", "pictures"])
        writer.writerow(["Tote, red", "counterfeit", "Acme", "TMK 11-00163", "high", "p/1.jpg; p/2.jpg"])
        writer.writerow(["No category", "", "", "", "", "p/3.jpg"])
        writer.writerow(["Broken", "recalled", "", "", "", "p/broken.jpg"])
        writer.writerow(["Missing", "recalled", "", "", "", "p/none.jpg"])
        writer.writerow(["Severe", "recalled", "", "", "very", "p/3.jpg"])
        writer.writerow(["No pictures", "recalled", "", "", "", ""])
        writer.writerow(["Copy", "recalled", "", "", "", "p/1.jpg"])
    report = add_references(bench, offers_of(manifest, {}))
    assert report.added == 1
    assert [name for name, _ in report.rejected] == [f"row {n}" for n in (3, 4, 5, 6, 7)]
    reasons = dict(report.rejected)
    assert report.skipped == 1
    assert [("row 8" in warning, "Tote, red" in warning) for warning in report.warnings] == [(True, True)]
    for row, named in (
        ("row 3", "category"),
        ("row 4", "broken.jpg"),
        ("row 5", "none.jpg"),
        ("row 6", "severity"),
        ("row 7", "1 to 16"),
    ):
        assert named in reasons[row]
    (tote,) = bench.catalogue.list(ReferenceFilter(), limit=9)
    assert tote.rights[0].recordation_number == "TMK 11-00163"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"title,colour,pictures\n", "colour"),
        (b"title,category\n", "pictures"),
        (b"title,pictures\nx,a.jpg,b\n", "more cells"),
        (b"title,pictures\n\xff\xfe,a.jpg\n", "UTF-8"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused_before_anything_is_added(
    tmp_path: Path, content: bytes, named: str
) -> None:
    manifest = tmp_path / "catalogue.csv"
    manifest.write_bytes(content)
    with pytest.raises(WrongUse, match=named):
        offers_of(manifest, {})


def test_the_source_must_be_there_and_hold_pictures(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="there is no"):
        offers_of(tmp_path / "none", {})
    with pytest.raises(WrongUse, match="no pictures"):
        offers_of(tmp_path, {})


def test_many_references_are_added_in_batches_and_all_match(bench: Workbench, tmp_path: Path) -> None:
    for seed in range(130):
        folder_of(tmp_path / "in", **{f"r{seed}": [seed]})
    seen: list[int] = []
    report = add_references(
        bench, offers_of(tmp_path / "in", COUNTERFEIT), progress=lambda _what, done, _total: seen.append(done)
    )
    assert report.added == 130
    assert len(seen) >= 3 and seen[-1] == 130
    assert bench.follower.serving.current().snapshot.reference_count == 130

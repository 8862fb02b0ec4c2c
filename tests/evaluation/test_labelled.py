"""Labelled folders and manifests, and what is said of those that cannot be evaluated."""

import io
import tarfile
from pathlib import Path

import pytest

from imagescreen.errors import PictureTooLarge, PictureUnavailable, WrongUse
from imagescreen.evaluation.labelled import LabelledPicture, Role, labelled_pictures

MAX_BYTES = 1000


def folder_of(home: Path, *files: str) -> Path:
    for name in files:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(name.encode())
    return home


WHOLE = (
    "references/bag/1.jpg",
    "references/bag/more/2.png",
    "references/cap/1.jpg",
    "queries/bag/1.jpg",
    "queries/bag/listing/a.jpg",
    "queries/bag/listing/b.jpg",
    "ordinary/1.jpg",
    "ordinary/parcel/1.jpg",
    "ordinary/parcel/2.jpg",
    "background/deep/1.webp",
)


def by_name(pictures: tuple[LabelledPicture, ...]) -> dict[str, LabelledPicture]:
    return {picture.name: picture for picture in pictures}


def test_folders_give_roles_labels_and_packages(tmp_path: Path) -> None:
    pictures = by_name(labelled_pictures(folder_of(tmp_path, *WHOLE, "ordinary/notes.txt"), MAX_BYTES))
    assert set(pictures) == set(WHOLE)
    assert pictures["references/bag/more/2.png"].label == "bag"
    assert pictures["references/cap/1.jpg"].role is Role.REFERENCE
    assert pictures["background/deep/1.webp"].package == ""
    packages = [pictures[f"queries/bag/{name}"].package for name in ("1.jpg", "listing/a.jpg", "listing/b.jpg")]
    assert packages[0] != packages[1] == packages[2]
    assert pictures["ordinary/1.jpg"].package != pictures["ordinary/parcel/1.jpg"].package
    assert pictures["queries/bag/1.jpg"].read() == b"queries/bag/1.jpg"


def test_a_manifest_names_files_and_members_of_tars(tmp_path: Path) -> None:
    folder_of(tmp_path, "a.jpg", "b.jpg")
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        info = tarfile.TarInfo("in/c.jpg")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"jpg"))
    manifest = tmp_path / "m.csv"
    manifest.write_text(
        "path,tar,role,label,package\na.jpg,,reference,bag,\nb.jpg,,query,bag,P1\n"
        "in/c.jpg,photos,ordinary,,P2\nin/d.jpg,photos,ordinary,,\n../x.jpg,photos,background,,\n"
    )
    pictures = by_name(labelled_pictures(manifest, MAX_BYTES))
    assert pictures["photos.tar:in/c.jpg"].read() == b"jpg"
    assert (pictures["photos.tar:in/c.jpg"].package, pictures["b.jpg"].package) == ("P2", "P1")
    for missing in ("photos.tar:in/d.jpg", "photos.tar:../x.jpg"):
        with pytest.raises(PictureUnavailable, match="no photograph"):
            pictures[missing].read()


def test_a_large_or_vanished_file_is_one_picture_s_problem(tmp_path: Path) -> None:
    home = folder_of(tmp_path, *WHOLE)
    (home / "ordinary/1.jpg").write_bytes(b"x" * (MAX_BYTES + 1))
    pictures = by_name(labelled_pictures(home, MAX_BYTES))
    (home / "queries/bag/1.jpg").unlink()
    with pytest.raises(PictureTooLarge):
        pictures["ordinary/1.jpg"].read()
    with pytest.raises(PictureUnavailable, match="No such file"):
        pictures["queries/bag/1.jpg"].read()


@pytest.mark.parametrize(
    ("files", "named"),
    [
        (WHOLE[:6], "role ordinary"),
        (WHOLE[3:], "role reference"),
        ((*WHOLE[:3], *WHOLE[6:]), "role query"),
        ((*WHOLE, "queries/hat/1.jpg", "queries/tie/1.jpg"), "'hat', 'tie'"),
        ((*WHOLE, "queries/1.jpg"), "queries/1.jpg lies in no folder of a label"),
    ],
)
def test_a_folder_that_cannot_be_evaluated_is_refused_with_the_reason(
    tmp_path: Path, files: tuple[str, ...], named: str
) -> None:
    with pytest.raises(WrongUse, match=named):
        labelled_pictures(folder_of(tmp_path, *files), MAX_BYTES)


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ("a.jpg,decoy,,", "line 2: unknown role 'decoy'; allowed are reference, query, ordinary, background"),
        ("a.jpg,query,,", "line 2: a query needs a label"),
        ("a.jpg,ordinary,bag,", "line 2: ordinary pictures have no label"),
        (",ordinary,,", "line 2 names no path"),
        ("a.jpg,reference,bag,\nb.jpg,query,bag,P\nc.jpg,ordinary,,P", "package 'P' has pictures of several roles"),
        ("a.jpg,reference,bag,\nb.jpg,query,hat,\nc.jpg,ordinary,,", "'hat'"),
    ],
)
def test_a_manifest_that_cannot_be_evaluated_is_refused_with_the_reason(tmp_path: Path, rows: str, named: str) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"path,role,label,package\n{rows}\n")
    with pytest.raises(WrongUse, match=named):
        labelled_pictures(manifest, MAX_BYTES)


def test_a_source_that_is_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="there is no"):
        labelled_pictures(tmp_path / "nowhere", MAX_BYTES)

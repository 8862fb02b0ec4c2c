"""Photographs read from tar files, and what is said about a folder that is not sound."""

import io
import os
import shutil
import tarfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagescreen.errors import PhotosUnusable
from imagescreen.evaluation.edited_copies import edited_copy
from imagescreen.evaluation.photos import MAX_MEMBER_BYTES, PhotoRow, PhotoSet

HEADER = "tar,member,label,split,use"


def photo_folder(folder: Path, members: dict[str, bytes], rows: Iterable[str], header: str = HEADER) -> Path:
    with tarfile.open(folder / "shop.tar", "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    (folder / "index.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> PhotoSet:
    members = {f"a/{n}.jpg": bytes([n]) * (n + 1) for n in range(20)}
    rows = [f"shop,a/{n}.jpg,{'bag' if n % 2 else 'shoe'},all,{'test' if n < 5 else 'train'}" for n in range(20)]
    return PhotoSet(photo_folder(tmp_path, members, [*rows, "other,b.jpg,cup,all,test"]))


def test_rows_are_chosen_by_use_and_tar(photos: PhotoSet) -> None:
    assert len(photos.rows()) == 21
    assert len(photos.rows(use="test")) == 6
    assert photos.rows(use="test", tar="shop")[1] == PhotoRow("shop", "a/1.jpg", "bag", "all", "test")
    assert photos.rows(use="never") == ()


def test_photographs_come_back_byte_for_byte_from_many_threads(photos: PhotoSet) -> None:
    rows = photos.rows(tar="shop") * 20
    with ThreadPoolExecutor(8) as pool:
        for row, data in zip(rows, pool.map(photos.read, rows), strict=True):
            n = int(row.member[2:-4])
            assert data == bytes([n]) * (n + 1)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(PhotosUnusable, match=r"no index.csv in the folder 'nowhere'"):
        PhotoSet(tmp_path / "nowhere")


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(PhotosUnusable, match="lacks the columns label, use"):
        PhotoSet(photo_folder(tmp_path, {}, [], header="tar,member,split"))


def test_a_short_row_is_named_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(PhotosUnusable, match="line 3"):
        PhotoSet(photo_folder(tmp_path, {}, ["shop,a,b,c,test", "shop,a"]))


def test_an_index_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_bytes(b"\xff\xfe\x00" * 50)
    with pytest.raises(PhotosUnusable, match="UTF-8"):
        PhotoSet(tmp_path)


def test_a_member_that_is_not_there_is_named(tmp_path: Path) -> None:
    photos = PhotoSet(photo_folder(tmp_path, {"a.jpg": b"x"}, ["shop,b.jpg,bag,all,test"]))
    with pytest.raises(PhotosUnusable, match=r"shop.tar has no photograph 'b.jpg'"):
        photos.read(photos.rows()[0])


def test_a_missing_tar_is_named(photos: PhotoSet) -> None:
    with pytest.raises(PhotosUnusable, match=r"other\.tar is missing"):
        photos.read(photos.rows(tar="other")[0])


def test_a_file_that_is_no_tar_is_named(photos: PhotoSet, tmp_path: Path) -> None:
    (tmp_path / "other.tar").write_bytes(b"no archive at all" * 100)
    with pytest.raises(PhotosUnusable, match="not an uncompressed tar"):
        photos.read(photos.rows(tar="other")[0])


def test_a_tar_that_was_cut_after_it_was_listed_gives_no_half_photograph(tmp_path: Path) -> None:
    photos = PhotoSet(photo_folder(tmp_path, {"a.jpg": b"x" * 4000}, ["shop,a.jpg,bag,all,test"]))
    row = photos.rows()[0]
    assert len(photos.read(row)) == 4000
    os.truncate(tmp_path / "shop.tar", 2000)
    with pytest.raises(PhotosUnusable, match="ends in the middle"):
        photos.read(row)


@pytest.mark.parametrize("tar", ["../shop", "..", "", "a/b"])
def test_an_index_cannot_lead_out_of_its_folder(tmp_path: Path, tar: str) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    photo_folder(tmp_path, {"secret": b"x"}, [])
    photos = PhotoSet(photo_folder(folder, {}, [f"{tar},secret,bag,all,test"]))
    with pytest.raises(PhotosUnusable, match="a file beside it"):
        photos.read(photos.rows()[0])


def test_links_in_a_tar_are_not_followed(tmp_path: Path) -> None:
    photos = PhotoSet(photo_folder(tmp_path, {}, ["shop,link.jpg,bag,all,test"]))
    with tarfile.open(tmp_path / "shop.tar", "w") as archive:
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    with pytest.raises(PhotosUnusable, match="no photograph"):
        photos.read(photos.rows()[0])


FOLDER_ROWS = [
    f"shop,{member},bag,all,test" for member in ("a/1.jpg", "../secret", "/etc/hostname", "a/out.jpg", "a/in.jpg")
]


@pytest.fixture
def plain(tmp_path: Path) -> PhotoSet:
    """An index whose tar file is absent, and a folder of that name with a picture, links, and a pipe."""
    (tmp_path / "index.csv").write_text("\n".join([HEADER, *FOLDER_ROWS]) + "\n", encoding="utf-8")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "shop" / "a").mkdir(parents=True)
    (tmp_path / "shop" / "a" / "1.jpg").write_bytes(b"one")
    (tmp_path / "shop" / "a" / "out.jpg").symlink_to(tmp_path / "secret")
    (tmp_path / "shop" / "a" / "in.jpg").symlink_to("1.jpg")
    os.mkfifo(tmp_path / "shop" / "p")
    return PhotoSet(tmp_path)


def test_a_plain_folder_takes_the_place_of_a_tar_file(plain: PhotoSet) -> None:
    by_member = {row.member: row for row in plain.rows()}
    assert plain.read(by_member["a/1.jpg"]) == plain.read(by_member["a/in.jpg"]) == b"one"


@pytest.mark.parametrize(
    ("member", "named"),
    [
        ("../secret", "leads out of the folder 'shop'"),
        ("/etc/hostname", "leads out of the folder 'shop'"),
        ("a/out.jpg", "leads out of the folder 'shop'"),
        ("a", "has no photograph 'a'"),
        ("none.jpg", "has no photograph 'none.jpg'"),
        ("p", "has no photograph 'p'"),
        ("a\0b", "cannot be read"),
        ("x" * 300, "cannot be read|has no photograph"),
    ],
)
def test_nothing_but_files_in_a_folder_is_read(plain: PhotoSet, member: str, named: str) -> None:
    with pytest.raises(PhotosUnusable, match=named):
        plain.read(PhotoRow("shop", member, "bag", "all", "test"))


def test_a_folder_that_is_a_link_is_not_followed(plain: PhotoSet, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    shutil.copy(tmp_path / "index.csv", inner)
    (inner / "shop").symlink_to(tmp_path / "shop")
    with pytest.raises(PhotosUnusable, match="leads out of the folder 'shop'"):
        PhotoSet(inner).read(plain.rows()[0])


def test_a_file_in_a_folder_that_is_too_large_is_not_read(plain: PhotoSet, tmp_path: Path) -> None:
    os.truncate(tmp_path / "shop" / "a" / "1.jpg", MAX_MEMBER_BYTES + 1)
    with pytest.raises(PhotosUnusable, match=f"{MAX_MEMBER_BYTES + 1} bytes"):
        plain.read(plain.rows()[0])


@pytest.fixture
def real_photos(photos_dir: Path) -> PhotoSet:
    return PhotoSet(photos_dir)


def test_real_photographs_are_pictures_and_can_be_edited(real_photos: PhotoSet) -> None:
    for tar in {row.tar for row in real_photos.rows()}:
        for row in real_photos.rows(tar=tar)[::400]:
            picture = Image.open(io.BytesIO(real_photos.read(row)))
            copy = Image.open(io.BytesIO(edited_copy(picture, np.random.default_rng(0))))
            assert copy.width < picture.width
            assert copy.format == "JPEG"


def test_the_uses_of_real_photographs_do_not_overlap(real_photos: PhotoSet) -> None:
    used = [{(r.tar, r.member) for r in real_photos.rows(use=use)} for use in ("train", "calibrate", "test")]
    assert all(used)
    assert sum(map(len, used)) == len(set().union(*used))

"""Labelled photographs: tar files or plain folders in a folder, listed in its `index.csv`."""

import csv
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from imagescreen.errors import PhotosUnusable
from imagescreen.pictures import DecodingBudget, PictureLimits, PictureReader

INDEX = "index.csv"
MAX_MEMBER_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class PhotoRow:
    """One row of the index: `member` of `<tar>.tar` or of the folder `<tar>`, what it shows, the published split, its
    use.
    """

    tar: str
    member: str
    label: str
    split: str
    use: str


COLUMNS = tuple(PhotoRow.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class _Span:
    offset: int
    size: int


class PhotoSet:
    """The photographs of one folder; may be shared between threads."""

    def __init__(self, folder: Path) -> None:
        """Reads the index. Raises PhotosUnusable when the folder, the index or one of its columns is missing."""
        self._rows = tuple(_index(folder))
        self._tars = TarFolder(folder, INDEX)

    def rows(self, *, use: str | None = None, tar: str | None = None) -> tuple[PhotoRow, ...]:
        """The rows for this `use` in this `tar`, in the order of the index; all of them where one is not given."""
        return tuple(row for row in self._rows if use in (None, row.use) and tar in (None, row.tar))

    def read(self, row: PhotoRow) -> bytes:
        """The file as it was published. Raises PhotosUnusable when it cannot be had."""
        return self._tars.read(row.tar, row.member)


class TarFolder:
    """Reads single files out of the tar files of one folder; may be shared between threads.

    Each tar is listed once, at the first file that is wanted from it, and nothing is ever extracted to disk. Where
    there is no tar file, a folder of its name takes its place.
    """

    def __init__(self, folder: Path, listed_in: str) -> None:
        """`listed_in` is the name of the file that lists the members, for what is said of a wrong one."""
        self._folder = folder
        self._listed_in = listed_in
        self._spans: dict[str, dict[str, _Span]] = {}
        self._listing = Lock()

    def read(self, tar: str, member: str) -> bytes:
        """The bytes of `member` of `<tar>.tar`, or of the folder `<tar>` where there is no such file.

        Raises PhotosUnusable when it cannot be had, is larger than MAX_MEMBER_BYTES, or leads out of the folder.
        """
        path = self._path(tar)
        if not path.exists() and path.with_name(tar).is_dir():
            return _file_bytes(path.with_name(tar), member, self._listed_in)
        span = self._members(tar).get(member)
        if span is None:
            raise PhotosUnusable(f"{tar}.tar has no photograph {member!r}, although {self._listed_in} lists it")
        if span.size > MAX_MEMBER_BYTES:
            raise _too_large(member, span.size)
        with path.open("rb") as file:
            file.seek(span.offset)
            data = file.read(span.size)
        if len(data) != span.size:
            raise PhotosUnusable(f"{tar}.tar ends in the middle of {member!r}")
        return data

    def _path(self, tar: str) -> Path:
        # The list names files of its own folder; anything that leads out of it is a damaged or hostile list.
        if tar in ("", ".", "..") or "/" in tar or "\\" in tar or "\0" in tar:
            raise PhotosUnusable(
                f"{self._listed_in} names the tar file {tar!r}; allowed is the name of a file beside it"
            )
        return self._folder / f"{tar}.tar"

    def _members(self, tar: str) -> dict[str, _Span]:
        with self._listing:
            known = self._spans.get(tar)
            if known is None:
                known = self._spans[tar] = _spans(self._path(tar))
            return known


def _file_bytes(folder: Path, member: str, listed_in: str) -> bytes:
    """A regular file under `folder`, whose real place, after all links, must lie there too."""
    try:
        # The folder itself may not be a link either: only its parent is the person's own choice.
        inside = folder.parent.resolve() / folder.name
        path = (folder / member).resolve()
        if not path.is_relative_to(inside):
            raise PhotosUnusable(
                f"{listed_in} names {member!r}, which leads out of the folder {folder.name!r}; allowed are files in it"
            )
        # Before it is opened: a pipe would wait for ever.
        if not path.is_file():
            raise PhotosUnusable(
                f"the folder {folder.name!r} has no photograph {member!r}, although {listed_in} lists it"
            )
        with path.open("rb") as file:
            data = file.read(MAX_MEMBER_BYTES + 1)
    except (OSError, ValueError) as error:
        raise PhotosUnusable(f"{member!r} in the folder {folder.name!r} cannot be read: {error}") from None
    if len(data) > MAX_MEMBER_BYTES:
        raise _too_large(member, path.stat().st_size)
    return data


def _too_large(member: str, size_bytes: int) -> PhotosUnusable:
    return PhotosUnusable(f"{member!r} has {size_bytes} bytes; at most {MAX_MEMBER_BYTES} are read")


def reader_without_limits() -> PictureReader:
    """For photographs of one's own."""
    return PictureReader(PictureLimits(1 << 30, 1 << 30, 1), DecodingBudget(1 << 30, 1))


def _index(folder: Path) -> Iterator[PhotoRow]:
    path = folder / INDEX
    if not path.is_file():
        raise PhotosUnusable(
            f"there is no {INDEX} in the folder {folder.name!r}: a photo set is tar files or folders and their index"
        )
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (table.fieldnames or ())]
            if missing:
                raise PhotosUnusable(f"{INDEX} lacks the columns {', '.join(missing)}; needed are {', '.join(COLUMNS)}")
            for cells in table:
                values = [cells[column] for column in COLUMNS]
                if None in values:
                    raise PhotosUnusable(f"{INDEX}, line {table.line_num}: the row has too few cells")
                yield PhotoRow(*values)
    except (UnicodeDecodeError, csv.Error) as error:
        raise PhotosUnusable(f"{INDEX} is not a CSV file in UTF-8: {error}") from None


def _spans(path: Path) -> dict[str, _Span]:
    """Where the regular files of a tar lie; links, devices and sparse files are left out. The last of a name counts."""
    try:
        with tarfile.open(path, "r:") as archive:
            return {m.name: _Span(m.offset_data, m.size) for m in archive if m.isreg() and not m.issparse()}
    except (OSError, tarfile.TarError) as error:
        raise PhotosUnusable(f"{path.name} is missing or not an uncompressed tar file: {error}") from None

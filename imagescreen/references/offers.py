"""References that a folder or a CSV manifest offers for enrolment."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagescreen.errors import InvalidContent, WrongUse
from imagescreen.references.facts import FACT_NAMES, ReferenceFacts, facts_from_columns

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif"}
)
FLAT_RIGHT_COLUMNS = ("right_kind", "recordation_number", "registration_number", "right_classes", "right_expires")
COLUMNS = (*FACT_NAMES, *FLAT_RIGHT_COLUMNS, "pictures")


@dataclass(frozen=True, slots=True)
class Offer:
    """One reference to be: where it was told (a row, a folder), its facts or what is wrong with them, its files."""

    name: str
    facts: ReferenceFacts | InvalidContent
    pictures: Sequence[Path]


def offers_of(source: Path, columns: dict[str, str]) -> list[Offer]:
    """Everything that a folder or a `.csv` file offers; `columns` are facts for all that do not tell their own.

    Raises WrongUse when the source cannot be read as a whole, e.g. for an unknown column.
    """
    if source.is_dir():
        return list(_from_folder(source, columns))
    if source.suffix.lower() == ".csv":
        return list(_from_csv(source, columns))
    raise WrongUse(f"{source} is neither a folder nor a .csv file" if source.exists() else f"there is no {source}")


def _from_folder(folder: Path, columns: dict[str, str]) -> Iterator[Offer]:
    """One reference for each sub-folder with pictures, and for each picture directly in the folder."""
    found = False
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            pictures = sorted(item for item in path.iterdir() if _is_picture(item))
            if pictures:
                found = True
                yield _offer(path.name, {"title": path.name, **columns}, pictures)
        elif _is_picture(path):
            found = True
            yield _offer(path.name, {"title": path.stem, **columns}, [path])
    if not found:
        raise WrongUse(f"there are no pictures in {folder}: looked for {', '.join(sorted(PICTURE_SUFFIXES))}")


def _is_picture(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in PICTURE_SUFFIXES


def _from_csv(path: Path, columns: dict[str, str]) -> Iterator[Offer]:
    """One reference a row; `pictures` are paths relative to the manifest, separated by `;`."""
    for number, row in read_csv(path, COLUMNS, required=(), one_of=("pictures", "words")):
        told = {**columns, **{name: value for name, value in row.items() if value}}
        pictures = [path.parent / part.strip() for part in told.pop("pictures", "").split(";") if part.strip()]
        yield _offer(f"row {number}", told, pictures)


def read_csv(
    path: Path, allowed: Sequence[str], *, required: Sequence[str], one_of: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, cells by column) of a UTF-8 CSV with a header row. Raises WrongUse for what cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            header = reader.fieldnames or []
            unknown = [name for name in header if name not in allowed]
            if unknown:
                raise WrongUse(f"{path}: unknown column {unknown[0]!r}; allowed are {', '.join(allowed)}")
            missing = [name for name in required if name not in header]
            if missing:
                raise WrongUse(f"{path}: the column {missing[0]!r} is missing")
            if one_of and not any(name in header for name in one_of):
                raise WrongUse(f"{path}: the column {' or '.join(map(repr, one_of))} is missing")
            for row in reader:
                extra = row.pop(None, None)
                if extra is not None:
                    raise WrongUse(f"{path}: line {reader.line_num} has more cells than the header has columns")
                yield reader.line_num, {name: value or "" for name, value in row.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise WrongUse(f"{path} cannot be read as UTF-8 CSV: {error}") from None


def _offer(name: str, columns: dict[str, str], pictures: Sequence[Path]) -> Offer:
    try:
        facts: ReferenceFacts | InvalidContent = facts_from_columns(columns)
    except InvalidContent as error:
        facts = error
    # A file name in another encoding can be used, but not shown or written down as it is.
    return Offer(name.encode("utf-8", "replace").decode(), facts, pictures)

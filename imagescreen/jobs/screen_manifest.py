"""Screens the packages of a manifest, in order, resumable: what the output has already is not done again."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from imagescreen.errors import ImagescreenError, InvalidContent, WrongUse
from imagescreen.jobs.progress import Progress, silent
from imagescreen.jobs.workbench import Workbench
from imagescreen.references.offers import read_csv
from imagescreen.screening.answer import ScreeningAnswer
from imagescreen.screening.package import Package, SubmittedPicture, content_hash, package_from_json

WORKERS = 4
"""Packages worked on at once, so that decoding of one overlaps with embedding of another."""

_SELLER = {"seller_name": "name", "seller_account_id": "account_id", "seller_marketplace": "marketplace"}
_ITEM = ("description", "listing_url", "listed_price", "currency", "quantity", "hts", "origin_country")
_PLAIN = ("package_id", "revision", "participant", "filer_type", "entry_type", "known_seller")
_JSON = ("shipment_refs", "items")
COLUMNS = (*_PLAIN, *_SELLER, *_ITEM, *_JSON, "pictures")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a manifest: the package's members or what is wrong with them, and its picture files."""

    name: str
    package: dict[str, Any] | InvalidContent
    pictures: Sequence[str]


@dataclass(slots=True)
class Report:
    """`rejected` is (row, why); `dispositions` counts the packages that this run screened."""

    already: int = 0
    dispositions: dict[str, int] = field(default_factory=dict)
    rejected: list[tuple[str, str]] = field(default_factory=list)


def read_manifest(path: Path) -> list[Row]:
    """A `.csv`, `.jsonl` or (with the extra `parquet`) `.parquet` manifest. Raises WrongUse when it cannot be read.

    JSONL: `{"package": {…}, "pictures": ["a.jpg"]}` a line. CSV and Parquet: the package's members as columns, one item
    flat (`description`, `listed_price`, …) or several as JSON in `items`, `pictures` separated by `;`.
    """
    readers = {".csv": _from_csv, ".jsonl": _from_jsonl, ".parquet": _from_parquet}
    if path.suffix.lower() not in readers:
        raise WrongUse(f"{path}: a manifest is .csv, .jsonl or .parquet")
    if not path.is_file():
        raise WrongUse(f"there is no file {path}")
    return list(readers[path.suffix.lower()](path))


def screen_manifest(
    bench: Workbench, rows: Sequence[Row], folder: Path, output: Path, *, progress: Progress = silent
) -> Report:
    """Screens rows and appends one answer a line to `output`, each written before the next one is counted.

    `folder`: what the rows' picture paths are relative to. A row that is wrong, or that names a file that is not there,
    is rejected and the others go on; a broken picture leaves its package incomplete, as over HTTP.
    """
    report = Report()
    done = _done_already(output)
    with output.open("ab") as file, ThreadPoolExecutor(WORKERS) as pool:
        running: deque[tuple[Row, Future[ScreeningAnswer | None]]] = deque()
        for number, row in enumerate(rows):
            running.append((row, pool.submit(_screen, bench, row, folder, done)))
            if len(running) >= 2 * WORKERS:
                _finish(*running.popleft(), file, report)
            progress("screening packages", number + 1 - len(running), len(rows))
        while running:
            _finish(*running.popleft(), file, report)
            progress("screening packages", len(rows) - len(running), len(rows))
    return report


def _screen(bench: Workbench, row: Row, folder: Path, done: set[tuple[str, str, int]]) -> ScreeningAnswer | None:
    if isinstance(row.package, InvalidContent):
        raise row.package
    package = package_from_json(row.package)
    if _key(package) in done:
        _check_same(bench, package, row, folder)
        return None
    pictures = [_picture(folder / name, bench.settings.max_picture_bytes) for name in row.pictures]
    return bench.screener.screen(package, pictures).answer


def _check_same(bench: Workbench, package: Package, row: Row, folder: Path) -> None:
    """Raises Conflict when the output has this package with other content; files that are gone since tell nothing."""
    try:
        pictures = [_picture(folder / name, bench.settings.max_picture_bytes) for name in row.pictures]
    except InvalidContent:
        return
    bench.record.find(package, content_hash(package, pictures))


def _picture(path: Path, max_bytes: int) -> SubmittedPicture:
    """At most one byte more than is allowed is read, which is enough to be told that it is too large.

    Raises InvalidContent for a file that is not there: a manifest that names it is wrong, the picture may be fine.
    """
    try:
        with path.open("rb") as file:
            return SubmittedPicture(data=file.read(max_bytes + 1))
    except (OSError, ValueError) as error:
        raise InvalidContent(f"picture {path.name!r} cannot be read: {error}") from None


def _finish(row: Row, future: Future[ScreeningAnswer | None], file: Any, report: Report) -> None:
    try:
        answer = future.result()
    except ImagescreenError as error:
        if error.status >= 500:
            raise
        report.rejected.append((row.name, error.detail))
        return
    if answer is None:
        report.already += 1
        return
    file.write(msgspec.json.encode(answer) + b"\n")
    file.flush()
    name = answer.disposition.value
    report.dispositions[name] = report.dispositions.get(name, 0) + 1


def _key(package: Package) -> tuple[str, str, int]:
    return package.participant, package.package_id, package.revision


_ANSWER = b'{"screening_id":"'
"""How every line of output begins; only a cut line of ours is ever removed."""


class _Line(msgspec.Struct):
    """What resuming needs of a line of output."""

    participant: str
    package_id: str
    revision: int


def _done_already(output: Path) -> set[tuple[str, str, int]]:
    """Packages in the output; a last line that an interruption cut off is removed."""
    if not output.exists():
        return set()
    done: set[tuple[str, str, int]] = set()
    whole = 0
    with output.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                if not line.startswith(_ANSWER[: len(line)]):
                    raise WrongUse(f"{output} is no output of this tool: give another --output")
                break
            try:
                told = msgspec.json.decode(line, type=_Line)
            except msgspec.DecodeError:
                raise WrongUse(f"{output} line {number} is no screening: give another --output") from None
            done.add((told.participant, told.package_id, told.revision))
            whole += len(line)
    with output.open("r+b") as file:
        file.truncate(whole)
    return done


def _from_jsonl(path: Path) -> Iterator[Row]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _json_row(f"line {number}", line)
    except OSError as error:
        raise WrongUse(f"{path} cannot be read: {error.strerror}") from None


class _JsonRow(msgspec.Struct, forbid_unknown_fields=True):
    package: dict[str, Any]
    pictures: list[str] = []


def _json_row(name: str, line: bytes) -> Row:
    try:
        told = msgspec.json.decode(line, type=_JsonRow)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Row(name, InvalidContent(f"not a line of a manifest: {error}"), ())
    if b"\\u0000" in line:
        return Row(name, InvalidContent("the line contains the character U+0000, which is not allowed"), ())
    return Row(name, told.package, told.pictures)


def _from_csv(path: Path) -> Iterator[Row]:
    for number, cells in read_csv(path, COLUMNS, required=("package_id",)):
        yield _flat_row(f"row {number}", {name: value for name, value in cells.items() if value.strip()})


def _from_parquet(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError:
        raise WrongUse("Parquet manifests need the extra `parquet` (pip install '.[parquet]')") from None
    try:
        table = ParquetFile(path)
        unknown = sorted(set(table.schema_arrow.names) - set(COLUMNS))
        if unknown:
            raise WrongUse(f"{path}: unknown column {unknown[0]!r}; allowed are {', '.join(COLUMNS)}")
        number = 0
        for batch in table.iter_batches():
            for cells in batch.to_pylist():
                number += 1
                yield _flat_row(f"row {number}", {name: value for name, value in cells.items() if value is not None})
    except (ArrowException, OSError) as error:
        raise WrongUse(f"{path} cannot be read as Parquet: {error}") from None


def _flat_row(name: str, cells: dict[str, Any]) -> Row:
    """Cells are texts (CSV) or typed (Parquet); texts of numbers and booleans are converted, nothing else is."""
    nul = [key for key, value in cells.items() if isinstance(value, str) and "\0" in value]
    if nul:
        return Row(name, InvalidContent(f"`{nul[0]}` contains the character U+0000, which is not allowed"), ())
    pictures = cells.pop("pictures", "")
    names = pictures if isinstance(pictures, list) else [part.strip() for part in pictures.split(";") if part.strip()]
    try:
        members: dict[str, Any] = {key: cells[key] for key in _PLAIN if key in cells}
        if "revision" in members:
            members["revision"] = _number("revision", members["revision"], int)
        if "known_seller" in members:
            members["known_seller"] = _boolean("known_seller", members["known_seller"])
        seller = {field: cells[column] for column, field in _SELLER.items() if column in cells}
        if seller:
            members["seller"] = seller
        item = {key: cells[key] for key in _ITEM if key in cells}
        for key, kind in (("listed_price", float), ("quantity", int)):
            if key in item:
                item[key] = _number(key, item[key], kind)
        for key in _JSON:
            if key in cells:
                members[key] = _json(key, cells[key])
        if item:
            if "items" in members:
                raise InvalidContent("give either `items` or the columns of one item, not both")
            members["items"] = [{**item, "pictures": list(range(len(names)))}]
    except InvalidContent as error:
        return Row(name, error, names)
    return Row(name, members, names)


def _number(key: str, cell: Any, kind: type[int] | type[float]) -> int | float:
    try:
        return kind(cell)
    except (ValueError, OverflowError, TypeError):
        raise InvalidContent(f"`{key}` must be a number, not {cell!r}") from None


def _boolean(key: str, cell: Any) -> bool:
    if isinstance(cell, bool):
        return cell
    told = str(cell).strip().lower()
    if told not in ("true", "false"):
        raise InvalidContent(f"`{key}` must be true or false, not {cell!r}")
    return told == "true"


def _json(key: str, cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    try:
        return msgspec.json.decode(cell)
    except msgspec.DecodeError:
        raise InvalidContent(f"`{key}` must be JSON") from None

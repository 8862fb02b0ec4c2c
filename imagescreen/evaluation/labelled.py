"""Labelled pictures for an evaluation: from folders, or from a manifest."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from imagescreen.errors import PhotosUnusable, PictureTooLarge, PictureUnavailable, WrongUse
from imagescreen.evaluation.photos import TarFolder
from imagescreen.references.offers import PICTURE_SUFFIXES, read_csv


class Role(StrEnum):
    """What a picture is for: what is known, what must be caught, what must not be flagged, what scores are normalised
    with.
    """

    REFERENCE = "reference"
    QUERY = "query"
    ORDINARY = "ordinary"
    BACKGROUND = "background"


FOLDERS = {
    Role.REFERENCE: "references",
    Role.QUERY: "queries",
    Role.ORDINARY: "ordinary",
    Role.BACKGROUND: "background",
}
COLUMNS = ("path", "tar", "role", "label", "package")
_LABELLED = (Role.REFERENCE, Role.QUERY)


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """`label` says which known item a reference or query shows; it is empty for the others. Pictures of one `package`
    are screened together; references and background have none. `read` gives untrusted bytes or raises PictureProblem.
    """

    name: str
    role: Role
    label: str
    package: str
    read: Callable[[], bytes]


def labelled_pictures(source: Path, max_bytes: int) -> tuple[LabelledPicture, ...]:
    """Everything in a folder (references/<label>/, queries/<label>/, ordinary/, background/) or a `.csv` manifest.

    In a folder each picture of queries/<label>/ and ordinary/ is a package, and each sub-folder of those is one, too. A
    manifest has the columns path and role, and label, package and tar where they are needed: with `tar`, path is a
    member of `<tar>.tar` beside the manifest. Raises WrongUse for what cannot be evaluated.
    """
    if source.is_dir():
        pictures = _from_folder(source, max_bytes)
    elif source.suffix.lower() == ".csv" and source.is_file():
        pictures = _from_manifest(source, max_bytes)
    else:
        raise WrongUse(f"{source} is neither a folder nor a .csv file" if source.exists() else f"there is no {source}")
    check_roles(pictures)
    return tuple(pictures)


def check_roles(pictures: Iterable[LabelledPicture], *, which: str = "pictures") -> None:
    """Raises WrongUse when a role is empty, a label has no reference, or a package is not of one kind."""
    pictures = tuple(pictures)
    roles = Counter(picture.role for picture in pictures)
    for role in (Role.REFERENCE, Role.QUERY, Role.ORDINARY):
        if not roles[role]:
            raise WrongUse(f"there are no {which} with the role {role.value} (folder {FOLDERS[role]}/)")
    known = {picture.label for picture in pictures if picture.role is Role.REFERENCE}
    unknown = sorted({picture.label for picture in pictures if picture.role is Role.QUERY} - known)
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise WrongUse(
            f"no {which} with the role reference have the label {', '.join(map(repr, unknown[:3]))}{more} "
            "that queries have"
        )
    kinds: dict[str, set[tuple[Role, str]]] = defaultdict(set)
    for picture in pictures:
        if picture.package:
            kinds[picture.package].add((picture.role, picture.label))
    mixed = sorted(package for package, of in kinds.items() if len(of) > 1)
    if mixed:
        raise WrongUse(f"the package {mixed[0]!r} has pictures of several roles or labels")


def _from_folder(folder: Path, max_bytes: int) -> list[LabelledPicture]:
    pictures = []
    for role, name in FOLDERS.items():
        home = folder / name
        if not home.is_dir():
            continue
        for path in sorted(item for item in home.rglob("*") if is_picture(item)):
            parts = path.relative_to(home).parts
            label = ""
            if role in _LABELLED:
                if len(parts) < 2:
                    raise WrongUse(f"{name}/{shown(path.name)} lies in no folder of a label: {name}/<label>/ is meant")
                label, parts = parts[0], parts[1:]
            pictures.append(
                LabelledPicture(
                    name=shown(str(path.relative_to(folder))),
                    role=role,
                    label=shown(label),
                    package=shown("/".join((name, label, *(parts[:-1] or parts)))) if _screened(role) else "",
                    read=partial(_read_file, path, max_bytes),
                )
            )
    return pictures


def _from_manifest(manifest: Path, max_bytes: int) -> list[LabelledPicture]:
    tars = TarFolder(manifest.parent, manifest.name)
    pictures = []
    for line, row in read_csv(manifest, COLUMNS, required=("path", "role")):
        path, tar, label = row["path"], row.get("tar", ""), row.get("label", "")
        try:
            role = Role(row["role"])
        except ValueError:
            allowed = ", ".join(role.value for role in Role)
            raise WrongUse(f"{manifest}: line {line}: unknown role {row['role']!r}; allowed are {allowed}") from None
        if not path:
            raise WrongUse(f"{manifest}: line {line} names no path")
        if (role in _LABELLED) != bool(label):
            raise WrongUse(
                f"{manifest}: line {line}: a {role.value} needs a label"
                if role in _LABELLED
                else f"{manifest}: line {line}: {role.value} pictures have no label, but there is {label!r}"
            )
        name = f"{tar}.tar:{path}" if tar else path
        pictures.append(
            LabelledPicture(
                name=name,
                role=role,
                label=label,
                package=(row.get("package") or f"line {line}") if _screened(role) else "",
                read=partial(_read_member, tars, tar, path)
                if tar
                else partial(_read_file, manifest.parent / path, max_bytes),
            )
        )
    return pictures


def _screened(role: Role) -> bool:
    return role in (Role.QUERY, Role.ORDINARY)


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()


def shown(name: str) -> str:
    """A file name in another encoding can be used, but not shown or written down as it is."""
    return name.encode("utf-8", "replace").decode()


def _read_file(path: Path, max_bytes: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise PictureTooLarge(f"The file has {size:,} bytes; at most {max_bytes:,} are allowed.")
        return path.read_bytes()
    except OSError as error:
        raise PictureUnavailable(f"The file cannot be read: {error.strerror or error}.") from None
    except ValueError as error:
        raise PictureUnavailable(f"The file name cannot be used: {error}.") from None


def _read_member(tars: TarFolder, tar: str, member: str) -> bytes:
    try:
        return tars.read(tar, member)
    except PhotosUnusable as error:
        raise PictureUnavailable(f"{error.detail}.") from None

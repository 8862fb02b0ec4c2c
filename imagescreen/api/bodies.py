"""Request bodies: `multipart/form-data` with one JSON part and picture files, or one JSON object with base64.

Litestar's form parser decodes parts without a file name as text and fails on binary ones, so the parser that it stands
on (`multipart`) is used directly. Bodies are limited by the route before anything is parsed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from anyio import to_thread
from litestar import Request
from msgspec import Meta
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from imagescreen.errors import InvalidContent, MalformedRequest, UnsupportedContentType

MAX_PARTS = 1100
MAX_JSON_PART_BYTES = 4 << 20
JSON_TYPE = "application/json"
MULTIPART_TYPE = "multipart/form-data"

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class PictureData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A picture inside a JSON body: its bytes in base64, or a URL (not enabled: its status is `unavailable`)."""

    data: Annotated[bytes, Meta(description="The file's bytes in base64.")] | None = None
    url: Annotated[str, Meta(max_length=4000)] | None = None

    def __post_init__(self) -> None:
        if (self.data is None) == (self.url is None):
            raise ValueError("a picture has either `data` (base64) or `url`")


@dataclass(frozen=True, slots=True)
class Upload:
    """One picture as it came: its bytes, or the URL in their place."""

    name: str
    data: bytes | None
    url: str | None


@dataclass(frozen=True, slots=True)
class Submission:
    """`facts` is the JSON member, still unchecked."""

    facts: Any
    uploads: Sequence[Upload]


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    filename: str | None
    content_type: str
    charset: str | None
    data: bytes


async def read_submission(request: Request[Any, Any, Any], member: str | None) -> Submission:
    """Reads a body with the JSON member `member` (None: pictures only) and pictures.

    Raises UnsupportedContentType, MalformedRequest (cannot be parsed) or InvalidContent (parsed, against a rule).
    """
    content_type, options = request.content_type
    if content_type == MULTIPART_TYPE:
        return _from_parts(await _read_parts(request, options.get("boundary")), member)
    if content_type == JSON_TYPE:
        _check_charset(options.get("charset"), "the body")
        # In a thread: 64 MiB of base64 would hold up the event loop for everybody.
        return await to_thread.run_sync(_from_json, await request.body(), member)
    raise UnsupportedContentType(
        f"content type {content_type or 'none'!r} is not supported: send {MULTIPART_TYPE} or {JSON_TYPE}"
    )


async def read_json(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """A body that is one JSON object."""
    content_type, options = request.content_type
    if content_type != JSON_TYPE:
        raise UnsupportedContentType(f"content type {content_type or 'none'!r} is not supported: send {JSON_TYPE}")
    _check_charset(options.get("charset"), "the body")
    body = await request.body()
    if len(body) > MAX_JSON_PART_BYTES:
        raise InvalidContent(f"the body is larger than {MAX_JSON_PART_BYTES} bytes")
    return _object(body, "the body")


def _from_json(body: bytes, member: str | None) -> Submission:
    told = _object(body, "the body")
    allowed = ("pictures",) if member is None else (member, "pictures")
    unknown = sorted(set(told) - set(allowed))
    if unknown:
        raise InvalidContent(f"unknown field {unknown[0]!r}: allowed are {', '.join(allowed)}", errors=tuple(unknown))
    if member is not None and member not in told:
        raise InvalidContent(f"the field {member!r} is missing")
    try:
        pictures = msgspec.convert(told.get("pictures", []), list[PictureData])
    except msgspec.ValidationError as error:
        raise InvalidContent(f"pictures: {error}", errors=(str(error),)) from None
    uploads = [Upload(f"picture {position}", item.data, item.url) for position, item in enumerate(pictures)]
    return Submission(told.get(member) if member is not None else None, uploads)


def _from_parts(parts: Sequence[_Part], member: str | None) -> Submission:
    facts: Any = None
    found = False
    uploads: list[Upload] = []
    for part in parts:
        if part.name == "pictures":
            if part.filename is None:
                raise InvalidContent(
                    "a part 'pictures' has no file name: send each picture as a file, e.g. "
                    "curl -F 'pictures=@photo.jpg'"
                )
            uploads.append(Upload(f"picture {len(uploads)} ({part.filename[:100]!r})", part.data, None))
        elif part.name == member:
            if found:
                raise InvalidContent(f"the part {member!r} comes twice")
            found = True
            facts = _json_part(part)
        else:
            allowed = "pictures" if member is None else f"{member}, pictures"
            raise InvalidContent(f"unknown part {part.name[:100]!r}: allowed are {allowed}", errors=(part.name[:100],))
    if member is not None and not found:
        raise InvalidContent(f"the part {member!r} (JSON) is missing")
    return Submission(facts, uploads)


def _check_charset(charset: str | None, what: str) -> None:
    if (charset or "utf-8").lower().replace("_", "-") not in ("utf-8", "utf8", "us-ascii", "ascii"):
        raise MalformedRequest(f"{what} has charset {charset[:40] if charset else ''!r}: JSON is UTF-8")


def _json_part(part: _Part) -> dict[str, Any]:
    _check_charset(part.charset, f"the part {part.name!r}")
    if len(part.data) > MAX_JSON_PART_BYTES:
        raise InvalidContent(f"the part {part.name!r} is larger than {MAX_JSON_PART_BYTES} bytes")
    return _object(part.data, f"the part {part.name!r}")


def _object(data: bytes, what: str) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedRequest(f"{what} is not well-formed JSON: {error or 'nested too deeply'}") from None
    if not isinstance(told, dict):
        raise InvalidContent(f"{what} must be a JSON object, not {_kind(told)}")
    if b"\\u0000" in data and _NUL.search(data):
        # PostgreSQL cannot store it, and no honest text has it.
        raise InvalidContent(f"{what} contains the character U+0000, which is not allowed")
    return told


def _kind(value: Any) -> str:
    return {list: "a list", str: "a text", bool: "a boolean", type(None): "null"}.get(type(value), "a number")


async def _read_parts(request: Request[Any, Any, Any], boundary: str | None) -> list[_Part]:
    if not boundary:
        raise MalformedRequest("the Content-Type header has no multipart boundary")
    parts: list[_Part] = []
    try:
        with PushMultipartParser(boundary.encode("latin-1", "replace"), max_segment_count=MAX_PARTS) as parser:
            segment: MultipartSegment | None = None
            content: list[bytes] = []
            async for chunk in request.stream():
                if not chunk:
                    continue
                for event in parser.parse(chunk):
                    if isinstance(event, MultipartSegment):
                        segment, content = event, []
                    elif event:
                        content.append(event)
                    elif segment is not None:
                        parts.append(_part(segment, b"".join(content)))
                        segment = None
            parser.close()
    except (MultipartError, UnicodeError, LookupError, ValueError) as error:
        raise MalformedRequest(f"the multipart body cannot be parsed: {error}") from None
    return parts


def _part(segment: MultipartSegment, content: bytes) -> _Part:
    return _Part(
        name=segment.name or "",
        filename=segment.filename or None,
        content_type=segment.content_type or "",
        charset=segment.charset,
        data=content,
    )

"""The error family, and its one shape on the wire (problem details, RFC 9457)."""

import re
from enum import Enum
from http import HTTPStatus
from typing import Any, ClassVar, get_args, get_type_hints

import msgspec

PROBLEM_MEDIA_TYPE = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One problem as it goes over the wire: what kind, and what to do about it."""

    type: str
    title: str
    detail: str
    status: int | None = None
    errors: tuple[str, ...] = ()
    reference_id: str | None = None
    request_id: str | None = None


class ImagescreenError(Exception):
    """Base of everything that this package raises on purpose.

    `detail` is one sentence for the person who caused it; it says what was wrong and what is allowed. It is shown to
    callers, so it holds no secrets and no paths of ours.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, *, errors: tuple[str, ...] = (), reference_id: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.reference_id = reference_id

    def problem(self) -> Problem:
        return Problem(
            type=problem_type(self.code),
            title=self.title,
            detail=self.detail,
            status=self.status,
            errors=self.errors,
            reference_id=self.reference_id,
        )


def problem_type(code: str) -> str:
    """The stable URI of a kind of problem; callers branch on it."""
    return f"urn:imagescreen:problem:{code}"


def problem_of_status(status: int, detail: str) -> Problem:
    """The problem for a plain HTTP status that no class of ours stands for."""
    phrase = HTTPStatus(status).phrase
    return Problem(type=problem_type(phrase.lower().replace(" ", "-")), title=phrase, detail=detail, status=status)


def explained(message: str, annotation: Any) -> str:
    """What msgspec says of a wrong value, with what is allowed: the members of an enum, the form of a time."""
    if "enum" in message:
        member = re.search(r"at `\$\.(\w+)", message)
        if member is not None:
            annotation = get_type_hints(annotation).get(member[1], annotation)
        for kind in (annotation, *get_args(annotation)):
            if isinstance(kind, type) and issubclass(kind, Enum):
                return f"{message}; allowed are {', '.join(str(one.value) for one in kind)}"
    if "RFC3339" in message or "datetime" in message:
        return f"{message}; a time looks like 2026-01-31T12:00:00Z"
    return message


class MalformedRequest(ImagescreenError):
    """The request could not be parsed at all."""

    status = 400
    code = "malformed-request"
    title = "The request could not be parsed"


class RequestTimeout(ImagescreenError):
    """The body did not arrive in time."""

    status = 408
    code = "request-timeout"
    title = "The request did not arrive in time"


class CallerGone(ImagescreenError):
    """Whoever asked hung up before the answer was there; nobody reads this. The status is nginx's."""

    status = 499
    code = "caller-gone"
    title = "The caller went away"


class UnsupportedContentType(ImagescreenError):
    status = 415
    code = "unsupported-content-type"
    title = "Content type not supported"


class InvalidContent(ImagescreenError):
    """Parsed, but against a rule; `errors` names every field that is wrong."""

    status = 422
    code = "invalid-content"
    title = "The request breaks a rule"


class NotFound(ImagescreenError):
    status = 404
    code = "not-found"
    title = "Not found"


class Conflict(ImagescreenError):
    status = 409
    code = "conflict"
    title = "Conflict with what is stored"


class DuplicatePicture(Conflict):
    """The same bytes already belong to another reference, named by `reference_id`."""

    code = "duplicate-picture"
    title = "Another reference already has this picture"


class Unavailable(ImagescreenError):
    """The service cannot answer now; the caller may try again after `retry_after_s`."""

    status = 503
    code = "unavailable"
    title = "Not available at the moment"
    retry_after_s: ClassVar[int] = 5


class IndexUnavailable(Unavailable):
    """There is no index to screen against, so no answer would mean anything."""

    code = "index-unavailable"
    title = "No index to screen against"


class Overloaded(Unavailable):
    code = "overloaded"
    title = "Too much work is waiting"
    retry_after_s = 1


class PictureProblem(ImagescreenError):
    """One picture could not be screened; `code` is also its status in a screening."""

    status = 422
    code = "unreadable"
    title = "The picture could not be read"

    def problem(self) -> Problem:
        return Problem(type=problem_type(f"picture-{self.code}"), title=self.title, detail=self.detail)


class UnreadablePicture(PictureProblem):
    """Truncated, damaged, or not what its first bytes say."""


class UnsupportedPictureFormat(PictureProblem):
    code = "unsupported_format"
    title = "Not a supported picture format"


class PictureTooLarge(PictureProblem):
    code = "too_large"
    title = "The picture is too large"


class PictureTooSmall(PictureProblem):
    code = "too_small"
    title = "The picture is too small"


class LowInformationPicture(PictureProblem):
    code = "low_information"
    title = "There is nothing to see on the picture"


class PictureUnavailable(PictureProblem):
    code = "unavailable"
    title = "The picture is not available"


class BrokenInstallation(ImagescreenError):
    """Something of ours on disk is missing, damaged or not what its manifest says."""

    code = "broken-installation"
    title = "The installation is not sound"


class BrokenModel(BrokenInstallation):
    code = "broken-model"
    title = "The model's files are not sound"


class BrokenIndex(BrokenInstallation):
    code = "broken-index"
    title = "The index version is not sound"


class FingerprintMismatch(BrokenInstallation):
    """Vectors of one embedding space met those of another."""

    code = "fingerprint-mismatch"
    title = "Vectors of different models"


class UnsoundVector(ImagescreenError):
    """A vector to search with is not finite, not of unit length or of another dimension: its answer would mislead."""

    code = "unsound-vector"
    title = "A vector is not sound"


class FetchFailed(ImagescreenError):
    """Weights could not be fetched, or are not what was pinned."""

    code = "fetch-failed"
    title = "The weights could not be fetched"


class WrongUse(ImagescreenError):
    """A script was told something that cannot be done."""

    code = "wrong-use"
    title = "Wrong use"


class PhotosUnusable(ImagescreenError):
    """A set of labelled photographs is missing, or is not what its index says."""

    code = "photos-unusable"
    title = "The photographs cannot be used"

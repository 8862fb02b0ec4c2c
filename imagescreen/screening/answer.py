"""What a screening answers: the shape that is stored and goes over the wire, once written never changed."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from imagescreen.calibration.thresholds import ThresholdPair
from imagescreen.errors import Problem


class Disposition(StrEnum):
    CLEAR = "clear"
    REVIEW = "review"
    HOLD = "hold"
    NOT_SCREENABLE = "not_screenable"

    @property
    def flagged(self) -> bool:
        return self in (Disposition.REVIEW, Disposition.HOLD)


class PictureStatus(StrEnum):
    SCREENED = "screened"
    LOW_INFORMATION = "low_information"
    UNREADABLE = "unreadable"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TOO_LARGE = "too_large"
    TOO_SMALL = "too_small"
    UNAVAILABLE = "unavailable"


class Exceeds(StrEnum):
    REVIEW = "review"
    HOLD = "hold"


class MatchKind(StrEnum):
    RESEMBLES = "resembles"
    NEAR_COPY = "near_copy"
    SAME_PICTURE = "same_picture"
    DESCRIBED = "described"


class ReasonCode(StrEnum):
    RESEMBLES_REFERENCE = "resembles_reference"
    RESEMBLES_REFERENCE_INFORM = "resembles_reference_inform"
    NEAR_COPY_OF_REFERENCE = "near_copy_of_reference"
    SAME_PICTURE_AS_REFERENCE = "same_picture_as_reference"
    FITS_WORDS_OF_REFERENCE = "fits_words_of_reference"
    SUPPRESSED_BY_NOT_GOODS = "suppressed_by_not_goods"
    LOWERED_BY_GENUINE = "lowered_by_genuine"
    LOWERED_IN_QUARANTINE = "lowered_in_quarantine"
    PICTURE_NOT_SCREENED = "picture_not_screened"
    NO_PICTURES = "no_pictures"
    NOT_CALIBRATED = "not_calibrated"


class Match(msgspec.Struct, frozen=True):
    """One reference that one picture resembles, by its nearest picture, or is a copy of, by the one that it copies; or
    whose words it fits (`described`). A reference with pictures and words may be there once for each.

    `similarity` is the cosine of the two vectors, of the reference's nearest picture, `score` the same less what the
    picture resembles of the background; both are null for a reference that was found by a hash alone. `exceeds` says
    which of the two `thresholds` the score is above, or what a copy leads to. One in `one_in` ordinary packages scores
    so high in this category, as far as those tell that the thresholds were measured on; null before that, and without
    a score.
    `distance` is how many of 256 bits of a near copy's PDQ hash differ. `reference_picture_id` is null where a hash
    came without a picture.
    Of a `described` match `similarity` is the mean cosine of the picture and the reference's phrases, `score` that less
    what ordinary goods fit them on average and what contrast words fit better, and `phrase` fits best; its numbers have
    no meaning beside those of other kinds.
    `suppressed_by` names the not_goods reference that beats the match, which then does not flag; `lowered_by` the
    genuine one that beats it, so that it leads to review at most, as does a reference that is `quarantined` for being
    noisy.
    """

    reference_id: UUID
    reference_picture_id: int | None
    title: str
    category: str | None
    kind: MatchKind
    similarity: float | None
    score: float | None
    thresholds: ThresholdPair
    exceeds: Exceeds | None
    one_in: int | None = None
    suppressed_by: UUID | None = None
    lowered_by: UUID | None = None
    distance: int | None = None
    quarantined: bool = False
    phrase: str | None = None


class PictureResult(msgspec.Struct, frozen=True, omit_defaults=True):
    position: int
    status: PictureStatus
    sha256: str | None = None
    width: Annotated[int, Meta(description="As displayed, in pixels.")] | None = None
    height: int | None = None
    matches: list[Match] = []
    problem: Problem | None = None


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """`text` is for people, `code` for programs."""

    code: ReasonCode
    text: str
    position: int | None = None
    reference_id: UUID | None = None


class ModelInfo(msgspec.Struct, frozen=True):
    name: str
    fingerprint: str


class IndexInfo(msgspec.Struct, frozen=True):
    """What was searched: a version, and the changes up to `sequence`."""

    version: str | None
    sequence: int
    references: int


class PolicyInfo(msgspec.Struct, frozen=True):
    version: str


class ElapsedMs(msgspec.Struct, frozen=True):
    decode: float
    embed: float
    search: float
    total: float


class ScreeningAnswer(msgspec.Struct, frozen=True):
    """The stored result of one package. A flag is no legal finding: it says "resembles", and a person decides."""

    screening_id: UUID
    package_id: str
    revision: int
    participant: str
    screened_at: datetime
    disposition: Disposition
    flagged: bool
    incomplete: bool
    reasons: list[Reason]
    pictures: list[PictureResult]
    model: ModelInfo
    index: IndexInfo
    policy: PolicyInfo
    elapsed_ms: ElapsedMs


class MatchesAnswer(msgspec.Struct, frozen=True):
    """Matches of pictures, with nothing stored and no disposition."""

    pictures: list[PictureResult]
    model: ModelInfo
    index: IndexInfo
    elapsed_ms: ElapsedMs

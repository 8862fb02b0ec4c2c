"""The operator's wishes: what leads to review or hold, and at which rates of false flags."""

import hashlib
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from imagescreen.calibration.normalisation import NormalisationWish
from imagescreen.calibration.scale import Scale
from imagescreen.calibration.thresholds import Rates, WordShares, shares_of
from imagescreen.database.feed import now
from imagescreen.database.session import Database
from imagescreen.database.tables import PolicyRow
from imagescreen.errors import BrokenInstallation
from imagescreen.pictures import MAX_PDQ_DISTANCE
from imagescreen.screening.answer import Exceeds, PictureStatus


class WhenIncomplete(StrEnum):
    REVIEW = "review"
    CLEAR = "clear"


class IncompleteRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For each status that leaves a picture unscreened: what it does to a package that would be clear otherwise."""

    unreadable: WhenIncomplete = WhenIncomplete.REVIEW
    too_large: WhenIncomplete = WhenIncomplete.REVIEW
    unsupported_format: WhenIncomplete = WhenIncomplete.REVIEW
    unavailable: WhenIncomplete = WhenIncomplete.REVIEW
    low_information: WhenIncomplete = WhenIncomplete.CLEAR
    too_small: WhenIncomplete = WhenIncomplete.CLEAR

    def of(self, status: PictureStatus) -> WhenIncomplete:
        rule: WhenIncomplete = getattr(self, status.value)
        return rule


Margin = Annotated[float, Meta(ge=0, le=2)]
Weight = Annotated[float, Meta(gt=0, le=1e6)]


class SuppressionRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By how much the score of a not_goods or genuine reference must be above a match's to suppress or lower it."""

    not_goods_margin: Margin = 0.05
    genuine_margin: Margin = 0.02


class NearCopyRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What copies of a known item's pictures lead to, and how many of 256 PDQ bits near copies differ in at most."""

    same_picture: Exceeds = Exceeds.HOLD
    near_copy: Exceeds = Exceeds.REVIEW
    max_distance: Annotated[int, Meta(ge=0, le=MAX_PDQ_DISTANCE)] = MAX_PDQ_DISTANCE


class WordRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For references described in words: the part of each promised rate that they have while there are any, and what
    they lead to at most. Those that do not hold have no part of the hold rate.
    """

    share: Annotated[float, Meta(gt=0, lt=1)] = 0.1
    leads_to: Exceeds = Exceeds.REVIEW

    def shares(self) -> WordShares:
        return WordShares(self.share, self.share if self.leads_to is Exceeds.HOLD else 0.0)


class NoisyRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a reference is noisy, by what was screened and reviewed in the last `window_days`.

    `least_flagged` and `least_dismissed`: how many packages must speak against it. `chance`: how rarely a count of its
    size may come about while the promise is kept. `confirmed_share`: with that share of its reviews confirmed it never
    is.
    """

    window_days: Annotated[int, Meta(ge=1, le=3660)] = 30
    least_flagged: Annotated[int, Meta(ge=1)] = 20
    least_dismissed: Annotated[int, Meta(ge=1)] = 5
    chance: Annotated[float, Meta(ge=1e-9, lt=0.5)] = 0.001
    confirmed_share: Annotated[float, Meta(gt=0, le=1)] = 0.1


class Wishes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The policy file. `rates` are those of packages; `shares` are weights by which they are divided over the
    categories that have references, 1 for a category that is not named.
    """

    rates: Rates
    shares: dict[str, Weight] = {}
    normalisation: NormalisationWish = NormalisationWish()
    incomplete: IncompleteRules = IncompleteRules()
    suppression: SuppressionRules = SuppressionRules()
    near_copies: NearCopyRules = NearCopyRules()
    words: WordRules = WordRules()
    noisy: NoisyRules = NoisyRules()


class Policy(msgspec.Struct, frozen=True):
    """`version` is the first 16 hex digits of the sha256 of what the file says (not of its comments or layout)."""

    version: str
    wishes: Wishes
    document: str

    def kept_by(self, scale: Scale) -> bool:
        """Whether scores and thresholds were made as this policy wishes; true where there are none."""
        wishes, thresholds, normalisation = self.wishes, scale.thresholds, scale.normalisation
        return (
            thresholds is None
            or (
                thresholds.rates == wishes.rates
                and thresholds.shares == shares_of(list(thresholds.categories), wishes.shares)
                and (thresholds.words is None or thresholds.words.shares == wishes.words.shares())
            )
        ) and (
            normalisation is None
            or (normalisation.beta, normalisation.k) == (wishes.normalisation.beta, wishes.normalisation.k)
        )


def read_policy(path: Path | None) -> Policy:
    """The policy file, or the built-in one. Raises BrokenInstallation with one sentence when it is wrong."""
    source = files("imagescreen.screening") / "default_policy.toml" if path is None else path
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BrokenInstallation(f"the policy file {path} cannot be read: {error}") from None
    try:
        wishes = msgspec.toml.decode(text, type=Wishes)
    except msgspec.DecodeError as error:
        raise BrokenInstallation(f"the policy file {path or 'default_policy.toml'} is wrong: {error}") from None
    canonical = msgspec.json.encode(wishes, order="sorted")
    return Policy(hashlib.sha256(canonical).hexdigest()[:16], wishes, text)


def record_policy(database: Database, policy: Policy) -> None:
    """Keeps the policy for good before the first screening that names it."""
    with database.write() as session:
        if session.get(PolicyRow, policy.version) is None:
            session.add(PolicyRow(version=policy.version, document=policy.document, first_used_at=now()))

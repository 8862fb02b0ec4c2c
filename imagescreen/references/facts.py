"""The fields of the reference catalogue, as the API, the scripts and the sample catalogue all fill them in."""

from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from imagescreen.errors import InvalidContent, explained

Line = Annotated[str, Meta(min_length=1, max_length=500)]
Paragraph = Annotated[str, Meta(max_length=20_000)]
Code = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$", description="Open for more: lower case letters, digits and _.")
]
HtsPrefix = Annotated[str, Meta(pattern=r"^[0-9]{2,10}(\.[0-9]{1,4}){0,3}$", max_length=16, examples=["4202.21"])]
AwareDateTime = Annotated[datetime, Meta(tz=True)]
Phrases = Annotated[list[Annotated[str, Meta(max_length=200)]], Meta(max_length=20)]


class ReferenceKind(StrEnum):
    KNOWN_ITEM = "known_item"
    GENUINE = "genuine"
    NOT_GOODS = "not_goods"


class ReferenceState(StrEnum):
    DRAFT = "draft"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    RETIRED = "retired"


class Severity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class SuggestedAction(StrEnum):
    INFORM = "inform"
    REVIEW = "review"
    HOLD = "hold"


class Right(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One right behind a reference, e.g. a trademark recorded with customs."""

    kind: Annotated[Code, Meta(examples=["trademark", "copyright", "exclusion_order"])]
    recordation_number: Annotated[Line, Meta(examples=["TMK 11-00163"])] | None = None
    registration_number: Line | None = None
    classes: list[Line] = []
    expires: date | None = None


class ReferenceFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is told of a known item. Only `title`, and `category` for a known item, are required."""

    title: Annotated[Line, Meta(examples=["Acme tote"])]
    kind: ReferenceKind = ReferenceKind.KNOWN_ITEM
    description: Paragraph | None = None
    category: Annotated[Code, Meta(examples=["counterfeit"])] | None = None
    brand: Line | None = None
    right_holder: Line | None = None
    rights: Annotated[list[Right], Meta(max_length=100)] = []
    agencies: Annotated[list[Line], Meta(max_length=100)] = []
    authority: Annotated[Line, Meta(description="Legal citation.", examples=["19 CFR 133.21"])] | None = None
    hts_prefixes: Annotated[list[HtsPrefix], Meta(max_length=100)] = []
    severity: Severity = Severity.MEDIUM
    suggested_action: SuggestedAction = SuggestedAction.HOLD
    source: Line | None = None
    source_reference: Line | None = None
    valid_from: AwareDateTime | None = None
    valid_until: Annotated[
        AwareDateTime | None, Meta(description="Exclusive: from this moment on it cannot match.")
    ] = None
    state: ReferenceState = ReferenceState.ACTIVE
    suspended_until: (
        Annotated[AwareDateTime, Meta(description="Only with state `suspended`: it matches again from then on.")] | None
    ) = None
    notes: Paragraph | None = None
    look_alikes: Annotated[list[UUID], Meta(max_length=100)] = []
    words: Annotated[
        Phrases,
        Meta(description="Phrasings of what a picture of it shows.", examples=[["a photo of a revolver", "a handgun"]]),
    ] = []
    contrast_words: Annotated[
        Phrases, Meta(description="What it must not be confused with.", examples=[["a photo of a hair dryer"]])
    ] = []
    submitted_by: (
        Annotated[Line, Meta(description="As told by the caller; unverified while there are no accounts.")] | None
    ) = None

    def __post_init__(self) -> None:
        if self.kind is ReferenceKind.KNOWN_ITEM and self.category is None:
            raise ValueError("`category` is required for a known item, e.g. `counterfeit`")
        if self.suspended_until is not None and self.state is not ReferenceState.SUSPENDED:
            raise ValueError("`suspended_until` is allowed only with state `suspended`")
        for name in ("valid_from", "valid_until", "suspended_until"):
            moment: datetime | None = getattr(self, name)
            if moment is not None and not 1900 <= moment.year <= 9998:
                raise ValueError(f"`{name}` must lie in the years 1900 to 9998")
        if self.valid_from and self.valid_until and self.valid_from >= self.valid_until:
            raise ValueError("`valid_until` must be later than `valid_from`")
        self._check_words()

    def _check_words(self) -> None:
        told = [*self.words, *self.contrast_words]
        if any(not phrase.strip() for phrase in told):
            raise ValueError("a phrasing in `words` or `contrast_words` is empty")
        if len(set(told)) < len(told):
            raise ValueError("a phrasing comes twice in `words` and `contrast_words`")
        if self.contrast_words and not self.words:
            raise ValueError("`contrast_words` say what `words` must not be confused with: tell `words` as well")
        if self.words and self.kind is not ReferenceKind.KNOWN_ITEM:
            raise ValueError(
                "`words` are for known items only: what merely fits words must not clear or lower anything"
            )


FACT_NAMES: tuple[str, ...] = ReferenceFacts.__struct_fields__
WORD_NAMES = ("words", "contrast_words")


def facts_from_json(data: dict[str, Any]) -> ReferenceFacts:
    """JSON members -> facts. Raises InvalidContent that names the field and what is allowed."""
    try:
        return msgspec.convert(data, ReferenceFacts, strict=True)
    except msgspec.ValidationError as error:
        told = explained(str(error), ReferenceFacts)
        raise InvalidContent(f"reference: {told}", errors=(told,)) from None


def changed_facts(facts: ReferenceFacts, patch: dict[str, Any]) -> ReferenceFacts:
    """Facts with some members replaced; the rules hold for the whole.

    A reference that leaves `suspended` loses its end of suspension, so that `{"state": "active"}` alone is enough.
    """
    unknown = sorted(set(patch) - set(FACT_NAMES))
    if unknown:
        raise InvalidContent(f"reference: unknown field {unknown[0]!r}", errors=tuple(f"unknown: {n}" for n in unknown))
    merged = {**msgspec.to_builtins(facts), **patch}
    if "state" in patch and patch["state"] != ReferenceState.SUSPENDED and "suspended_until" not in patch:
        merged["suspended_until"] = None
    return facts_from_json(merged)


_LISTS = ("agencies", "hts_prefixes", "look_alikes", *WORD_NAMES)
_MOMENTS = ("valid_from", "valid_until", "suspended_until")


def facts_from_columns(row: dict[str, str]) -> ReferenceFacts:
    """Columns of a CSV manifest -> facts; empty cells are left out.

    Lists are separated by `;`. `rights` is JSON, or the flat columns `right_kind`, `recordation_number`,
    `registration_number`, `right_classes`, `right_expires` give one right. A date without a time is midnight UTC.
    """
    told: dict[str, Any] = {name: value.strip() for name, value in row.items() if value and value.strip()}
    for name, value in told.items():
        if "\0" in value:
            raise InvalidContent(f"reference: `{name}` contains the character U+0000, which is not allowed")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidContent(f"reference: `{name}` is not UTF-8 text (a file name in another encoding?)") from None
    right = {
        field: told.pop(column)
        for column, field in (
            ("right_kind", "kind"),
            ("recordation_number", "recordation_number"),
            ("registration_number", "registration_number"),
            ("right_classes", "classes"),
            ("right_expires", "expires"),
        )
        if column in told
    }
    if "classes" in right:
        right["classes"] = _split(right["classes"])
    for name in _LISTS:
        if name in told:
            told[name] = _split(told[name])
    if "rights" in told:
        try:
            told["rights"] = msgspec.json.decode(told["rights"])
        except msgspec.DecodeError:
            raise InvalidContent("reference: `rights` must be a JSON list of rights") from None
    if right:
        if "rights" in told:
            raise InvalidContent("reference: give either `rights` or the flat columns of one right, not both")
        told["rights"] = [{"kind": "trademark", **right}]
    for name in _MOMENTS:
        if name in told:
            told[name] = moment_of(name, told[name])
    return facts_from_json(told)


def _split(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()]


def moment_of(name: str, cell: str) -> str:
    """A date (midnight UTC) or a time, as people write it -> RFC 3339. Raises InvalidContent that names it."""
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        raise InvalidContent(f"reference: `{name}` must be a date or an RFC 3339 time, not {cell!r}") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()

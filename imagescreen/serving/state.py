"""What this process serves at the moment."""

from dataclasses import dataclass, field, replace

from imagescreen.calibration.scale import RAW_SCORES, Scale
from imagescreen.calibration.thresholds import Thresholds, packages_needed
from imagescreen.embedding.batcher import Batcher
from imagescreen.errors import IndexUnavailable
from imagescreen.matching import NO_WORDS, HashSnapshot, IndexSnapshot, WordMatcher

BUILD_COMMAND = "scripts/reindex.py"


@dataclass(frozen=True, slots=True)
class Served:
    """Model, index, and the scale of scores with its thresholds, that belong together. One screening takes one of these
    and stays with it.

    `has_known_items`: some reference of kind `known_item` can match now; without one, `clear` would mean nothing.
    `hashes` finds copies of reference pictures, whatever the model; `words` finds references that are described.
    `generation` grows whenever a picture may match something else than before; `Serving` counts it.
    """

    batcher: Batcher
    snapshot: IndexSnapshot
    scale: Scale = RAW_SCORES
    has_known_items: bool = False
    hashes: HashSnapshot = field(default_factory=HashSnapshot.empty)
    words: WordMatcher = NO_WORDS
    generation: int = 0

    def matches_as(self, other: "Served") -> bool:
        """Whether all that decides what a picture matches is the very same; the feed's number is in the snapshot."""
        return (
            self.snapshot is other.snapshot
            and self.scale is other.scale
            and self.hashes is other.hashes
            and self.words is other.words
        )

    @property
    def thresholds(self) -> Thresholds | None:
        return self.scale.thresholds

    @property
    def words_problem(self) -> str | None:
        """Why references described in words do not match or flag by them, in one sentence; None when all is well."""
        if self.words.lacking:
            why = self.batcher.encoder.text_off_reason or "their phrases are still being embedded"
            return f"{len(self.words.lacking)} references described in words cannot match by them: {why}"
        if not len(self.words) or self.thresholds is None:
            return None
        told = f"{len(self.words)} references described in words match and flag nothing by them: "
        measured = self.thresholds.words
        if measured is None:
            return f"{told}no threshold was measured for words yet, run {BUILD_COMMAND}"
        if measured.pair.review is None:
            needed = packages_needed(self.thresholds.rates.review * measured.shares.review)
            return (
                f"{told}their share of the review rate needs {needed:,} ordinary packages, "
                f"and thresholds are measured on {self.thresholds.packages:,}"
            )
        return None


class Serving:
    """Holds the one `Served` of the process; replaced as a whole, never changed in place.

    `problem` is set while something else is current in the database but could not be served: then the old one stays.
    It says what to do about it.
    """

    def __init__(self, served: Served) -> None:
        self._state: tuple[Served, str | None] = (served, None)

    def current(self) -> Served:
        return self._state[0]

    @property
    def problem(self) -> str | None:
        return self._state[1]

    def replace(self, served: Served, problem: str | None) -> None:
        """By one thread at a time."""
        before = self.current()
        generation = before.generation + (not served.matches_as(before))
        self._state = (replace(served, generation=generation), problem)

    def require_index(self) -> Served:
        """What to screen with. Raises IndexUnavailable when an answer would mean nothing."""
        served, problem = self._state
        if served.snapshot.version is None:
            raise IndexUnavailable(
                problem or f"there is no index version to screen against: build one with {BUILD_COMMAND}"
            )
        if not served.has_known_items:
            raise IndexUnavailable(
                f"index version {served.snapshot.version} holds no active reference to a known item: "
                f"add references with scripts/add_references.py, or build another version with {BUILD_COMMAND}"
            )
        return served

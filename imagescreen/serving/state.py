"""What this process serves at the moment."""

from dataclasses import dataclass, field

from imagescreen.calibration.scale import RAW_SCORES, Scale
from imagescreen.calibration.thresholds import Thresholds
from imagescreen.embedding.batcher import Batcher
from imagescreen.errors import IndexUnavailable
from imagescreen.matching import HashSnapshot, IndexSnapshot

BUILD_COMMAND = "scripts/reindex.py"


@dataclass(frozen=True, slots=True)
class Served:
    """Model, index, and the scale of scores with its thresholds, that belong together. One screening takes one of these
    and stays with it.

    `has_known_items`: some reference of kind `known_item` can match now; without one, `clear` would mean nothing.
    `hashes` finds copies of reference pictures, whatever the model.
    """

    batcher: Batcher
    snapshot: IndexSnapshot
    scale: Scale = RAW_SCORES
    has_known_items: bool = False
    hashes: HashSnapshot = field(default_factory=HashSnapshot.empty)

    @property
    def thresholds(self) -> Thresholds | None:
        return self.scale.thresholds


class Serving:
    """Holds the one `Served` of the process; replaced as a whole, never changed in place.

    `problem` is set while something else is current in the database but could not be served: then the old one stays.
    """

    def __init__(self, served: Served) -> None:
        self._state: tuple[Served, str | None] = (served, None)

    def current(self) -> Served:
        return self._state[0]

    @property
    def problem(self) -> str | None:
        return self._state[1]

    def replace(self, served: Served, problem: str | None) -> None:
        self._state = (served, problem)

    def require_index(self) -> Served:
        """What to screen with. Raises IndexUnavailable when an answer would mean nothing."""
        served, problem = self._state
        if served.snapshot.version is None:
            raise IndexUnavailable(
                f"{problem or 'there is no index version to screen against'}: build one with {BUILD_COMMAND}"
            )
        if not served.has_known_items:
            raise IndexUnavailable(
                f"index version {served.snapshot.version} holds no active reference to a known item: "
                f"add references with scripts/add_references.py, or build another version with {BUILD_COMMAND}"
            )
        return served

"""What pictures that come again match, for as long as nothing has changed that decides it: listings repeat photos."""

import threading
from collections.abc import Mapping
from uuid import UUID

import msgspec
from cachetools import LRUCache

from imagescreen.screening.answer import Match
from imagescreen.screening.matches import Found, ReferenceInfo

MAX_PICTURES = 10_000
"""Those that came last, in some 16 MB with five matches each."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[Match])


class _Known(msgspec.Struct, frozen=True, gc=False):
    """The matches in one piece: as objects, those of all pictures made the interpreter's search for garbage stop
    everything for a tenth of a second. `references` are the facts of each match's reference, in the same order.
    """

    encoded: bytes
    references: tuple[ReferenceInfo, ...]


class KnownMatches:
    """Of pictures by their sha256 in hex. Safe to use from many threads.

    All are forgotten with the generation of what is served (see `Served`), so that a change counts at once.
    """

    def __init__(self) -> None:
        self._generation = 0
        self._known: LRUCache[str, _Known] = LRUCache(MAX_PICTURES)
        self._lock = threading.Lock()

    def of(self, generation: int, pictures: Mapping[int, str]) -> Found:
        """What is remembered of `pictures`, which are told by their positions."""
        found: dict[int, _Known] = {}
        with self._lock:
            if generation > self._generation:
                self._generation = generation
                self._known.clear()
            if generation == self._generation:
                for position, sha256 in pictures.items():
                    known = self._known.get(sha256)
                    if known is not None:
                        found[position] = known
        matches = {position: _DECODER.decode(known.encoded) for position, known in found.items()}
        references: dict[UUID, ReferenceInfo] = {}
        for position, known in found.items():
            told = (match.reference_id for match in matches[position])
            references.update(zip(told, known.references, strict=True))
        return Found(matches, references)

    def note(self, generation: int, pictures: Mapping[int, str], found: Found) -> None:
        """What was found for those of `pictures` that were looked for, with what `generation` served."""
        new = {
            pictures[position]: _Known(
                _ENCODER.encode(matches), tuple(found.references[match.reference_id] for match in matches)
            )
            for position, matches in found.matches.items()
            if position in pictures
        }
        if new:
            with self._lock:
                if generation == self._generation:
                    self._known.update(new)

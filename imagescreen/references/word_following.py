"""Keeps the words of references up with the database: all of them at the first look, then what changed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from imagescreen.database.feed import last_sequence
from imagescreen.database.words import StoredWords, matching_words, words_of
from imagescreen.embedding.encoder import Encoder
from imagescreen.errors import ImagescreenError
from imagescreen.matching import DescribedReference, WordMatcher
from imagescreen.references.following import changed_references
from imagescreen.references.words import PHRASES_AT_ONCE, described, embed_phrases


@dataclass(frozen=True, slots=True)
class _State:
    fingerprint: str
    matcher: WordMatcher
    sequence: int
    judged_at: datetime


class WordFollowing:
    """They belong to a model, so another one means reading all of them again.

    Phrases are embedded by whoever adds them. Those that lack a vector all the same (they were added with another model
    while this one was being switched to, or while its text side was off) are embedded here, some at each look, and
    until then their references are `lacking`.
    """

    def __init__(self) -> None:
        self._state: _State | None = None
        self._embedded: dict[str, bytes] = {}
        self._log = structlog.get_logger("imagescreen.follower")

    def advance(self, session: Session, encoder: Encoder, moment: datetime) -> WordMatcher:
        """With everything that was committed, or turned by the clock, until `moment`.

        Raises BrokenInstallation when a stored vector cannot be used.
        """
        before = self._state
        if before is None or before.fingerprint != encoder.fingerprint:
            self._embedded = {}
            # Taken first: what is committed meanwhile is followed once more, which is harmless.
            sequence = last_sequence(session)
            stored = matching_words(session, fingerprint=encoder.fingerprint, moment=moment)
            matcher = WordMatcher.of(*self._sorted(stored, encoder))
        else:
            sequence, changed = changed_references(session, before.sequence, before.judged_at, moment)
            wanted: set[UUID] = set(changed) | (before.matcher.lacking if encoder.has_text else frozenset())
            matcher = before.matcher
            if wanted:
                stored = words_of(session, wanted, fingerprint=encoder.fingerprint, moment=moment)
                if stored or not wanted.isdisjoint([*matcher.references, *matcher.lacking]):
                    matcher = matcher.with_changes(wanted, *self._sorted(stored, encoder))
        self._state = _State(encoder.fingerprint, matcher, sequence, moment)
        return matcher

    def _sorted(self, stored: Sequence[StoredWords], encoder: Encoder) -> tuple[list[DescribedReference], list[UUID]]:
        """Those that can match, and those that lack a vector."""
        missing = {phrase for one in stored for phrase in one.lacking()} - self._embedded.keys()
        if missing and encoder.has_text:
            try:
                self._embedded |= embed_phrases(encoder, sorted(missing)[:PHRASES_AT_ONCE]).vectors
            except ImagescreenError as error:
                # Pictures are followed on, and the next look tries again.
                self._log.error("words_not_embedded", error=error.detail)
        known = self._embedded
        whole = [
            replace(one, vectors={**{p: known[p] for p in one.lacking() if p in known}, **one.vectors})
            for one in stored
        ]
        return described(whole, encoder.dimension), [one.reference_id for one in whole if one.lacking()]

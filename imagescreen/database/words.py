"""References described in words, and the vectors of their phrases."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, select, text
from sqlalchemy.orm import Session

from imagescreen.database.matchable import matches_at
from imagescreen.database.tables import PhraseVectorRow, ReferenceRow

_CHUNK = 500

# In the very words of the partial index, which databases use for nothing else.
_DESCRIBED = text("reference.words <> '[]'")


@dataclass(frozen=True, slots=True)
class StoredWords:
    """`vectors` has the phrases and contrast phrases that have one in the embedding space asked for."""

    reference_id: UUID
    phrases: tuple[str, ...]
    contrast: tuple[str, ...]
    vectors: Mapping[str, bytes]

    def lacking(self) -> list[str]:
        return [phrase for phrase in (*self.phrases, *self.contrast) if phrase not in self.vectors]


def matching_words(session: Session, *, fingerprint: str, moment: datetime) -> list[StoredWords]:
    """Those of every reference that matches at that moment and is described."""
    return _words(session, matches_at(moment), fingerprint)


def words_of(
    session: Session, reference_ids: Iterable[UUID], *, fingerprint: str, moment: datetime
) -> list[StoredWords]:
    """The same for some references; nothing for those of them that do not match, or are not described."""
    ids = list(reference_ids)
    found: list[StoredWords] = []
    for start in range(0, len(ids), _CHUNK):
        chosen = and_(ReferenceRow.id.in_(ids[start : start + _CHUNK]), matches_at(moment))
        found += _words(session, chosen, fingerprint)
    return found


def phrases_without_vector(session: Session, *, fingerprint: str) -> list[str]:
    """Phrases of references in any state that have no vector in this embedding space."""
    rows = session.execute(select(ReferenceRow.words, ReferenceRow.contrast_words).where(_DESCRIBED)).all()
    phrases = list(dict.fromkeys(phrase for row in rows for phrase in (*row[0], *row[1])))
    known = _vectors(session, phrases, fingerprint)
    return [phrase for phrase in phrases if phrase not in known]


def is_described(session: Session, title: str, words: Sequence[str], contrast: Sequence[str]) -> bool:
    """Whether there is a reference, in any state, of this title and just these words."""
    rows = session.execute(
        select(ReferenceRow.words, ReferenceRow.contrast_words).where(_DESCRIBED, ReferenceRow.title == title)
    )
    return any((row[0], row[1]) == (list(words), list(contrast)) for row in rows)


def add_phrase_vectors(session: Session, vectors: Mapping[str, bytes], *, fingerprint: str) -> None:
    """With the feed locked (`lock_feed`), since others may add the same phrases."""
    for phrase, vector in vectors.items():
        session.merge(PhraseVectorRow(phrase=phrase, fingerprint=fingerprint, vector=vector))


def _words(session: Session, which: ColumnElement[bool], fingerprint: str) -> list[StoredWords]:
    rows = session.execute(
        select(ReferenceRow.id, ReferenceRow.words, ReferenceRow.contrast_words)
        .where(_DESCRIBED, which)
        .order_by(ReferenceRow.id)
    ).all()
    known = _vectors(session, list({phrase for row in rows for phrase in (*row[1], *row[2])}), fingerprint)
    return [
        StoredWords(
            row[0],
            tuple(row[1]),
            tuple(row[2]),
            {phrase: known[phrase] for phrase in (*row[1], *row[2]) if phrase in known},
        )
        for row in rows
    ]


def _vectors(session: Session, phrases: Sequence[str], fingerprint: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for start in range(0, len(phrases), _CHUNK):
        rows = session.execute(
            select(PhraseVectorRow.phrase, PhraseVectorRow.vector).where(
                PhraseVectorRow.fingerprint == fingerprint,
                PhraseVectorRow.phrase.in_(phrases[start : start + _CHUNK]),
            )
        )
        found.update({row[0]: row[1] for row in rows})
    return found

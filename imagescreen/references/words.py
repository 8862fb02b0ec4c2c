"""From phrases to their vectors in the space of the pictures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy.orm import Session

from imagescreen.database.vectors import from_blobs, to_blob
from imagescreen.database.words import StoredWords, add_phrase_vectors
from imagescreen.embedding.encoder import Encoder
from imagescreen.errors import InvalidContent
from imagescreen.matching import DescribedReference
from imagescreen.references.facts import ReferenceFacts

PHRASES_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class PhraseVectors:
    """Vectors (see `database.vectors`) by phrase, of the embedding space `fingerprint`."""

    fingerprint: str
    vectors: dict[str, bytes]

    def store(self, session: Session) -> None:
        """With the feed locked, in the transaction that commits the words."""
        add_phrase_vectors(session, self.vectors, fingerprint=self.fingerprint)


def check_text_side(encoder: Encoder, facts: ReferenceFacts) -> None:
    """Raises InvalidContent when `facts` have words that the model cannot use: none are ignored in silence."""
    if facts.words and not encoder.has_text:
        raise InvalidContent(f"`words` cannot be used, only pictures: {encoder.text_off_reason}")


def embed_phrases(encoder: Encoder, phrases: Iterable[str]) -> PhraseVectors:
    """Raises Unavailable when the text side is off or the device failed."""
    different = list(dict.fromkeys(phrases))
    vectors: dict[str, bytes] = {}
    for start in range(0, len(different), PHRASES_AT_ONCE):
        chunk = different[start : start + PHRASES_AT_ONCE]
        vectors.update(zip(chunk, map(to_blob, encoder.encode_words(chunk)), strict=True))
    return PhraseVectors(encoder.fingerprint, vectors)


def phrases_of(facts: ReferenceFacts) -> list[str]:
    return [*facts.words, *facts.contrast_words]


def described(stored: Sequence[StoredWords], dimension: int) -> list[DescribedReference]:
    """Those that lack no vector. Raises BrokenInstallation when a stored one is not of this model."""

    def vectors(one: StoredWords, phrases: Sequence[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return from_blobs([one.vectors[phrase] for phrase in phrases], dimension)

    return [
        DescribedReference(one.reference_id, one.phrases, vectors(one, one.phrases), vectors(one, one.contrast))
        for one in stored
        if not one.lacking()
    ]

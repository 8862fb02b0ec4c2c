"""Reading and changing references that are there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from imagescreen.database.feed import ChangeKind, append_change, now
from imagescreen.database.files import PictureFiles
from imagescreen.database.session import Database
from imagescreen.database.tables import ReferencePictureRow, ReferenceRow
from imagescreen.errors import Conflict, InvalidContent, NotFound
from imagescreen.references.facts import (
    WORD_NAMES,
    ReferenceFacts,
    ReferenceKind,
    ReferenceState,
    changed_facts,
    facts_from_json,
)
from imagescreen.references.stored import StoredReference, columns_of, difference, facts_of, stored_reference
from imagescreen.references.words import PhraseVectors, check_text_side, embed_phrases, phrases_of
from imagescreen.serving.state import Serving


@dataclass(frozen=True, slots=True)
class ReferenceFilter:
    """Only references that agree with every member that is given."""

    state: ReferenceState | None = None
    kind: ReferenceKind | None = None
    category: str | None = None
    brand: str | None = None
    source: str | None = None
    source_reference: str | None = None


_LOADED = (
    selectinload(ReferenceRow.pictures),
    selectinload(ReferenceRow.hashes),
    selectinload(ReferenceRow.quarantine),
)


class Catalogue:
    """`on_change` is called after each committed change, so that it takes effect in this process at once.

    New words are embedded with what `serving` serves. Without it, in a script that loads no model, servers do that when
    they take notice.
    """

    def __init__(
        self,
        database: Database,
        files: PictureFiles,
        *,
        on_change: Callable[[], None],
        serving: Serving | None = None,
    ) -> None:
        self._serving = serving
        self._database = database
        self._files = files
        self._on_change = on_change

    def get(self, reference_id: UUID) -> StoredReference:
        """Raises NotFound."""
        with self._database.read() as session:
            return _stored(_row(session, reference_id))

    def list(self, wanted: ReferenceFilter, *, limit: int, after: UUID | None = None) -> Sequence[StoredReference]:
        """By id, which is the order of creation; `after` is the last id of the page before."""
        statement = select(ReferenceRow).options(*_LOADED).order_by(ReferenceRow.id)
        for name in wanted.__slots__:
            value = getattr(wanted, name)
            if value is not None:
                statement = statement.where(getattr(ReferenceRow, name) == value)
        if after is not None:
            statement = statement.where(ReferenceRow.id > after)
        with self._database.read() as session:
            return [_stored(row) for row in session.scalars(statement.limit(limit))]

    def change(self, reference_id: UUID, patch: dict[str, Any], *, actor: str | None = None) -> StoredReference:
        """Replaces some facts; takes effect in this process before it returns.

        Raises NotFound, or InvalidContent naming the field.
        """
        phrases = self._embedded(reference_id, patch)
        with self._database.write() as session:
            row = _row(session, reference_id, lock=True)
            before = facts_of(row)
            facts: ReferenceFacts = changed_facts(facts_from_json(before), patch)
            if "suspended_until" in patch and facts.suspended_until is not None and facts.suspended_until <= now():
                raise InvalidContent("`suspended_until` lies in the past: the reference would match again at once")
            values = columns_of(facts)
            changed = difference(before, values)
            if "words" in changed and not facts.words and not row.hashes and not _present(row):
                raise InvalidContent(
                    "its words are all that this reference matches by: add a picture first, "
                    'or retire the reference with {"state": "retired"}'
                )
            if changed:
                for name in changed:
                    setattr(row, name, values[name])
                row.updated_at = now()
                append_change(
                    session,
                    ChangeKind.REFERENCE_CHANGED,
                    reference_id=reference_id,
                    actor=actor or changed.get("submitted_by"),
                    details=changed,
                )
                if phrases is not None:
                    phrases.store(session)
            session.flush()
            answer = _stored(row)
        self._on_change()
        return answer

    def _embedded(self, reference_id: UUID, patch: dict[str, Any]) -> PhraseVectors | None:
        """The vectors of the phrases that a patch brings, made before the database is written to, so that nobody waits.

        Raises what `change` raises, InvalidContent for words that the model cannot use.
        """
        if self._serving is None or patch.keys().isdisjoint(WORD_NAMES):
            return None
        with self._database.read() as session:
            before = facts_of(_row(session, reference_id))
        facts = changed_facts(facts_from_json(before), patch)
        if all(getattr(facts, name) == before[name] for name in WORD_NAMES) or not facts.words:
            return None
        encoder = self._serving.current().batcher.encoder
        check_text_side(encoder, facts)
        return embed_phrases(encoder, phrases_of(facts))

    def remove_picture(self, reference_id: UUID, picture_id: int, *, actor: str | None = None) -> None:
        """The picture stops matching; its id stays in old screenings and is never used again.

        Raises NotFound; Conflict for the last picture, because a reference without one, and without words, can never
        match.
        """
        with self._database.write() as session:
            row = _row(session, reference_id, lock=True)
            present = _present(row)
            picture = next((picture for picture in present if picture.id == picture_id), None)
            if picture is None:
                raise NotFound(f"reference {reference_id} has no picture {picture_id}")
            if len(present) == 1 and not row.words:
                raise Conflict(
                    f"picture {picture_id} is the last one of reference {reference_id}: add another first, "
                    'or retire the reference with {"state": "retired"}'
                )
            picture.removed_at = row.updated_at = now()
            append_change(
                session,
                ChangeKind.PICTURE_REMOVED,
                reference_id=reference_id,
                actor=actor,
                details={"reference_picture_id": picture_id, "sha256": picture.sha256},
            )
        self._on_change()

    def picture_content(self, reference_id: UUID, picture_id: int) -> tuple[bytes, str]:
        """The stored bytes and their format. Raises NotFound."""
        with self._database.read() as session:
            picture = session.scalar(
                select(ReferencePictureRow).where(
                    ReferencePictureRow.id == picture_id,
                    ReferencePictureRow.reference_id == reference_id,
                    ReferencePictureRow.removed_at.is_(None),
                )
            )
        if picture is None:
            raise NotFound(f"reference {reference_id} has no picture {picture_id}")
        return self._files.get(picture.sha256), picture.format


def _present(row: ReferenceRow) -> list[ReferencePictureRow]:
    return [picture for picture in row.pictures if picture.removed_at is None]


def _row(session: Session, reference_id: UUID, *, lock: bool = False) -> ReferenceRow:
    row = session.get(ReferenceRow, reference_id, options=_LOADED, with_for_update=lock or None)
    if row is None:
        raise NotFound(f"there is no reference {reference_id}")
    return row


def _stored(row: ReferenceRow) -> StoredReference:
    return stored_reference(row, now())

"""Facts and picture bytes in, references that match out: checked, embedded, de-duplicated, committed.

The API, the scripts and the sample catalogue all enrol here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from imagescreen.database.feed import ChangeKind, append_change, lock_feed, now
from imagescreen.database.files import PictureFiles
from imagescreen.database.index_versions import current_version
from imagescreen.database.session import Database
from imagescreen.database.tables import ReferenceHashRow, ReferencePictureRow, ReferenceRow, ReferenceVectorRow
from imagescreen.database.vectors import to_blob
from imagescreen.database.words import is_described
from imagescreen.embedding.model_config import Pixels
from imagescreen.errors import (
    Conflict,
    DuplicatePicture,
    ImagescreenError,
    InvalidContent,
    NotFound,
    PictureProblem,
    Unavailable,
)
from imagescreen.pictures import PdqHasher, PictureHash, PictureHeader, PictureReader
from imagescreen.references.facts import ReferenceFacts
from imagescreen.references.follower import Follower
from imagescreen.references.near_duplicates import JustAdded, NearDuplicate
from imagescreen.references.owners import Owner, owners_of
from imagescreen.references.stored import columns_of
from imagescreen.references.words import check_text_side, embed_phrases, phrases_of
from imagescreen.serving.embed import embed_each, prepare_and_hash
from imagescreen.serving.state import Served

MAX_REFERENCES_A_COMMIT = 100
"""Keeps write transactions short, so that screening records never wait long behind a bulk add."""


@dataclass(frozen=True, slots=True)
class NewPicture:
    """Untrusted bytes, and the name to call them by in messages."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class NewReference:
    facts: ReferenceFacts
    pictures: Sequence[NewPicture]


@dataclass(frozen=True, slots=True)
class Enrolled:
    reference_id: UUID
    near_duplicates: Sequence[NearDuplicate]


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """A picture that can be used; `pixels` is what the encoder takes."""

    new: NewPicture
    header: PictureHeader
    pixels: Pixels
    pdq: PictureHash | None


@dataclass(frozen=True, slots=True)
class _Embedded:
    name: str
    data: bytes
    header: PictureHeader
    vector: NDArray[np.float32]
    pdq: PictureHash | None


class Enrolment:
    def __init__(
        self,
        database: Database,
        files: PictureFiles,
        reader: PictureReader,
        follower: Follower,
        *,
        hasher: PdqHasher | None,
        max_pictures: int,
        near_duplicate_similarity: float,
    ) -> None:
        self._hasher = hasher
        self._database = database
        self._files = files
        self._reader = reader
        self._follower = follower
        self._max_pictures = max_pictures
        self._near = near_duplicate_similarity

    def owners(self, sha256s: Sequence[str]) -> Mapping[str, Owner]:
        """Which of these pictures are stored already, and with whom."""
        with self._database.read() as session:
            return owners_of(session, sha256s)

    def owners_ever(self, sha256s: Sequence[str]) -> Mapping[str, Owner]:
        """The same, counting pictures that were removed from their reference; a present one wins."""
        with self._database.read() as session:
            return {**owners_of(session, sha256s, removed=True), **owners_of(session, sha256s)}

    def is_described(self, facts: ReferenceFacts) -> bool:
        """Whether a reference, in any state, has this title and just these words."""
        with self._database.read() as session:
            return is_described(session, facts.title, facts.words, facts.contrast_words)

    def add(self, new: Sequence[NewReference]) -> list[Enrolled | ImagescreenError]:
        """Adds up to `MAX_REFERENCES_A_COMMIT` references in one commit; each gets its result or the reason why not.

        Takes effect in this process before it returns. Raises Unavailable when the model is being switched.
        """
        served = self._follower.serving.current()
        embedded = self._embed_all(served, [self._offered(served, reference) for reference in new])
        phrases = embed_phrases(
            served.batcher.encoder,
            [
                phrase
                for reference, item in zip(new, embedded, strict=True)
                if not isinstance(item, ImagescreenError)
                for phrase in phrases_of(reference.facts)
            ],
        )
        near = self._near_duplicates(served, embedded)
        results: list[Enrolled | ImagescreenError] = []
        earlier = JustAdded(self._near)
        self._store_files([picture for item in embedded if not isinstance(item, ImagescreenError) for picture in item])
        with self._database.write() as session:
            self._check_model(session, served)
            phrases.store(session)
            for position, reference in enumerate(new):
                pictures = embedded[position]
                if isinstance(pictures, ImagescreenError):
                    results.append(pictures)
                    continue
                try:
                    with session.begin_nested():
                        reference_id = self._insert(session, reference.facts, pictures, served)
                except ImagescreenError as error:
                    results.append(error)
                else:
                    warnings = self._name(session, near[position], reference_id) + earlier.near(pictures)
                    earlier.remember(reference_id, reference.facts.title, pictures)
                    results.append(Enrolled(reference_id, warnings))
        self._follower.catch_up()
        return results

    def add_one(self, new: NewReference) -> Enrolled:
        """Raises InvalidContent, DuplicatePicture or Unavailable."""
        (result,) = self.add([new])
        if isinstance(result, ImagescreenError):
            raise result
        return result

    def add_pictures(
        self, reference_id: UUID, pictures: Sequence[NewPicture], *, actor: str | None
    ) -> list[NearDuplicate]:
        """Adds pictures to a reference; those it already has change nothing.

        Raises NotFound, InvalidContent, or DuplicatePicture for those that another reference has.
        """
        served = self._follower.serving.current()
        if not pictures:
            raise InvalidContent("there are no pictures to add: send at least one")
        (embedded,) = self._embed_all(served, [pictures])
        if isinstance(embedded, ImagescreenError):
            raise embedded
        near = self._near_duplicates(served, [embedded])[0]
        self._store_files(embedded)
        with self._database.write() as session:
            self._check_model(session, served)
            reference = session.get(ReferenceRow, reference_id, with_for_update=True)
            if reference is None:
                raise NotFound(f"there is no reference {reference_id}")
            owners = owners_of(session, [picture.header.sha256 for picture in embedded])
            _refuse_foreign(embedded, owners, reference_id)
            fresh = [picture for picture in embedded if picture.header.sha256 not in owners]
            present = session.scalars(
                select(ReferencePictureRow.id).where(
                    ReferencePictureRow.reference_id == reference_id, ReferencePictureRow.removed_at.is_(None)
                )
            ).all()
            if len(present) + len(fresh) > self._max_pictures:
                raise InvalidContent(
                    f"a reference has at most {self._max_pictures} pictures: {len(present)} are there, "
                    f"{len(fresh)} would be added"
                )
            if fresh:
                self._insert_pictures(session, reference_id, fresh, served)
                reference.updated_at = now()
                append_change(
                    session,
                    ChangeKind.PICTURES_ADDED,
                    reference_id=reference_id,
                    actor=actor,
                    details={"sha256": [picture.header.sha256 for picture in fresh]},
                )
            warnings = self._name(session, near, reference_id)
        self._follower.catch_up()
        return warnings

    def _offered(self, served: Served, reference: NewReference) -> Sequence[NewPicture] | InvalidContent:
        """Its pictures, or why it could never match."""
        try:
            check_text_side(served.batcher.encoder, reference.facts)
        except InvalidContent as error:
            return error
        if not reference.pictures and not reference.facts.words:
            return InvalidContent(f"a reference needs 1 to {self._max_pictures} pictures, or `words`")
        return reference.pictures

    def _embed_all(
        self, served: Served, new: Sequence[Sequence[NewPicture] | ImagescreenError]
    ) -> list[list[_Embedded] | ImagescreenError]:
        """Reads everything first, then embeds all good pictures together; each item has its own fate."""
        read: list[list[_Read] | ImagescreenError] = []
        for pictures in new:
            if isinstance(pictures, ImagescreenError):
                read.append(pictures)
                continue
            try:
                read.append(self._read(served, pictures))
            except ImagescreenError as error:
                read.append(error)
        prepared = [one.pixels for item in read if not isinstance(item, ImagescreenError) for one in item]
        vectors = iter(embed_each(served.batcher, prepared))
        return [
            item if isinstance(item, ImagescreenError) else self._with_vectors(item, [next(vectors) for _ in item])
            for item in read
        ]

    def _with_vectors(
        self,
        read: Sequence[_Read],
        vectors: Sequence[NDArray[np.float32] | PictureProblem],
    ) -> list[_Embedded] | ImagescreenError:
        embedded: list[_Embedded] = []
        for one, vector in zip(read, vectors, strict=True):
            if isinstance(vector, PictureProblem):
                told = f"{one.new.name}: {vector.detail}"
                return InvalidContent(told, errors=(told,))
            embedded.append(_Embedded(one.new.name, one.new.data, one.header, vector, one.pdq))
        return embedded

    def _store_files(self, pictures: Sequence[_Embedded]) -> None:
        """Makes the bytes durable before the transaction that names them, so that nobody waits behind a disk.

        Bytes that are then refused belong to another reference, which has stored them, or are orphans that a purge
        removes.
        """
        for picture in pictures:
            self._files.put(picture.header.sha256, picture.data)

    def _read(self, served: Served, pictures: Sequence[NewPicture]) -> list[_Read]:
        """Raises InvalidContent that names every picture that cannot be used."""
        if len(pictures) > self._max_pictures:
            raise InvalidContent(f"a reference has at most {self._max_pictures} pictures, not {len(pictures)}")
        read: dict[str, _Read] = {}
        problems: list[str] = []
        for new in pictures:
            try:
                header = self._reader.header(new.data)
                if header.sha256 not in read:
                    pixels, pdq = prepare_and_hash(self._reader, served.batcher.encoder, self._hasher, new.data, header)
                    read[header.sha256] = _Read(new, header, pixels, pdq)
            except PictureProblem as error:
                problems.append(f"{new.name}: {error.detail}")
        if problems:
            raise InvalidContent("; ".join(problems), errors=tuple(problems))
        return list(read.values())

    def _insert(self, session: Session, facts: ReferenceFacts, pictures: Sequence[_Embedded], served: Served) -> UUID:
        owners = owners_of(session, [picture.header.sha256 for picture in pictures])
        _refuse_foreign(pictures, owners, None)
        moment = now()
        row = ReferenceRow(**columns_of(facts), created_at=moment, updated_at=moment)
        session.add(row)
        session.flush()
        self._insert_pictures(session, row.id, pictures, served)
        append_change(
            session,
            ChangeKind.REFERENCE_ADDED,
            reference_id=row.id,
            actor=facts.submitted_by,
            details={"sha256": [picture.header.sha256 for picture in pictures]},
        )
        return row.id

    def _insert_pictures(
        self, session: Session, reference_id: UUID, pictures: Sequence[_Embedded], served: Served
    ) -> None:
        moment = now()
        rows = [
            ReferencePictureRow(
                reference_id=reference_id,
                sha256=picture.header.sha256,
                size_bytes=picture.header.size_bytes,
                width=picture.header.width,
                height=picture.header.height,
                format=picture.header.format.value,
                created_at=moment,
            )
            for picture in pictures
        ]
        session.add_all(rows)
        try:
            session.flush()
        except IntegrityError:
            raise Conflict("another caller added one of these pictures at the same moment: try again") from None
        session.add_all(
            ReferenceVectorRow(
                reference_picture_id=row.id,
                fingerprint=served.snapshot.fingerprint,
                vector=to_blob(picture.vector),
            )
            for row, picture in zip(rows, pictures, strict=True)
        )
        session.add_all(
            ReferenceHashRow(
                reference_id=reference_id,
                reference_picture_id=row.id,
                pdq=picture.pdq.upright,
                quality=picture.pdq.quality,
                created_at=moment,
            )
            for row, picture in zip(rows, pictures, strict=True)
            if picture.pdq is not None
        )
        session.flush()

    def _check_model(self, session: Session, served: Served) -> None:
        """A vector of a model that is no longer the current one would never match: refuse it, do not lose it."""
        lock_feed(session)
        row = current_version(session)
        if row is not None and row.fingerprint != served.snapshot.fingerprint:
            problem = self._follower.serving.problem
            if problem is not None:
                raise Unavailable(f"nothing can be added: {problem}")
            raise Unavailable(
                f"the current index was made with model {row.model!r} ({row.fingerprint}), this process still has "
                f"{served.batcher.encoder.name!r} ({served.snapshot.fingerprint}): try again in a moment"
            )

    def _near_duplicates(
        self, served: Served, embedded: Sequence[Sequence[_Embedded] | ImagescreenError]
    ) -> list[list[tuple[str, UUID, float]]]:
        """For each item (picture name, reference, similarity) of what is matched against now."""
        flat = [picture for item in embedded if not isinstance(item, ImagescreenError) for picture in item]
        if not flat or served.snapshot.picture_count == 0:
            return [[] for _ in embedded]
        queries = np.stack([picture.vector for picture in flat])
        found = iter(served.snapshot.search(queries, count=1, at_least=self._near))
        return [
            []
            if isinstance(item, ImagescreenError)
            else [
                (picture.name, neighbour.reference_id, neighbour.similarity)
                for picture in item
                for neighbour in next(found)
                if neighbour.similarity >= self._near
            ]
            for item in embedded
        ]

    def _name(self, session: Session, near: Sequence[tuple[str, UUID, float]], own: UUID) -> list[NearDuplicate]:
        ids = {reference_id for _, reference_id, _ in near if reference_id != own}
        titles = {
            row.id: row.title
            for row in session.execute(select(ReferenceRow.id, ReferenceRow.title).where(ReferenceRow.id.in_(ids)))
        }
        return [
            NearDuplicate(name, reference_id, titles[reference_id], round(similarity, 4))
            for name, reference_id, similarity in near
            if reference_id in titles
        ]


def _refuse_foreign(pictures: Sequence[_Embedded], owners: Mapping[str, Owner], own: UUID | None) -> None:
    for picture in pictures:
        owner = owners.get(picture.header.sha256)
        if owner is not None and owner.reference_id != own:
            raise DuplicatePicture(
                f"{picture.name} has the same bytes as a picture of reference {owner.reference_id} ({owner.title!r})",
                reference_id=str(owner.reference_id),
            )

"""The tables. The database is the truth; everything under `index_dir` is derived from it."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from advanced_alchemy.types import GUID, BigIntIdentity, DateTimeUTC
from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, MetaData, String, Text, UniqueConstraint, text, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from uuid_utils.compat import uuid7

Json = dict[str, Any]
JsonColumn = JSON().with_variant(JSONB(), "postgresql")


class Base(DeclarativeBase):
    # Named constraints, so that later migrations can alter them on every database.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        UUID: GUID(),
        datetime: DateTimeUTC(),
        bytes: LargeBinary(),
        list[str]: JsonColumn,
        list[Json]: JsonColumn,
        Json: JsonColumn,
    }


class ReferenceRow(Base):
    """One known item; the columns are the fields of `references.facts.ReferenceFacts`."""

    __tablename__ = "reference"
    # Few references are described in words, and every process asks for them when it starts.
    __table_args__ = (
        Index(
            "ix_reference_described",
            "id",
            sqlite_where=text("words <> '[]'"),
            postgresql_where=text("words <> '[]'"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    kind: Mapped[str] = mapped_column(String(32))
    title: Mapped[str] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    category: Mapped[str | None] = mapped_column(String(64), index=True)
    brand: Mapped[str | None] = mapped_column(Text)
    right_holder: Mapped[str | None] = mapped_column(Text)
    rights: Mapped[list[Json]] = mapped_column(default=list)
    agencies: Mapped[list[str]] = mapped_column(default=list)
    authority: Mapped[str | None] = mapped_column(Text)
    hts_prefixes: Mapped[list[str]] = mapped_column(default=list)
    severity: Mapped[str] = mapped_column(String(16))
    suggested_action: Mapped[str] = mapped_column(String(16))
    source: Mapped[str | None] = mapped_column(Text)
    source_reference: Mapped[str | None] = mapped_column(Text)
    valid_from: Mapped[datetime | None] = mapped_column(index=True)
    valid_until: Mapped[datetime | None] = mapped_column(index=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    suspended_until: Mapped[datetime | None] = mapped_column(index=True)
    notes: Mapped[str | None] = mapped_column(Text)
    look_alikes: Mapped[list[str]] = mapped_column(default=list)
    words: Mapped[list[str]] = mapped_column(default=list, server_default=text("'[]'"))
    contrast_words: Mapped[list[str]] = mapped_column(default=list, server_default=text("'[]'"))
    submitted_by: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    pictures: Mapped[list["ReferencePictureRow"]] = relationship(
        order_by="ReferencePictureRow.id", back_populates="reference", lazy="raise"
    )
    hashes: Mapped[list["ReferenceHashRow"]] = relationship(
        order_by="ReferenceHashRow.id", back_populates="reference", lazy="raise"
    )
    quarantine: Mapped["QuarantineRow | None"] = relationship(lazy="raise", viewonly=True)


class ReferencePictureRow(Base):
    """A picture of a reference. Removed ones stay as rows: their ids are in old screenings and never used again."""

    __tablename__ = "reference_picture"
    __table_args__ = (
        Index(
            "uq_reference_picture_sha256_present",
            "sha256",
            unique=True,
            sqlite_where=text("removed_at IS NULL"),
            postgresql_where=text("removed_at IS NULL"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigIntIdentity, primary_key=True)
    reference_id: Mapped[UUID] = mapped_column(ForeignKey("reference.id"), index=True)
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int]
    width: Mapped[int]
    height: Mapped[int]
    format: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]

    reference: Mapped[ReferenceRow] = relationship(back_populates="pictures", lazy="raise")


class ReferenceVectorRow(Base):
    """The vector of a reference picture in one embedding space: little-endian float32, unit length."""

    __tablename__ = "reference_vector"

    reference_picture_id: Mapped[int] = mapped_column(
        BigIntIdentity, ForeignKey("reference_picture.id"), primary_key=True, autoincrement=False
    )
    fingerprint: Mapped[str] = mapped_column(String(64), primary_key=True)
    vector: Mapped[bytes]


class PhraseVectorRow(Base):
    """The vector of a phrase in one embedding space: little-endian float32, unit length. Derived: any process with the
    model can make it again.
    """

    __tablename__ = "phrase_vector"

    phrase: Mapped[str] = mapped_column(Text, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64), primary_key=True)
    vector: Mapped[bytes]


class ReferenceHashRow(Base):
    """The PDQ hash of a reference picture, or hashes that a partner sent without any picture.

    `pdq` has 32 bytes; `quality` is from 0 to 100, and null where a partner did not tell it. `sha256` is there only
    without a picture, which has its own.
    """

    __tablename__ = "reference_hash"
    __table_args__ = (UniqueConstraint("reference_picture_id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigIntIdentity, primary_key=True)
    reference_id: Mapped[UUID] = mapped_column(ForeignKey("reference.id"), index=True)
    reference_picture_id: Mapped[int | None] = mapped_column(BigIntIdentity, ForeignKey("reference_picture.id"))
    sha256: Mapped[str | None] = mapped_column(String(64), index=True)
    pdq: Mapped[bytes | None]
    quality: Mapped[int | None]
    created_at: Mapped[datetime]

    reference: Mapped[ReferenceRow] = relationship(back_populates="hashes", lazy="raise")


class QuarantineRow(Base):
    """That a reference is noisy: it leads to review at most. `trusted_at`: when a person lifted it.

    `counts` is what was found when it was last looked at.
    """

    __tablename__ = "quarantine"

    reference_id: Mapped[UUID] = mapped_column(ForeignKey("reference.id"), primary_key=True)
    why: Mapped[str] = mapped_column(Text)
    counts: Mapped[Json]
    quarantined_at: Mapped[datetime]
    trusted_at: Mapped[datetime | None]
    trusted_by: Mapped[str | None] = mapped_column(Text)


class ChangeRow(Base):
    """The ordered feed of what every server process must take notice of; it is also the catalogue's audit log."""

    __tablename__ = "change"
    __table_args__ = ({"sqlite_autoincrement": True},)

    sequence: Mapped[int] = mapped_column(BigIntIdentity, primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    reference_id: Mapped[UUID | None] = mapped_column(index=True)
    actor: Mapped[str | None] = mapped_column(Text)
    details: Mapped[Json] = mapped_column(default=dict)
    at: Mapped[datetime]


class IndexVersionRow(Base):
    """A version that was built; its folder may be gone since."""

    __tablename__ = "index_version"

    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(String(128))
    fingerprint: Mapped[str] = mapped_column(String(64))
    sequence: Mapped[int] = mapped_column(BigIntIdentity)
    manifest: Mapped[Json]
    built_at: Mapped[datetime]


class IndexActivationRow(Base):
    """Which version is current: the newest row."""

    __tablename__ = "index_activation"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(BigIntIdentity, primary_key=True)
    version: Mapped[str] = mapped_column(ForeignKey("index_version.version"))
    sequence: Mapped[int] = mapped_column(BigIntIdentity)
    actor: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime]


class ServerProcessRow(Base):
    """What a running server process serves, as it told at `seen_at`; see `database.processes`."""

    __tablename__ = "server_process"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    host: Mapped[str] = mapped_column(Text)
    pid: Mapped[int]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    version: Mapped[str | None] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(128))
    fingerprint: Mapped[str] = mapped_column(String(64))
    sequence: Mapped[int] = mapped_column(BigIntIdentity)
    references: Mapped[int]
    pictures: Mapped[int]
    changes_since_version: Mapped[int]
    feed_behind_s: Mapped[float]
    loading: Mapped[str | None] = mapped_column(String(64))
    problem: Mapped[str | None] = mapped_column(Text)


class CalibrationPackageRow(Base):
    """A package of ordinary goods, kept so that every build can measure its thresholds again; `content` is a hash of
    its pictures' hashes. `screening_id` names the screening that it was taken from, which may be purged since.

    Builds measure with those that count. Others are being added by a calibration, or are left over from one that was
    killed or replaced.
    """

    __tablename__ = "calibration_package"
    __table_args__ = (UniqueConstraint("content"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigIntIdentity, primary_key=True)
    content: Mapped[str] = mapped_column(String(64))
    source: Mapped[str | None] = mapped_column(Text)
    screening_id: Mapped[UUID | None]
    created_at: Mapped[datetime]
    counts: Mapped[bool] = mapped_column(server_default=true())


class CalibrationPictureRow(Base):
    """A picture of such packages; `stored` tells whether its bytes are kept, so that another model can embed it."""

    __tablename__ = "calibration_picture"
    __table_args__ = (UniqueConstraint("sha256"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigIntIdentity, primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int]
    source: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    stored: Mapped[bool] = mapped_column(server_default=true())


class CalibrationPackagePictureRow(Base):
    """Which pictures a package has."""

    __tablename__ = "calibration_package_picture"

    package_id: Mapped[int] = mapped_column(
        BigIntIdentity, ForeignKey("calibration_package.id"), primary_key=True, autoincrement=False
    )
    picture_id: Mapped[int] = mapped_column(
        BigIntIdentity, ForeignKey("calibration_picture.id"), primary_key=True, autoincrement=False, index=True
    )


class CalibrationVectorRow(Base):
    """The vector of a calibration picture in one embedding space: little-endian float32, unit length."""

    __tablename__ = "calibration_vector"

    calibration_picture_id: Mapped[int] = mapped_column(
        BigIntIdentity, ForeignKey("calibration_picture.id"), primary_key=True, autoincrement=False
    )
    fingerprint: Mapped[str] = mapped_column(String(64), primary_key=True)
    vector: Mapped[bytes]


class BackgroundPictureRow(Base):
    """A picture of ordinary goods that scores are normalised with; disjoint from references and calibration."""

    __tablename__ = "background_picture"
    __table_args__ = (UniqueConstraint("sha256"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigIntIdentity, primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int]
    name: Mapped[str] = mapped_column(Text)
    source: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]


class BackgroundVectorRow(Base):
    """The vector of a background picture in one embedding space: little-endian float32, unit length."""

    __tablename__ = "background_vector"

    background_picture_id: Mapped[int] = mapped_column(
        BigIntIdentity, ForeignKey("background_picture.id"), primary_key=True, autoincrement=False
    )
    fingerprint: Mapped[str] = mapped_column(String(64), primary_key=True)
    vector: Mapped[bytes]


class ScreeningRow(Base):
    """The record of one screened package: the facts as sent, and the answer as given."""

    __tablename__ = "screening"
    __table_args__ = (
        UniqueConstraint("participant", "package_id", "revision"),
        Index("ix_screening_disposition_id", "disposition", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    participant: Mapped[str] = mapped_column(Text)
    package_id: Mapped[str] = mapped_column(Text, index=True)
    revision: Mapped[int]
    content_hash: Mapped[str] = mapped_column(String(64))
    disposition: Mapped[str] = mapped_column(String(32))
    incomplete: Mapped[bool]
    package: Mapped[str] = mapped_column(Text)
    answer: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[str] = mapped_column(String(64))
    index_version: Mapped[str] = mapped_column(String(64))
    sequence: Mapped[int] = mapped_column(BigIntIdentity)
    policy_version: Mapped[str] = mapped_column(ForeignKey("policy.version"))
    screened_at: Mapped[datetime] = mapped_column(index=True)


class ScreeningPictureRow(Base):
    """One picture of a screened package; `stored` tells whether its bytes were kept.

    `pdq`: the quality of its hash in a byte, and the hash in eight rotations and mirrorings.
    """

    __tablename__ = "screening_picture"

    screening_id: Mapped[UUID] = mapped_column(ForeignKey("screening.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    status: Mapped[str] = mapped_column(String(32))
    sha256: Mapped[str | None] = mapped_column(String(64), index=True)
    size_bytes: Mapped[int | None]
    width: Mapped[int | None]
    height: Mapped[int | None]
    vector: Mapped[bytes | None]
    pdq: Mapped[bytes | None]
    stored: Mapped[bool]


class ReviewRow(Base):
    """A person's decision on a screening; the latest counts."""

    __tablename__ = "review"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    screening_id: Mapped[UUID] = mapped_column(ForeignKey("screening.id", ondelete="CASCADE"), index=True)
    decision: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)
    reviewer: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]


class PolicyRow(Base):
    """Every policy that was ever active, so that an old screening can be derived again."""

    __tablename__ = "policy"

    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    document: Mapped[str] = mapped_column(Text)
    first_used_at: Mapped[datetime]

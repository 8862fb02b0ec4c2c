"""The first tables."""

import sqlalchemy as sa
from advanced_alchemy.types import GUID, BigIntIdentity, DateTimeUTC
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

JsonColumn = sa.JSON().with_variant(JSONB(), "postgresql")

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calibration_picture",
        sa.Column("id", BigIntIdentity, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("created_at", DateTimeUTC(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calibration_picture")),
        sa.UniqueConstraint("sha256", name=op.f("uq_calibration_picture_sha256")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "change",
        sa.Column("sequence", BigIntIdentity, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("reference_id", GUID(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("details", JsonColumn, nullable=False),
        sa.Column("at", DateTimeUTC(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_change")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("change", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_change_reference_id"), ["reference_id"], unique=False)

    op.create_table(
        "index_version",
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("sequence", BigIntIdentity, nullable=False),
        sa.Column("manifest", JsonColumn, nullable=False),
        sa.Column("built_at", DateTimeUTC(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_index_version")),
    )
    op.create_table(
        "policy",
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("first_used_at", DateTimeUTC(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_policy")),
    )
    op.create_table(
        "reference",
        sa.Column("id", GUID(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("category", sa.String(length=64), nullable=True),
        sa.Column("brand", sa.Text(), nullable=True),
        sa.Column("right_holder", sa.Text(), nullable=True),
        sa.Column("rights", JsonColumn, nullable=False),
        sa.Column("agencies", JsonColumn, nullable=False),
        sa.Column("authority", sa.Text(), nullable=True),
        sa.Column("hts_prefixes", JsonColumn, nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("suggested_action", sa.String(length=16), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("source_reference", sa.Text(), nullable=True),
        sa.Column("valid_from", DateTimeUTC(), nullable=True),
        sa.Column("valid_until", DateTimeUTC(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("suspended_until", DateTimeUTC(), nullable=True),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("look_alikes", JsonColumn, nullable=False),
        sa.Column("submitted_by", sa.Text(), nullable=True),
        sa.Column("created_at", DateTimeUTC(), nullable=False),
        sa.Column("updated_at", DateTimeUTC(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reference")),
    )
    with op.batch_alter_table("reference", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_reference_category"), ["category"], unique=False)
        batch_op.create_index(batch_op.f("ix_reference_state"), ["state"], unique=False)
        batch_op.create_index(batch_op.f("ix_reference_suspended_until"), ["suspended_until"], unique=False)
        batch_op.create_index(batch_op.f("ix_reference_valid_from"), ["valid_from"], unique=False)
        batch_op.create_index(batch_op.f("ix_reference_valid_until"), ["valid_until"], unique=False)

    op.create_table(
        "calibration_vector",
        sa.Column("calibration_picture_id", BigIntIdentity, autoincrement=False, nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["calibration_picture_id"],
            ["calibration_picture.id"],
            name=op.f("fk_calibration_vector_calibration_picture_id_calibration_picture"),
        ),
        sa.PrimaryKeyConstraint("calibration_picture_id", "fingerprint", name=op.f("pk_calibration_vector")),
    )
    op.create_table(
        "index_activation",
        sa.Column("id", BigIntIdentity, nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("sequence", BigIntIdentity, nullable=False),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("at", DateTimeUTC(), nullable=False),
        sa.ForeignKeyConstraint(
            ["version"], ["index_version.version"], name=op.f("fk_index_activation_version_index_version")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_index_activation")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "reference_picture",
        sa.Column("id", BigIntIdentity, nullable=False),
        sa.Column("reference_id", GUID(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("created_at", DateTimeUTC(), nullable=False),
        sa.Column("removed_at", DateTimeUTC(), nullable=True),
        sa.ForeignKeyConstraint(
            ["reference_id"], ["reference.id"], name=op.f("fk_reference_picture_reference_id_reference")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reference_picture")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("reference_picture", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_reference_picture_reference_id"), ["reference_id"], unique=False)
        batch_op.create_index(
            "uq_reference_picture_sha256_present",
            ["sha256"],
            unique=True,
            sqlite_where=sa.text("removed_at IS NULL"),
            postgresql_where=sa.text("removed_at IS NULL"),
        )

    op.create_table(
        "screening",
        sa.Column("id", GUID(), nullable=False),
        sa.Column("participant", sa.Text(), nullable=False),
        sa.Column("package_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("disposition", sa.String(length=32), nullable=False),
        sa.Column("incomplete", sa.Boolean(), nullable=False),
        sa.Column("package", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("index_version", sa.String(length=64), nullable=False),
        sa.Column("sequence", BigIntIdentity, nullable=False),
        sa.Column("policy_version", sa.String(length=64), nullable=False),
        sa.Column("screened_at", DateTimeUTC(), nullable=False),
        sa.ForeignKeyConstraint(
            ["policy_version"], ["policy.version"], name=op.f("fk_screening_policy_version_policy")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_screening")),
        sa.UniqueConstraint(
            "participant", "package_id", "revision", name=op.f("uq_screening_participant_package_id_revision")
        ),
    )
    with op.batch_alter_table("screening", schema=None) as batch_op:
        batch_op.create_index("ix_screening_disposition_id", ["disposition", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_screening_package_id"), ["package_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_screening_screened_at"), ["screened_at"], unique=False)

    op.create_table(
        "reference_vector",
        sa.Column("reference_picture_id", BigIntIdentity, autoincrement=False, nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["reference_picture_id"],
            ["reference_picture.id"],
            name=op.f("fk_reference_vector_reference_picture_id_reference_picture"),
        ),
        sa.PrimaryKeyConstraint("reference_picture_id", "fingerprint", name=op.f("pk_reference_vector")),
    )
    op.create_table(
        "review",
        sa.Column("id", GUID(), nullable=False),
        sa.Column("screening_id", GUID(), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("reviewer", sa.Text(), nullable=True),
        sa.Column("created_at", DateTimeUTC(), nullable=False),
        sa.ForeignKeyConstraint(
            ["screening_id"], ["screening.id"], name=op.f("fk_review_screening_id_screening"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
    )
    with op.batch_alter_table("review", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_review_screening_id"), ["screening_id"], unique=False)

    op.create_table(
        "screening_picture",
        sa.Column("screening_id", GUID(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("size_bytes", sa.Integer(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("vector", sa.LargeBinary(), nullable=True),
        sa.Column("stored", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["screening_id"],
            ["screening.id"],
            name=op.f("fk_screening_picture_screening_id_screening"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("screening_id", "position", name=op.f("pk_screening_picture")),
    )
    with op.batch_alter_table("screening_picture", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_screening_picture_sha256"), ["sha256"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("screening_picture", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_screening_picture_sha256"))

    op.drop_table("screening_picture")
    with op.batch_alter_table("review", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_review_screening_id"))

    op.drop_table("review")
    op.drop_table("reference_vector")
    with op.batch_alter_table("screening", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_screening_screened_at"))
        batch_op.drop_index(batch_op.f("ix_screening_package_id"))
        batch_op.drop_index("ix_screening_disposition_id")

    op.drop_table("screening")
    with op.batch_alter_table("reference_picture", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_reference_picture_sha256_present",
            sqlite_where=sa.text("removed_at IS NULL"),
            postgresql_where=sa.text("removed_at IS NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_reference_picture_reference_id"))

    op.drop_table("reference_picture")
    op.drop_table("index_activation")
    op.drop_table("calibration_vector")
    with op.batch_alter_table("reference", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_reference_valid_until"))
        batch_op.drop_index(batch_op.f("ix_reference_valid_from"))
        batch_op.drop_index(batch_op.f("ix_reference_suspended_until"))
        batch_op.drop_index(batch_op.f("ix_reference_state"))
        batch_op.drop_index(batch_op.f("ix_reference_category"))

    op.drop_table("reference")
    op.drop_table("policy")
    op.drop_table("index_version")
    with op.batch_alter_table("change", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_change_reference_id"))

    op.drop_table("change")
    op.drop_table("calibration_picture")

"""Hashes of reference pictures and of partners, and the quarantine of noisy references."""

import sqlalchemy as sa
from advanced_alchemy.types import GUID, BigIntIdentity, DateTimeUTC
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reference_hash",
        sa.Column("id", BigIntIdentity, nullable=False),
        sa.Column("reference_id", GUID(), nullable=False),
        sa.Column("reference_picture_id", BigIntIdentity, nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("pdq", sa.LargeBinary(), nullable=True),
        sa.Column("quality", sa.Integer(), nullable=True),
        sa.Column("created_at", DateTimeUTC(), nullable=False),
        sa.ForeignKeyConstraint(
            ["reference_id"], ["reference.id"], name=op.f("fk_reference_hash_reference_id_reference")
        ),
        sa.ForeignKeyConstraint(
            ["reference_picture_id"],
            ["reference_picture.id"],
            name=op.f("fk_reference_hash_reference_picture_id_reference_picture"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reference_hash")),
        sa.UniqueConstraint("reference_picture_id", name=op.f("uq_reference_hash_reference_picture_id")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("reference_hash", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_reference_hash_reference_id"), ["reference_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_reference_hash_sha256"), ["sha256"], unique=False)

    op.create_table(
        "quarantine",
        sa.Column("reference_id", GUID(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("counts", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("quarantined_at", DateTimeUTC(), nullable=False),
        sa.Column("trusted_at", DateTimeUTC(), nullable=True),
        sa.Column("trusted_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["reference_id"], ["reference.id"], name=op.f("fk_quarantine_reference_id_reference")),
        sa.PrimaryKeyConstraint("reference_id", name=op.f("pk_quarantine")),
    )

    with op.batch_alter_table("screening_picture", schema=None) as batch_op:
        batch_op.add_column(sa.Column("pdq", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("screening_picture", schema=None) as batch_op:
        batch_op.drop_column("pdq")
    op.drop_table("quarantine")
    op.drop_table("reference_hash")

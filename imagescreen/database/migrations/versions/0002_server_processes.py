"""What each server process serves."""

import sqlalchemy as sa
from advanced_alchemy.types import GUID, BigIntIdentity, DateTimeUTC
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "server_process",
        sa.Column("id", GUID(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", DateTimeUTC(), nullable=False),
        sa.Column("seen_at", DateTimeUTC(), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=True),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("sequence", BigIntIdentity, nullable=False),
        sa.Column("references", sa.Integer(), nullable=False),
        sa.Column("pictures", sa.Integer(), nullable=False),
        sa.Column("changes_since_version", sa.Integer(), nullable=False),
        sa.Column("feed_behind_s", sa.Float(), nullable=False),
        sa.Column("loading", sa.String(length=64), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_server_process")),
    )


def downgrade() -> None:
    op.drop_table("server_process")

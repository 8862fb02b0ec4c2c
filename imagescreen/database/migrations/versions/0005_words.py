"""References described in words."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("reference", schema=None) as batch_op:
        for name in ("words", "contrast_words"):
            batch_op.add_column(
                sa.Column(
                    name,
                    sa.JSON().with_variant(JSONB(), "postgresql"),
                    server_default=sa.text("'[]'"),
                    nullable=False,
                )
            )
        batch_op.create_index(
            "ix_reference_described",
            ["id"],
            unique=False,
            sqlite_where=sa.text("words <> '[]'"),
            postgresql_where=sa.text("words <> '[]'"),
        )
    op.create_table(
        "phrase_vector",
        sa.Column("phrase", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("phrase", "fingerprint", name=op.f("pk_phrase_vector")),
    )


def downgrade() -> None:
    op.drop_table("phrase_vector")
    with op.batch_alter_table("reference", schema=None) as batch_op:
        batch_op.drop_index("ix_reference_described")
        batch_op.drop_column("contrast_words")
        batch_op.drop_column("words")

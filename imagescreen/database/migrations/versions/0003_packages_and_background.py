"""Calibration by packages, and the background that scores are normalised with."""

import sqlalchemy as sa
from advanced_alchemy.types import GUID, BigIntIdentity, DateTimeUTC
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calibration_picture", sa.Column("stored", sa.Boolean(), server_default=sa.true(), nullable=False))
    packages = op.create_table(
        "calibration_package",
        sa.Column("id", BigIntIdentity, nullable=False),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("screening_id", GUID(), nullable=True),
        sa.Column("created_at", DateTimeUTC(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calibration_package")),
        sa.UniqueConstraint("content", name=op.f("uq_calibration_package_content")),
        sqlite_autoincrement=True,
    )
    members = op.create_table(
        "calibration_package_picture",
        sa.Column("package_id", BigIntIdentity, autoincrement=False, nullable=False),
        sa.Column("picture_id", BigIntIdentity, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["package_id"],
            ["calibration_package.id"],
            name=op.f("fk_calibration_package_picture_package_id_calibration_package"),
        ),
        sa.ForeignKeyConstraint(
            ["picture_id"],
            ["calibration_picture.id"],
            name=op.f("fk_calibration_package_picture_picture_id_calibration_picture"),
        ),
        sa.PrimaryKeyConstraint("package_id", "picture_id", name=op.f("pk_calibration_package_picture")),
    )
    with op.batch_alter_table("calibration_package_picture", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_calibration_package_picture_picture_id"), ["picture_id"], unique=False)

    op.create_table(
        "background_picture",
        sa.Column("id", BigIntIdentity, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("created_at", DateTimeUTC(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_background_picture")),
        sa.UniqueConstraint("sha256", name=op.f("uq_background_picture_sha256")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "background_vector",
        sa.Column("background_picture_id", BigIntIdentity, autoincrement=False, nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["background_picture_id"],
            ["background_picture.id"],
            name=op.f("fk_background_vector_background_picture_id_background_picture"),
        ),
        sa.PrimaryKeyConstraint("background_picture_id", "fingerprint", name=op.f("pk_background_vector")),
    )
    _make_each_picture_a_package(packages, members)


def downgrade() -> None:
    op.drop_table("background_vector")
    op.drop_table("background_picture")
    op.drop_table("calibration_package_picture")
    op.drop_table("calibration_package")
    op.drop_column("calibration_picture", "stored")


def _make_each_picture_a_package(packages: sa.Table, members: sa.Table) -> None:
    """The content of a package of one picture is that picture's hash."""
    connection = op.get_bind()
    pictures = sa.table(
        "calibration_picture",
        sa.column("id", sa.Integer()),
        sa.column("sha256", sa.String()),
        sa.column("source", sa.Text()),
        sa.column("created_at", DateTimeUTC()),
    )
    connection.execute(
        sa.insert(packages).from_select(
            ["content", "source", "created_at"],
            sa.select(pictures.c.sha256, pictures.c.source, pictures.c.created_at).order_by(pictures.c.id),
        )
    )
    connection.execute(
        sa.insert(members).from_select(
            ["package_id", "picture_id"],
            sa.select(packages.c.id, pictures.c.id).join_from(
                packages, pictures, packages.c.content == pictures.c.sha256
            ),
        )
    )

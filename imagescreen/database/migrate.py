"""Brings a database to the tables of this release."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from imagescreen.database.session import Database
from imagescreen.errors import BrokenInstallation


def migrate(database: Database, *, revision: str = "head") -> None:
    """Runs every missing migration up to `revision` in one transaction; another process that starts meanwhile waits.

    Raises BrokenInstallation when the database comes from a newer release.
    """
    config = _config()
    with database.write_connection() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, revision)
        except CommandError as error:
            raise BrokenInstallation(
                f"the database was made by another release of imagescreen (this one knows up to {head()}): {error}"
            ) from error


def head() -> str:
    """The newest migration of this release."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config

"""Brings a database to the tables of this release."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from imagescreen.database.session import Database
from imagescreen.errors import BrokenInstallation


def migrate(database: Database) -> None:
    """Runs every missing migration in one transaction; another process that starts meanwhile waits for it.

    Raises BrokenInstallation when the database comes from a newer release.
    """
    config = _config()
    with database.write_connection() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
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

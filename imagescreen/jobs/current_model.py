"""Whether the model of the current index version is there: an upgrade may have replaced the built-in one.

Light: the process that watches workers asks it, and loads nothing else of the service.
"""

from sqlalchemy import select

from imagescreen.database.index_versions import current_version
from imagescreen.database.session import Database
from imagescreen.database.tables import IndexVersionRow
from imagescreen.embedding.manifest import installed_models, require_maker
from imagescreen.errors import BrokenInstallation
from imagescreen.references.fallback import older_versions
from imagescreen.settings import Settings


def require_current_maker(current: IndexVersionRow, settings: Settings) -> None:
    """Raises what `require_maker` does when the model of the current version is not the one installed."""
    require_maker(
        f"the current index version {current.version}",
        current.model,
        current.fingerprint,
        settings.weights_dir,
        preferred=settings.model,
    )


def has_current_maker(current: IndexVersionRow, settings: Settings) -> bool:
    """Whether it is installed."""
    return installed_models(settings.weights_dir).get(current.model) == current.fingerprint


def require_servable(database: Database, settings: Settings) -> None:
    """Raises, naming the command that helps, when a server could answer nothing for want of the right model: that of
    the current version is not installed, and there is no older version that would be served in its place.
    """
    with database.read() as session:
        current = current_version(session)
        if current is None:
            return
        try:
            require_current_maker(current, settings)
        except BrokenInstallation:
            older = older_versions(session, current.version, settings.index_dir / "versions")
            made_by = select(IndexVersionRow.fingerprint).where(IndexVersionRow.version.in_(older))
            if not set(session.scalars(made_by)) & set(installed_models(settings.weights_dir).values()):
                raise

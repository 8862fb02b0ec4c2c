"""Which versions a process may serve when the current one is refused at its start."""

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from imagescreen.database.matchable import count_without_vector
from imagescreen.database.tables import IndexVersionRow


def older_versions(session: Session, refused: str, versions_dir: Path) -> list[str]:
    """The recorded versions but `refused` whose folders are there, newest first.

    One of another model counts only when every picture has a vector of that model: references that were added since
    would be missing from it otherwise, and nobody would see.
    """
    recorded = session.execute(
        select(IndexVersionRow.version, IndexVersionRow.fingerprint).order_by(IndexVersionRow.built_at.desc())
    ).all()
    complete = {fingerprint: True for version, fingerprint in recorded if version == refused}
    found = []
    for version, fingerprint in recorded:
        if version == refused or not (versions_dir / version).is_dir():
            continue
        if fingerprint not in complete:
            complete[fingerprint] = count_without_vector(session, fingerprint=fingerprint) == 0
        if complete[fingerprint]:
            found.append(version)
    return found

"""Which versions a process may serve when the current one is refused at its start."""

from pathlib import Path

from sqlalchemy.orm import Session

from imagescreen.database.index_versions import versions
from imagescreen.database.matchable import count_without_vector

_MOST = 500


def older_versions(session: Session, refused: str, versions_dir: Path) -> list[str]:
    """The recorded versions but `refused` whose folders are there, newest first.

    One of another model counts only when every picture has a vector of that model: references that were added since
    would be missing from it otherwise, and nobody would see.
    """
    recorded = versions(session, limit=_MOST)
    complete = {each.fingerprint: True for each in recorded if each.version == refused}
    found = []
    for each in recorded:
        if each.version == refused or not (versions_dir / each.version).is_dir():
            continue
        if each.fingerprint not in complete:
            complete[each.fingerprint] = count_without_vector(session, fingerprint=each.fingerprint) == 0
        if complete[each.fingerprint]:
            found.append(each.version)
    return found

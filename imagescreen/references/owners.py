"""Which reference has a picture already."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from imagescreen.database.tables import ReferencePictureRow, ReferenceRow


@dataclass(frozen=True, slots=True)
class Owner:
    """The reference that has a picture already."""

    reference_id: UUID
    title: str


def owners_of(session: Session, sha256s: Sequence[str], *, removed: bool = False) -> dict[str, Owner]:
    """The owners of those of these pictures that are present with a reference, or with `removed` were once."""
    owners: dict[str, Owner] = {}
    for start in range(0, len(sha256s), 500):
        rows = session.execute(
            select(ReferencePictureRow.sha256, ReferenceRow.id, ReferenceRow.title)
            .join(ReferenceRow, ReferenceRow.id == ReferencePictureRow.reference_id)
            .where(
                ReferencePictureRow.sha256.in_(sha256s[start : start + 500]),
                ReferencePictureRow.removed_at.is_not(None) if removed else ReferencePictureRow.removed_at.is_(None),
            )
        )
        owners.update({sha256: Owner(reference_id, title) for sha256, reference_id, title in rows})
    return owners

"""What the change feed tells the index."""

from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class PictureChange:
    """The state of one reference picture from now on: (d,) float32 of unit length, or None when it must not match."""

    picture_id: int
    reference_id: UUID
    vector: NDArray[np.float32] | None

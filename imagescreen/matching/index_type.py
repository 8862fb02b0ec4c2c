"""The structures that an index can have."""

from enum import StrEnum


class IndexType(StrEnum):
    """`exact` looks at every vector, `sq8` at every vector's 8-bit code, `ivf_sq8` at the codes in some lists.

    Whatever they find is compared with the stored vectors in the end.
    """

    EXACT = "exact"
    SQ8 = "sq8"
    IVF_SQ8 = "ivf_sq8"

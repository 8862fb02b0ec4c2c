"""Which of many centroids is nearest: what training and filling the lists of an index spend their time on."""

import faiss

_MULTIPLY_UP_TO = 4096
"""Centroids. Beyond, multiplying with all of them would take most of a build's time. FAISS's 4-bit codes found the 32
most similar of 16,384 centroids of 512 dimensions 7 times faster; the best of those is the nearest for 99 % of vectors.
"""

_SHORTLIST = 32
_VALUES_A_CODE = 4


def centroid_search(dimension: int, centroids: int) -> faiss.Index:
    """An empty index to put `centroids` into, of which a search for 1 finds the one with the largest inner product.

    Trained with the first centroids; `dimension` is a multiple of 4.
    """
    if centroids <= _MULTIPLY_UP_TO:
        return faiss.IndexFlatIP(dimension)
    codes = faiss.IndexPQFastScan(dimension, dimension // _VALUES_A_CODE, 4, faiss.METRIC_INNER_PRODUCT)
    refined = faiss.IndexRefineFlat(codes)
    refined.k_factor = _SHORTLIST
    # The outer index frees the inner one: Python must not do so as well.
    codes.this.disown()  # type: ignore[attr-defined]
    refined.own_fields = True
    return refined

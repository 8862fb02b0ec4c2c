"""How many threads a search uses, and from when on it multiplies matrices."""

import os

import faiss

from imagescreen.errors import InvalidContent

# In multiplications of one query row and one stored row: queries times dimension. Matrices pay from four queries of 512
# dimensions on: 0.7 ms of processor time a query in place of 1.4 at 10,000 rows, 7.6 in place of 12 at 100,000; fewer
# queries stay on the plain path, which is faster for them.
BLAS_THRESHOLD = 2048

# Stored rows and query rows of one multiplication. All threads wait for each other after each of them, and there are a
# hundred in a search of 100,000 rows with FAISS's own 1024 rows; the products of 64 queries take 16 MB.
BLAS_ROWS = 65_536
BLAS_QUERIES = 64

ONE_THREAD_UP_TO = 100_000_000
"""Multiplications of a search that one core does in 5 ms: more threads are not faster then, and much slower where the
cores have other work, because they wait for each other."""


class SearchThreads:
    """The count for the whole process.

    OpenMP keeps its thread count for each calling thread: told once at the start, it would hold for the main thread
    only, and searches on worker threads would go on taking every core.
    """

    def __init__(self) -> None:
        self._count = faiss.omp_get_max_threads()

    def set(self, count: int) -> None:
        self._count = count

    def apply(self, multiplications: int | None = None) -> None:
        """Pass the count on to the calling thread, or 1 for a small search. Before the first `set` it is FAISS's own.

        `multiplications`: queries times stored vectors times dimension; None for what is always large.
        """
        small = multiplications is not None and multiplications <= ONE_THREAD_UP_TO
        faiss.omp_set_num_threads(1 if small else self._count)


SEARCH_THREADS = SearchThreads()


def set_search_threads(threads: int) -> None:
    """Let every search of this process use `threads` threads; 0 is one for each core that the process may use.

    Raises InvalidContent for a negative number.
    """
    if threads < 0:
        raise InvalidContent(f"the number of search threads must be 0 or more, not {threads}")
    SEARCH_THREADS.set(threads or len(os.sched_getaffinity(0)))
    faiss.cvar.distance_compute_blas_threshold = BLAS_THRESHOLD
    faiss.cvar.distance_compute_blas_database_bs = BLAS_ROWS
    faiss.cvar.distance_compute_blas_query_bs = BLAS_QUERIES

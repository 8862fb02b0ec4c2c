"""What a process that serves asks of its surroundings: how threads wait, what freed memory is for, when garbage is
looked for. Each was measured (docs/performance.md); none changes an answer.
"""

import ctypes
import gc
import os
import sys
from types import MappingProxyType

OPENMP_WAITING = MappingProxyType({"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"})
"""How the encoder's threads wait for each other, for the environment: OpenMP reads it once, when it is loaded.

Without it they spin for milliseconds, beside decoding threads for nothing; asleep at once, they make a lone picture,
whose steps are short, wait half as long again. So they spin for some tens of microseconds, then sleep.
"""

# Names and numbers of mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 64 << 20
_MAPPED_FROM_BYTES = 32 << 20


def let_threads_wait_briefly() -> None:
    """Sets `OPENMP_WAITING`, unless the environment says already how threads wait. Before torch or FAISS is loaded."""
    if not OPENMP_WAITING.keys() & os.environ.keys():
        os.environ.update(OPENMP_WAITING)


def keep_freed_memory() -> None:
    """Memory of a few megabytes that was freed is used again, where the C library is glibc.

    Otherwise it goes back to the kernel after each picture and comes back page by page, which took a twentieth of all
    the processor time. Each of the arenas (8 a core at most) keeps up to 64 MiB at its end, once so much was in use.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    except OSError:
        # A C library that cannot be asked.
        return
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)


def freeze_what_stays() -> None:
    """What was loaded by now is left out of the search for garbage, which otherwise stops everything for a third of a
    second about once a minute. It is still let go when nothing refers to it any more; only what refers to itself in a
    circle is not, and a test holds that no replaced model or version does.
    """
    gc.collect()
    gc.freeze()


def thaw() -> None:
    """At the end, for processes that go on without serving; of all that was frozen in this process."""
    gc.unfreeze()

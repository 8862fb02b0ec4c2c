"""What a process that serves asks of its surroundings: how threads wait, what freed memory is for, when garbage is
looked for. Each was measured (docs/performance.md); none changes an answer.
"""

import ctypes
import gc
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


def keep_freed_memory() -> None:
    """Memory of a few megabytes that was freed is used again, where the C library is glibc.

    Otherwise it goes back to the kernel after each picture and comes back page by page, which took a tenth of all the
    processor time. Each of the arenas (8 a core at most) keeps up to 64 MiB, and so much only after it was in use.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)


def freeze_what_stays() -> None:
    """What was loaded by now is left out of the search for garbage, which otherwise stops everything for a third of a
    second about once a minute.
    """
    gc.collect()
    gc.freeze()


def let_go_of_what_was_replaced() -> None:
    """After a model was replaced: its objects refer to each other, and nothing frozen is ever let go. The search for
    them stops everything once; nothing is done where nothing is frozen.
    """
    if gc.get_freeze_count():
        gc.unfreeze()
        freeze_what_stays()


def thaw() -> None:
    """At the end, for processes that go on without serving."""
    gc.unfreeze()

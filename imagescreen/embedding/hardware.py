"""Which device, number format and how many threads the encoder uses."""

import os
from collections.abc import Callable
from pathlib import Path

from imagescreen.errors import BrokenInstallation
from imagescreen.settings import Device, DType

# Flags of x86 processors that multiply bfloat16 in hardware, by their Linux names: AMX and AVX-512.
_BFLOAT16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})


def thread_count(threads: int) -> int:
    """`threads`, or the number of cores that this process may use when it is 0."""
    return threads if threads > 0 else available_cores()


def available_cores() -> int:
    """Cores that this process may run on, which in a container is often fewer than the machine has."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def resolve_device(device: Device) -> str:
    """`cpu` or `cuda`; BrokenInstallation when CUDA is asked for and not there."""
    import torch

    cuda = torch.cuda.is_available()
    if device is Device.CUDA and not cuda:
        raise BrokenInstallation("The setting `device` is cuda, but torch finds no CUDA device here: set it to auto.")
    return "cuda" if cuda and device is not Device.CPU else "cpu"


def resolve_dtype(dtype: DType, device: str) -> DType:
    """The number format to compute in, never AUTO.

    `auto` on a processor is bfloat16 only where the processor multiplies it in hardware: elsewhere it is emulated and
    was measured to be 50 times slower than float32.
    """
    if dtype is not DType.AUTO:
        return dtype
    if device == "cuda":
        import torch

        return DType.BFLOAT16 if torch.cuda.is_bf16_supported(including_emulation=False) else DType.FLOAT16
    return DType.BFLOAT16 if processor_flags() & _BFLOAT16_FLAGS else DType.FLOAT32


def processor_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The flags of the first processor as Linux lists them; none where it cannot be asked."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "flags":
            return frozenset(value.split())
    return frozenset()

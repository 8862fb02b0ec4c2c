"""What figures were measured on."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path


def described(packages: Iterable[str]) -> str:
    """Processor, cores that this process may use, Python, and the versions of `packages`."""
    cores = len(os.sched_getaffinity(0))
    libraries = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{processor()}, {cores} cores; Python {platform.python_version()}, {libraries}"


def processor() -> str:
    """The name of the first processor, or the architecture where it has none."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

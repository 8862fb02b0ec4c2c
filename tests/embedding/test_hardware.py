import os
from pathlib import Path

import pytest

from imagescreen.embedding.hardware import processor_flags, resolve_dtype, thread_count
from imagescreen.settings import DType


@pytest.mark.parametrize(
    ("line", "bfloat16"),
    [
        ("flags\t\t: fpu sse2 avx2 avx512f avx512_bf16\n", True),
        ("flags\t\t: fpu avx512f amx_tile amx_int8 amx_bf16\n", True),
        ("flags\t\t: fpu sse2 avx avx2 f16c\n", False),
        ("flags\t\t: fpu amx_tile amx_int8\n", False),
        ("Features\t: fp asimd\n", False),
    ],
)
def test_flags_are_those_of_the_processor(tmp_path: Path, line: str, bfloat16: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nmodel name\t: avx512_bf16 look-alike\n{line}\nprocessor\t: 1\n{line}")
    assert bool(processor_flags(cpuinfo) & {"avx512_bf16", "amx_bf16"}) == bfloat16


def test_machine_that_cannot_be_asked_has_no_flags(tmp_path: Path) -> None:
    assert processor_flags(tmp_path / "nothing") == frozenset()


def test_auto_takes_bfloat16_only_with_hardware_for_it() -> None:
    hardware = bool(processor_flags() & {"avx512_bf16", "amx_bf16"})
    assert resolve_dtype(DType.AUTO, "cpu") is (DType.BFLOAT16 if hardware else DType.FLOAT32)
    assert resolve_dtype(DType.BFLOAT16, "cpu") is DType.BFLOAT16


def test_zero_threads_are_the_cores_of_this_process() -> None:
    assert thread_count(0) == len(os.sched_getaffinity(0))
    assert thread_count(3) == 3

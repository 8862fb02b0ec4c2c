import threading
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imagescreen.embedding.libraries import import_open_clip
from imagescreen.embedding.model_config import Preprocessing
from imagescreen.embedding.resampling import MAX_DIFFERENCE, Resampling

Mode = Literal["longest", "shortest", "squash"]
SIDE = 96

needs_quick_torch = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in {"AVX2", "AVX512"}, reason="torch has no quick resize here"
)


def open_clips_resize(preprocessing: Preprocessing, image: Image.Image) -> Image.Image:
    """By the first step of the transform that open_clip makes for such a model."""
    transform = import_open_clip().transform
    fields = {name: getattr(preprocessing, name) for name in preprocessing.__struct_fields__}
    resized: Image.Image = transform.image_transform_v2(transform.PreprocessCfg(**fields), False).transforms[0](image)
    return resized


@needs_quick_torch
@settings(deadline=None, max_examples=60)
@given(
    mode=st.sampled_from(["longest", "shortest", "squash"]),
    interpolation=st.sampled_from(["bicubic", "bilinear"]),
    width=st.integers(32, 900),
    height=st.integers(32, 900),
    seed=st.integers(0, 1000),
    noisy=st.booleans(),
)
def test_torch_and_pillow_resize_to_the_same_but_for_rounding(
    mode: Mode, interpolation: Literal["bicubic", "bilinear"], width: int, height: int, seed: int, noisy: bool
) -> None:
    preprocessing = Preprocessing(size=SIDE, resize_mode=mode, interpolation=interpolation, fill_color=255)
    quick, slow = Resampling(preprocessing), Resampling(preprocessing)
    assert quick.quick
    slow.quick = False
    # The hardest edges there are, and single pixels of every colour.
    cell = 1 if noisy else 1 + seed % 40
    drawn = np.random.default_rng(seed).integers(0, 256, (-(-height // cell), -(-width // cell), 3), dtype=np.uint8)
    image = Image.fromarray(drawn.repeat(cell, 0).repeat(cell, 1)[:height, :width])
    by_torch, by_pillow = quick(image), slow(image)
    assert by_torch.size == by_pillow.size
    assert np.abs(np.asarray(by_torch, np.int16) - np.asarray(by_pillow, np.int16)).max() <= MAX_DIFFERENCE
    # The transform would have made it as large, and finds nothing left to resize.
    assert open_clips_resize(preprocessing, image).size == by_torch.size
    assert np.array_equal(np.asarray(open_clips_resize(preprocessing, by_torch)), np.asarray(by_torch))


@needs_quick_torch
def test_threads_that_resize_start_no_threads_of_their_own() -> None:
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        pytest.skip("threads cannot be counted here")
    resampling = Resampling(Preprocessing(size=224))
    image = Image.fromarray(np.zeros((900, 700, 3), dtype=np.uint8))
    begun, done = threading.Barrier(5), threading.Barrier(5)

    def work() -> None:
        begun.wait()
        resampling(image)
        done.wait()

    before = len(list(tasks.iterdir()))
    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    begun.wait()
    while done.n_waiting < 4:
        worker.join(0.01)
    assert len(list(tasks.iterdir())) == before + 4
    done.wait()
    for worker in workers:
        worker.join()


def test_a_picture_that_has_its_size_stays_as_it_is() -> None:
    resampling = Resampling(Preprocessing(size=SIDE, resize_mode="longest"))
    image = Image.fromarray(np.zeros((SIDE, SIDE // 2, 3), dtype=np.uint8))
    assert resampling(image) is image


def test_where_torch_disagrees_pillow_resizes(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = torch.nn.functional.interpolate

    def another(pixels: torch.Tensor, **options: object) -> torch.Tensor:
        result: torch.Tensor = quick(pixels, **options)  # type: ignore[arg-type]
        return result.roll(1, dims=-1)

    monkeypatch.setattr(torch.nn.functional, "interpolate", another)
    resampling = Resampling(Preprocessing(size=SIDE))
    image = Image.fromarray(np.zeros((300, 200, 3), dtype=np.uint8))
    assert not resampling.quick
    assert resampling(image).size == (SIDE, 144)

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from imagescreen.embedding.encoder import Encoder, load_encoder
from imagescreen.settings import BUILT_IN_MODEL, Device, DType

WEIGHTS = Path(__file__).parents[2] / "weights"


@pytest.fixture(scope="session")
def shipped_weights() -> Path:
    return WEIGHTS


@pytest.fixture(scope="session")
def mini() -> Encoder:
    """The built-in model in float32 on the processor. One thread: the machine may be shared with other tests."""
    return load_encoder(BUILT_IN_MODEL, WEIGHTS, dtype=DType.FLOAT32, device=Device.CPU, threads=1)


@pytest.fixture
def weights_copy(tmp_path: Path) -> Path:
    """A folder of weights of one's own, with the shipped registry and the built-in model."""
    folder = tmp_path / "weights"
    shutil.copytree(WEIGHTS / BUILT_IN_MODEL, folder / BUILT_IN_MODEL)
    shutil.copy(WEIGHTS / "models.toml", folder)
    return folder


@pytest.fixture
def load_mini() -> Callable[[Path], Encoder]:
    return lambda weights: load_encoder(BUILT_IN_MODEL, weights, dtype=DType.FLOAT32, device=Device.CPU, threads=1)

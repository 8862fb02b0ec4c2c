"""Pictures that are decoded at a reduced scale keep their vectors, on real photographs with the built-in model."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagescreen.embedding.encoder import Encoder
from imagescreen.pictures import DecodingBudget, PictureLimits, PictureReader

READER = PictureReader(PictureLimits(1 << 26, 1 << 26, 32), DecodingBudget(1 << 27, 1))
FULL = 1 << 20
"""A side that no picture has: nothing is reduced for it."""

MAX_DRIFT = 0.01
AT_ONCE = 25


@pytest.fixture(scope="module")
def originals(photos_dir: Path) -> list[bytes]:
    """Photographs at the size at which they were published, the larger ones first."""
    files = sorted((photos_dir / "originals").glob("*.jpg"), key=lambda path: (-path.stat().st_size, path.name))
    if not files:
        pytest.skip("there is no folder of originals")
    return [path.read_bytes() for path in files]


def vectors(encoder: Encoder, files: Sequence[bytes], side: int) -> np.ndarray:
    found = []
    for start in range(0, len(files), AT_ONCE):
        images = [
            READER.read(data, READER.header(data), reduce_to=side).image for data in files[start : start + AT_ONCE]
        ]
        found.append(encoder.encode(np.stack([encoder.preprocess(image) for image in images])))
    return np.concatenate(found)


def drift(encoder: Encoder, files: Sequence[bytes]) -> float:
    """1 - cosine of the vector by scaled and by full decoding, at the 99th percentile."""
    cosines = (vectors(encoder, files, encoder.input_side) * vectors(encoder, files, FULL)).sum(axis=1)
    return float(np.percentile(1 - cosines, 99))


def as_format(data: bytes, name: str) -> bytes:
    file = BytesIO()
    with Image.open(BytesIO(data)) as image:
        image.save(file, name, **({"compress_level": 1} if name == "PNG" else {"method": 0}))
    return file.getvalue()


def test_scaled_jpeg_decoding_moves_the_vector_of_a_real_photograph_by_no_more_than_a_hundredth(
    mini: Encoder, originals: list[bytes]
) -> None:
    assert drift(mini, originals) <= MAX_DRIFT


@pytest.mark.parametrize("name", ["PNG", "WEBP"])
def test_reduced_pictures_of_other_formats_keep_their_vectors_as_well(
    mini: Encoder, originals: list[bytes], name: str
) -> None:
    assert drift(mini, [as_format(data, name) for data in originals[:10]]) <= MAX_DRIFT

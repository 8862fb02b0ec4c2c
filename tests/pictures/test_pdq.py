"""The perceptual hash: the same for a picture in other bytes, and found again when it is turned."""

from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from imagescreen.pictures import MAX_PDQ_DISTANCE, PdqHasher
from tests.material import product

pytest.importorskip("pdqhash")
Turn = Image.Transpose


@pytest.fixture(scope="module")
def hasher() -> PdqHasher:
    found = PdqHasher.installed()
    assert found is not None
    return found


def picture(seed: int) -> Image.Image:
    return Image.open(BytesIO(product(seed))).convert("RGB")


def distance(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    return int(np.unpackbits(a ^ b).sum())


def test_a_smaller_copy_in_other_bytes_has_nearly_the_same_hash(hasher: PdqHasher) -> None:
    original = picture(1)
    file = BytesIO()
    original.resize((150, 190), Image.Resampling.LANCZOS).save(file, "JPEG", quality=40)
    copy = hasher.hash(Image.open(file).convert("RGB"))
    assert distance(hasher.hash(original).bits[0], copy.bits[0]) <= 16
    assert distance(hasher.hash(picture(2)).bits[0], copy.bits[0]) > 2 * MAX_PDQ_DISTANCE


@pytest.mark.parametrize("turn", list(Turn))
def test_a_rotated_or_mirrored_picture_is_found_by_one_of_its_eight_hashes(hasher: PdqHasher, turn: Turn) -> None:
    stored = hasher.hash(picture(3)).upright
    turned = hasher.hash(picture(3).transpose(turn))
    distances = [distance(np.frombuffer(stored, np.uint8), bits) for bits in turned.bits]
    assert min(distances) <= 10 < 60 < distances[0]


def test_a_picture_with_little_on_it_has_no_usable_hash(hasher: PdqHasher) -> None:
    grey = Image.new("RGB", (300, 300), (200, 200, 200))
    grey.paste((190, 190, 190), (100, 100, 200, 200))
    assert not hasher.hash(grey).usable
    assert hasher.hash(picture(1)).usable


def test_the_hash_is_written_as_other_tools_write_it(hasher: PdqHasher) -> None:
    """Most significant bit first, as the reference implementation prints it: computed here from its own numbers."""
    import pdqhash

    grid = picture(4).resize((64, 64), Image.Resampling.BOX)
    vector, _ = pdqhash.compute(np.asarray(grid))
    number = int("".join(str(bit) for bit in vector), 2)
    assert hasher.hash(picture(4)).upright.hex() == f"{number:064x}"

"""What is measured of the near-duplicate layer, on a few rendered pictures."""

from pathlib import Path

import pytest

from imagescreen.evaluation.pdq_grid import compare_grids
from tests.conftest import script
from tests.material import product

pytest.importorskip("pdqhash")


def test_one_command_shows_what_is_found_what_the_grid_does_and_what_looking_up_costs(tmp_path: Path) -> None:
    for seed in range(4):
        (tmp_path / f"{seed}.jpg").write_bytes(product(seed))
    done = script("measure_copies.py", tmp_path, "--hashes", "300", "--hashes", "2000", home=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    for told in ("the same, mirrored", "6 pairs of different pictures", "256 x 256", "64 x 64", "300", "2,000"):
        assert told in done.stdout


def test_hashes_of_turned_pictures_agree_better_on_the_grid_of_pdq_than_on_a_larger_one() -> None:
    large, own = compare_grids([product(seed) for seed in range(6)])
    assert (large.side, own.side) == (256, 64)
    assert own.turned_mean < large.turned_mean
    assert own.turned_beyond == 0

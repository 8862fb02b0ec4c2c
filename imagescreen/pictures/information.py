"""Whether there is anything on a picture."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_GRID_SIDE = 64
_MIN_GRID_SIDE = 16
_MARGIN = 16
_MIN_DEVIATION = 6.0
_MIN_SHARE = 0.002


def is_low_information(image: Image.Image) -> bool:
    """True for a picture with nothing on it: one colour, a faint gradient, light noise, stray pixels, a hairline frame.

    `image` is RGB. It is averaged to a grid of 64 cells on its longest side, which takes the noise away. A smooth
    background (a quadratic surface for each channel, as light falls off over a backdrop) is subtracted. What differs
    from it by 6 of 255 levels, about twice what an eye can tell, and touches two more such cells is something;
    stray pixels touch none. Something on less than 0.2 % of the cells is nothing. The outer sixteenth of each side
    does not count, since frames of placeholders lie there.

    Entropy, variance and file size were not chosen: each ranks a pale product on 5 % of a white ground below light
    noise, and it is the product that must not be lost: a low-information picture is not screened.
    """
    cells = _cells(image)
    deviates = np.abs(cells - _background(cells)).max(axis=2) >= _MIN_DEVIATION
    neighbours = _neighbours(deviates)
    something = deviates & (neighbours >= 2)
    return bool(something.mean() < _MIN_SHARE)


def _cells(image: Image.Image) -> NDArray[np.float64]:
    """Mean colours of the inner cells, (rows, columns, 3)."""
    longest = max(image.size)
    columns, rows = (
        min(side, max(_MIN_GRID_SIDE, round(side * _GRID_SIDE / longest))) for side in (image.width, image.height)
    )
    grid = image.resize((columns, rows), Image.Resampling.BOX)
    cells = np.asarray(grid, dtype=np.float64)
    down, across = rows // _MARGIN, columns // _MARGIN
    return cells[down : rows - down, across : columns - across]


def _background(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """The quadratic surface nearest to the cells in the least-squares sense, for each channel."""
    rows, columns, channels = cells.shape
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=2).reshape(-1, 6)
    # On the normal equations, which are 6 x 6: fifty times faster than on the cells, and exact enough for levels.
    weights = np.linalg.lstsq(terms.T @ terms, terms.T @ cells.reshape(-1, channels), rcond=None)[0]
    fitted: NDArray[np.float64] = (terms @ weights).reshape(rows, columns, channels)
    return fitted


def _neighbours(marked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many of the eight cells around each one are marked."""
    padded = np.pad(marked.astype(np.int64), 1)
    rows, columns = marked.shape
    around = sum(padded[dy : dy + rows, dx : dx + columns] for dy in range(3) for dx in range(3))
    return np.asarray(around - marked, dtype=np.int64)

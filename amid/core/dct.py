"""The two-dimensional discrete cosine transform of pictures: which coefficients, and its basis."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np


@lru_cache
def lowest_frequencies(rows: int, columns: int, number: int) -> np.ndarray:
    """Flat positions (number,) of the lowest spatial frequencies, along the plane's diagonals.

    Frequencies are compared in cycles a picture height and width, so that on a square the order is
    that of the sums of row and column.
    """
    row, column = np.divmod(np.arange(rows * columns), columns)
    return np.lexsort((row, row * columns + column * rows))[:number]


@lru_cache
def basis(size: int) -> np.ndarray:
    """(size, size) orthonormal DCT-II of an axis: frequency, place. Rounded to 2^-48, so that every
    library of cosines gives the same numbers."""
    turns = [[(2 * place + 1) * k for place in range(size)] for k in range(size)]
    cosines = np.array([[math.cos(math.pi * n / (2 * size)) for n in row] for row in turns])
    cosines[0] /= math.sqrt(2)
    return np.round(cosines * math.sqrt(2 / size) * 2.0**48) / 2.0**48

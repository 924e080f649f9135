"""Cuts a random box out of the pictures behind DCT coefficients, and may mirror them.

What a random crop of the frames before their transform does (Krizhevsky, Sutskever, Hinton, NeurIPS
2012), done to the pictures that the kept coefficients describe: the box is scaled to the whole
picture, bilinearly, alike for all frames of a clip. Beyond its edges a picture goes on as it ends.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from amid.augmentations.base import AugmentationOptions, Share
from amid.core.dct import basis, lowest_frequencies


class Options(AugmentationOptions):
    """shift: of the box's centre, at most, as a share of the picture's height and width. zoom: how
    much smaller or larger than the picture the box is, at most, as a share. mirror: probability
    with which left and right change places.
    """

    shift: Share
    zoom: Share
    mirror: Annotated[float, Field(ge=0, le=1)]


AXES = (2,)
EXTRACTOR = "frame_dct"
EXTRACTED = ("size", "coefficients", "differences")


def augment(clip: np.ndarray, options: dict, random: np.random.Generator) -> np.ndarray:
    """(steps, features) in the extractor's own units -> the same shape."""
    (rows, columns), number = options["size"], options["coefficients"]
    up, left, near = (2 * random.random(3) - 1).tolist()  # in -1 .. 1
    mirrored = bool(random.random() < options["mirror"])
    size = 1 + options["zoom"] * near
    row, column = np.divmod(lowest_frequencies(rows, columns, number), columns)
    down = _of_box(rows, row.max() + 1, options["shift"] * up, size, mirrored=False)
    across = _of_box(columns, column.max() + 1, options["shift"] * left, size, mirrored=mirrored)
    parts = clip.reshape(-1, number)  # coefficients and, of each step after them, differences
    planes = np.zeros((len(parts), len(down), len(across)))
    planes[:, row, column] = parts
    return (down @ planes @ across.T)[:, row, column].reshape(clip.shape)


def _of_box(size: int, number: int, shift: float, share: float, *, mirrored: bool) -> np.ndarray:
    """(number, number): lowest coefficients of an axis of `size` places -> those of a box of it.

    shift: of the box's centre; share: its length. Both as shares of the axis.
    """
    low = basis(size)[:number]  # (frequency, place)
    places = (np.arange(size) + 0.5 - size / 2) * share + size * (0.5 + shift) - 0.5
    places = places.clip(0, size - 1)[:: -1 if mirrored else 1]
    before = np.minimum(places.astype(np.int64), size - 2)
    seen = low[:, before] + (low[:, before + 1] - low[:, before]) * (places - before)
    return low @ seen.T

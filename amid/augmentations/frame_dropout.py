"""Leaves out single steps of a sequence."""

from __future__ import annotations

import numpy as np

from amid.augmentations.base import AugmentationOptions, Share


class Options(AugmentationOptions):
    """share: probability with which each step is left out; one step always stays."""

    share: Share


AXES = (2,)


def augment(clip: np.ndarray, options: dict, random: np.random.Generator) -> np.ndarray:
    """(steps, features) -> (kept steps, features)"""
    drawn = random.random(len(clip))  # (steps,)
    kept = drawn >= options["share"]
    kept[drawn.argmax()] = True
    return clip[kept]

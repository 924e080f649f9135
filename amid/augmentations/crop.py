"""Leaves out the beginning and the end of a sequence."""

from __future__ import annotations

import numpy as np

from amid.augmentations.base import AugmentationOptions, Share


class Options(AugmentationOptions):
    """share: of the steps that may be left out, at most; where the rest starts is drawn too."""

    share: Share


AXES = (2,)


def augment(clip: np.ndarray, options: dict, random: np.random.Generator) -> np.ndarray:
    """(steps, features) -> (kept steps, features)"""
    kept = max(1, round(len(clip) * (1 - options["share"] * random.random())))
    start = int(random.random() * (len(clip) - kept + 1))
    return clip[start : start + kept]

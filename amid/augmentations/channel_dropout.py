"""Sets features of a whole clip to their mean over the training clips."""

from __future__ import annotations

import numpy as np

from amid.augmentations.base import AugmentationOptions, Share


class Options(AugmentationOptions):
    """share: probability with which each feature is dropped."""

    share: Share


AXES = (1, 2)


def augment(clip: np.ndarray, options: dict, random: np.random.Generator) -> np.ndarray:
    """(steps, features) -> the same shape"""
    return clip * (random.random(clip.shape[1]) >= options["share"])

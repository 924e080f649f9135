"""Adds noise to every value of a clip."""

from __future__ import annotations

import numpy as np

from amid.augmentations.base import AugmentationOptions, Deviation


class Options(AugmentationOptions):
    """noise: its deviation, as a share of each feature's own over the training clips."""

    noise: Deviation


AXES = (1, 2)


def augment(clip: np.ndarray, options: dict, random: np.random.Generator) -> np.ndarray:
    """(steps, features) -> the same shape"""
    return clip + options["noise"] * random.standard_normal(clip.shape)

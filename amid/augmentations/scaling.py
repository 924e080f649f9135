"""Multiplies a clip by a random factor and each of its features by another."""

from __future__ import annotations

import numpy as np

from amid.augmentations.base import AugmentationOptions, Deviation


class Options(AugmentationOptions):
    """Deviations of the factors from 1: of all features together, and of each feature."""

    clip: Deviation
    feature: Deviation


AXES = (1, 2)


def augment(clip: np.ndarray, options: dict, random: np.random.Generator) -> np.ndarray:
    """(steps, features) -> the same shape"""
    drawn = random.standard_normal(1 + clip.shape[1])
    return clip * ((1 + options["clip"] * drawn[0]) * (1 + options["feature"] * drawn[1:]))

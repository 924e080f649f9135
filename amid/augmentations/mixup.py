"""The weighted mean of a clip and its partner (mixup: Zhang et al., ICLR 2018)."""

from __future__ import annotations

import numpy as np

from amid.augmentations.base import MixingOptions


class Options(MixingOptions):
    """The partner's share is drawn uniformly between 0 and `share`; with 0.5 that is the paper's
    Beta(1, 1), the larger part being the clip's own."""


AXES = (1, 2)


def mix(
    clip: np.ndarray, partner: np.ndarray, options: dict, random: np.random.Generator
) -> tuple[np.ndarray, float]:
    """(steps, features) twice -> the same shape, and the partner's share"""
    share = options["share"] * random.random()
    return clip + share * (partner - clip), share

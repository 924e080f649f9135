"""A stretch of a sequence replaced by its partner's (CutMix: Yun et al., ICCV 2019, in time)."""

from __future__ import annotations

import numpy as np

from amid.augmentations.base import MixingOptions


class Options(MixingOptions):
    """The number of steps that are replaced is drawn uniformly between none and `share` of them;
    where they start is drawn too."""


AXES = (2,)


def mix(
    clip: np.ndarray, partner: np.ndarray, options: dict, random: np.random.Generator
) -> tuple[np.ndarray, float]:
    """(steps, features) twice -> the same shape, and the partner's share"""
    steps = int(random.random() * (int(options["share"] * len(clip)) + 1))
    start = int(random.random() * (len(clip) - steps + 1))
    mixed = clip.copy()
    mixed[start : start + steps] = partner[start : start + steps]
    return mixed, steps / len(clip)

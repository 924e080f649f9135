"""Plays a sequence faster or slower, at a speed that changes within it (Um et al., ICMI 2017)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from amid.augmentations.base import AugmentationOptions, Share, at_times


class Options(AugmentationOptions):
    """speed: the number of steps changes by this share, at most. local: between the `knots`, which
    cut the sequence into equal parts, speeds differ by this share of the mean one, at most."""

    speed: Share
    local: Share
    knots: Annotated[int, Field(ge=0)]


AXES = (2,)


def augment(clip: np.ndarray, options: dict, random: np.random.Generator) -> np.ndarray:
    """(steps, features) -> (new steps, features), first and last step kept"""
    steps = max(1, round(len(clip) * (1 + options["speed"] * (2 * random.random() - 1))))
    parts = options["knots"] + 1
    reached = np.zeros(parts + 1)
    speeds = 1 + options["local"] * (2 * random.random(parts) - 1)  # (parts,)
    speeds.cumsum(out=reached[1:])
    reached *= (len(clip) - 1) / reached[-1]
    times = np.interp(np.arange(steps) * (parts / max(steps - 1, 1)), np.arange(parts + 1), reached)
    return at_times(clip, times)

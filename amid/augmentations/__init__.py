"""Random changes of a training clip's features: one file an augmentation, one line below.

A module has

    class Options(AugmentationOptions)         # its numbers below `augmentation` in params.yaml
    AXES: tuple[int, ...]                      # of one clip's features: 1 vector, 2 sequence
    def augment(clip, options, random) -> np.ndarray

or, in place of `augment`, for one that mixes clips, whose Options are MixingOptions,

    def mix(clip, partner, options, random) -> tuple[np.ndarray, float]

`clip` is (steps, features) float64, standardised by the training clips (mean 0, deviation 1 of each
feature), without padding; a vector is a clip of one step. `options` are the numbers as a dict. The
result may have another number of steps, at least one. `random` is a generator of the clip's own,
seeded by (run's seed, epoch, clip, name of the augmentation): what is drawn depends on no other
clip, no other augmentation, and not on the order. Only operations of numpy whose results are the
same on every processor are used (amid.core.portable): no sine, no power.

An augmentation of one extractor's features has, too,

    EXTRACTOR: str                             # its name; features of others stay as they are
    EXTRACTED: tuple[str, ...]                 # its numbers that `options` have as well

and its `clip` is in the features' own units.

`partner` is another training clip, drawn and resampled to the clip's steps (amid.training.mixing);
`mix` returns a clip of the same shape and the partner's share in it, 0 .. options["share"]. A run
has one such augmentation at most, and it comes before the others, which see the mixed clip.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

# In the order in which they are applied.
AUGMENTATIONS: dict[str, str] = {
    "mixup": "amid.augmentations.mixup",
    "cutmix": "amid.augmentations.cutmix",
    "picture_crop": "amid.augmentations.picture_crop",
    "crop": "amid.augmentations.crop",
    "time_warp": "amid.augmentations.time_warp",
    "frame_dropout": "amid.augmentations.frame_dropout",
    "scaling": "amid.augmentations.scaling",
    "jitter": "amid.augmentations.jitter",
    "channel_dropout": "amid.augmentations.channel_dropout",
    "spec_augment": "amid.augmentations.spec_augment",
}


def load_augmentation(name: str) -> ModuleType:
    """The module of the augmentation of that name in AUGMENTATIONS."""
    return import_module(AUGMENTATIONS[name])

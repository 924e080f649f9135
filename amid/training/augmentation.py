"""Augmented batches: the plug-ins of amid.augmentations, drawn from (seed, epoch, clip).

Student and teacher see the same draw ("consistent teaching", Beyer et al., CVPR 2022): a teacher
trained together with the student encodes the augmented clip by the student's own encoder, a fixed
one sees the augmented clip too. Frozen embeddings of auxiliary modalities stay as they are, unless
clips are mixed (amid.training.mixing); a teacher in training may go without some of them
(ModalityDropout).
Sequences that are equally long in the data set stay so: what a crop leaves is played more slowly.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from amid.augmentations import AUGMENTATIONS, load_augmentation
from amid.augmentations.base import at_times
from amid.core.reproducible import derive_seed
from amid.networks.encoders import Standardise
from amid.training.evaluation import teacher_outputs
from amid.training.mixing import Mixer

if TYPE_CHECKING:
    from amid.core.types import Batch, RunSpec
    from amid.networks.crossmodal import CrossModal


class Augmenter:
    """Changes the target features of training batches at random.

    Args:
        chosen: names of augmentations with their numbers, as in a run's specification. They are
            applied in the order of AUGMENTATIONS.
        train: all training samples, with target features (N, features) or (N, steps, features);
            rows of NaN at the end of a sequence are padding.
        seed: of the run.
        teacher: a fixed teacher, which has to see what is drawn.
    """

    def __init__(
        self,
        chosen: dict[str, dict[str, Any]],
        train: Batch,
        seed: int,
        teacher: CrossModal | None = None,
    ) -> None:
        samples = train.target
        standard = Standardise(samples.shape[-1])
        standard.fit(samples)
        self._mean = standard.mean.double().numpy()  # (features,)
        self._scale = standard.scale.double().numpy()
        self._deviation = np.divide(
            1.0, self._scale, out=np.zeros_like(self._scale), where=self._scale > 0
        )
        self._seed, self._teacher = seed, teacher
        self._random = np.random.Generator(np.random.PCG64(0))
        self._steps: int | None = None  # of every sequence; None where they differ
        if samples.ndim == 3 and not samples[:, -1, 0].isnan().any():
            self._steps = samples.shape[1]
            self._evenly = np.arange(self._steps) / max(self._steps - 1, 1)  # in 0 .. 1
        self._mixer: Mixer | None = None
        self._chosen = []
        for name in AUGMENTATIONS:
            if name not in chosen:
                continue
            module, options = load_augmentation(name), chosen[name]
            if hasattr(module, "mix"):
                self._mixer = Mixer(name, options, train, self._standardised, self._stream)
            else:
                of_extractor = hasattr(module, "EXTRACTOR")
                self._chosen.append((name, module.augment, options, of_extractor))

    def __call__(self, batch: Batch, epoch: int) -> Batch:
        """The batch with augmented targets and a fixed teacher's outputs on them; sequences end in
        rows of NaN up to the longest."""
        rows = batch.target.numpy()
        clips = [self._standardised(row) for row in rows]
        if self._mixer is not None:
            clips, batch = self._mixer(clips, batch, epoch)
        clips = [
            self._augmented(clip, epoch, sample)
            for clip, sample in zip(clips, batch.samples.tolist(), strict=True)
        ]
        if rows.ndim == 2:
            target = np.concatenate(clips)
        else:
            target = np.full((len(clips), max(map(len, clips)), rows.shape[2]), np.nan, np.float32)
            for filled, clip in zip(target, clips, strict=True):
                filled[: len(clip)] = clip
        batch = replace(batch, target=torch.from_numpy(target))
        return batch if self._teacher is None else teacher_outputs(self._teacher, batch)

    def _standardised(self, row: np.ndarray) -> np.ndarray:
        """One sample (features,) or (steps, features) as augmentations see it: (steps, features)
        float64, without padding."""
        clip = np.atleast_2d(row).astype(np.float64)
        return (clip[~np.isnan(clip[:, 0])] - self._mean) * self._scale

    def _augmented(self, clip: np.ndarray, epoch: int, sample: int) -> np.ndarray:
        """A standardised clip, changed as drawn for (seed, epoch, sample), as (new steps, features)
        float32 in the features' own units."""
        for name, augment, options, of_extractor in self._chosen:
            random = self._stream(epoch, sample, name)
            if of_extractor:
                own = augment(clip * self._deviation + self._mean, options, random)
                clip = (own - self._mean) * self._scale
            else:
                clip = augment(clip, options, random)
        if self._steps is not None and len(clip) != self._steps:
            clip = at_times(clip, self._evenly * (len(clip) - 1))
        return (clip * self._deviation + self._mean).astype(np.float32)

    def _stream(self, *parts: object) -> np.random.Generator:
        """The generator at the start of the stream of (seed, parts): what a new one seeded by them
        would draw, in a fifth of the time. The next call sets the same one to another stream."""
        start, step = (derive_seed(self._seed, "augmentation", *parts, n) for n in (0, 1))
        self._random.bit_generator.state = {
            "bit_generator": "PCG64",
            "state": {"state": start, "inc": 2 * step + 1},  # PCG's increments are odd
            "has_uint32": 0,
            "uinteger": 0,
        }
        return self._random


class ModalityDropout:
    """Keeps a teacher in training from seeing some embeddings of auxiliary modalities.

    Frozen encoders were trained on the training clips, whose embeddings tell the class better than
    those of new clips do. A teacher that always sees them learns to look at nothing else.

    Args:
        share: probability with which the embedding of one modality of one sample is hidden.
        seed: of the run.
    """

    def __init__(self, share: float, seed: int) -> None:
        self._share, self._seed = share, seed

    def __call__(self, batch: Batch, epoch: int) -> Batch:
        """The batch with what is `seen`, drawn for (seed, epoch, sample, modality)."""
        if not self._share:
            return batch
        samples = batch.samples.tolist()
        drawn = {
            name: [derive_seed(self._seed, "seen", epoch, n, name) / 2**63 for n in samples]
            for name in batch.auxiliary
        }
        seen = {name: torch.tensor(values) >= self._share for name, values in drawn.items()}
        return replace(batch, seen={name: flags.float() for name, flags in seen.items()})


def augmenter_of(spec: RunSpec, train: Batch, teacher: CrossModal | None) -> Augmenter | None:
    """The augmenter of a run on `train`; None for a run without augmentation."""
    if chosen := spec.training.get("augmentation"):
        return Augmenter(chosen, train, spec.seed, teacher)
    return None

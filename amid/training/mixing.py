"""Mixed training clips: which other clip each gets a part of, and what the two are together.

A clip's partner is drawn uniformly from all training clips of the run, not from its batch, so that
what a clip becomes depends on (seed, epoch, clip) alone. A clip with a label gets a partner with a
label, one without a label any partner: its share in the clip needs no label. A clip that lacks an
auxiliary modality is left as it is, and is no partner. A clip that is its own partner stays as it
is, as does its label.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from amid.augmentations import load_augmentation
from amid.augmentations.base import resampled
from amid.losses import UNLABELLED

if TYPE_CHECKING:
    from amid.core.types import Batch


class Mixer:
    """Mixes the clips of a batch with their partners.

    The embeddings of the auxiliary modalities are mixed by the same share, so that a teacher sees
    the mixed clip in all modalities.

    Args:
        name, options: the augmentation that mixes, with its numbers.
        train: all training samples.
        standardised: makes a clip (steps, features) of a sample's features, as augmentations see
            it.
        stream: gives the generator of (epoch, sample, name).
    """

    def __init__(
        self,
        name: str,
        options: dict[str, Any],
        train: Batch,
        standardised: Callable[[np.ndarray], np.ndarray],
        stream: Callable[..., np.random.Generator],
    ) -> None:
        self._name, self._options = name, options
        self._mix = load_augmentation(name).mix
        self._train, self._features = train, train.target.numpy()
        self._standardised, self._stream = standardised, stream
        whole = np.ones(len(train), bool) if train.complete is None else train.complete.numpy()
        labelled = whole & (train.labels != UNLABELLED).numpy()
        self._partners = {True: labelled.nonzero()[0], False: whole.nonzero()[0]}  # rows of `train`

    def __call__(
        self, clips: Sequence[np.ndarray], batch: Batch, epoch: int
    ) -> tuple[list[np.ndarray], Batch]:
        """The mixed clips, and the batch with mixed embeddings, its partners' labels and shares."""
        labelled = batch.labels != UNLABELLED  # (B,)
        whole = torch.ones_like(labelled) if batch.complete is None else batch.complete
        mixed, rows, drawn = list(clips), [0] * len(clips), [0.0] * len(clips)
        for place, sample in enumerate(batch.samples.tolist()):
            if whole[place]:
                among = self._partners[bool(labelled[place])]
                random = self._stream(epoch, sample, self._name)
                found = self._mixed(clips[place], among, random)
                mixed[place], rows[place], drawn[place] = found
        partners, shares = torch.tensor(rows), torch.tensor(drawn, dtype=torch.float32)
        labels = self._train.labels.index_select(0, partners)
        auxiliary = {}
        for name, own in batch.auxiliary.items():  # (B, E)
            theirs = self._train.auxiliary[name].index_select(0, partners)
            auxiliary[name] = own + shares[:, None] * (theirs - own)
        return mixed, replace(
            batch,
            auxiliary=auxiliary,
            partner_labels=labels.where(labelled & (shares > 0), batch.labels),
            partner_shares=shares,
        )

    def _mixed(
        self, clip: np.ndarray, partners: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, int, float]:
        """The clip with a part of one of `partners` (rows of the training samples), which one, and
        its share; as it is, with share 0, where it is not to be mixed."""
        row = partners[int(random.random() * len(partners))]
        if random.random() >= self._options["probability"]:
            return clip, row, 0.0
        partner = resampled(self._standardised(self._features[row]), len(clip))
        clip, share = self._mix(clip, partner, self._options, random)
        return clip, row, share

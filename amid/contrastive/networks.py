"""An encoder with a projection for each modality of a pair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from amid.contrastive.pooling import fuse_pooling
from amid.core.types import Representations
from amid.networks import load_encoder
from amid.networks.crossmodal import init_seeded

if TYPE_CHECKING:
    from amid.contrastive.pairs import PairBatch


MEASURED = 65_536  # pairs in memory at once; the deviation's error is then 0.3 % of it


class PairEncoders(nn.Module):
    """Encoders by modality; each ends in its projection to D dimensions.

    The initial weights of a modality's encoder depend on the seed and its name alone.

    shapes: shape of one clip's features, by modality.
    network: `dim`, `slope`, `encoders` (name of the encoder by modality) and the numbers of each
        encoder that is used.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], network: dict[str, Any], seed: int
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict()
        for modality, shape in shapes.items():
            kind = network["encoders"][modality]
            numbers = network["dim"], network["slope"], network[kind]
            self.encoders[modality] = init_seeded(
                lambda kind=kind, shape=shape, numbers=numbers: load_encoder(kind)(shape, *numbers),
                seed,
                f"encoder of {modality}",
            )
            fuse_pooling(self.encoders[modality])

    def prepare(self, train: PairBatch) -> None:
        """Called once with the training pairs, whose mean and deviation the encoders keep; of more
        than `MEASURED` pairs they are those of as many, evenly spread."""
        count = min(len(train), MEASURED)
        chosen = train.take(torch.arange(count) * len(train) // max(count, 1))
        for modality, encoder in self.encoders.items():
            encoder.prepare(chosen.features[modality])

    def forward(self, batch: PairBatch) -> Representations:
        """The projections (B, D) of each modality, as `modalities`; the first one's as `student`
        as well. There is no classifier: the logits are of no class, (B, 0)."""
        rows = {name: encoder(batch.features[name]) for name, encoder in self.encoders.items()}
        first = next(iter(rows.values()))
        return Representations(
            first, first.new_empty(len(first), 0), batch.samples, modalities=rows
        )

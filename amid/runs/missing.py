"""What a trained teacher predicts for test clips that lack modalities.

In training, modality dropout puts zeros in place of an auxiliary embedding (amid.networks.
crossmodal). Embeddings are standardised, so zeros are their mean over the clips that their frozen
encoder was trained on. The encoding of the target is always there in training; without the target,
its mean over the training clips takes its place.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from amid.core.checkpoint import read_checkpoint
from amid.core.reproducible import use_deterministic_kernels
from amid.data.splits import load_splits

if TYPE_CHECKING:
    from torch import Tensor

    from amid.core.types import Batch, Representations, RunSpec
    from amid.networks.crossmodal import CrossModal


def predict_subsets(
    spec: RunSpec, model: Path, data: Path, subsets: Sequence[Collection[str]]
) -> list[list[int]]:
    """Predicted class index of each test clip by a teacher that is given some modalities only.

    Args:
        spec: the run that trained the teacher alone.
        model: its model file.
        data: folder of the data set.
        subsets: the modalities that are there, each time.

    Returns:
        For each subset the predictions of the test clips, in the order of the run's record.

    Raises:
        AmidError: the model file is damaged or was trained on other modalities.
    """
    from amid.training.model_file import load_model

    use_deterministic_kernels()
    weights, card = read_checkpoint(model)
    networks = load_model(card, weights, model)
    splits = load_splits(data, spec)
    mean = mean_encoding(networks, splits.train)
    return [
        teacher_logits(networks, splits.test, spec.target, mean, subset).argmax(1).tolist()
        for subset in subsets
    ]


def mean_encoding(networks: CrossModal, train: Batch) -> Tensor:
    """The student encoder's mean output (D,) over the training clips."""
    import torch

    from amid.training.evaluation import EVALUATION_BATCH, encode_samples

    parts = torch.arange(len(train)).split(EVALUATION_BATCH)
    with torch.no_grad():
        rows = [encode_samples(networks, train.take(part).target).numpy() for part in parts]
    mean = np.concatenate(rows).mean(0, dtype=np.float64)
    return torch.from_numpy(mean.astype(np.float32))


def teacher_logits(
    networks: CrossModal, batch: Batch, target: str, mean: Tensor, present: Collection[str]
) -> Tensor:
    """The teacher's logits (N, C) of `batch`, of whose modalities only those `present` are given.

    mean: (D,) what takes the place of the target's encoding, as from `mean_encoding`.
    """
    import torch

    from amid.training.evaluation import evaluate

    flags = {name: float(name in present) for name in batch.auxiliary}
    seen = {name: torch.full((len(batch),), flag) for name, flag in flags.items()}
    batch = replace(batch, seen=seen)

    def represent(part: Batch) -> Representations:
        if target in present:
            return networks(part)
        hook = networks.student.register_forward_hook(
            lambda _, inputs, output: mean.expand_as(output)
        )
        with hook:
            return networks(part)

    names = ["teacher_logits"]
    return evaluate(represent, names, batch, networks, torch.device("cpu"))["teacher_logits"]

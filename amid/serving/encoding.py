"""Features of clips through trained networks: for released students and for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from amid.core.types import Batch
    from amid.core.video_clips import Clips
    from amid.data.feature_store import FeatureStore
    from amid.networks.crossmodal import CrossModal


def clip_features(
    features: FeatureStore, modality: str, rows: np.ndarray
) -> np.ndarray | list[np.ndarray]:
    """Features of the clips at `rows` (K,) of the store's index: (K, *shape), or K arrays without
    padding where clips are sequences of any length."""
    array = features.array(modality)
    if not features.ragged(modality):
        return array[rows]
    starts, lengths = features.spans(modality)
    return [array[starts[row] : starts[row] + lengths[row]] for row in rows]


def encode_clips(
    networks: CrossModal, samples: Tensor | Clips, auxiliary: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Representations and class probabilities of clips. A video's are means over its windows.

    Args:
        networks: in evaluation mode, on the CPU.
        samples: (N, ...) features of the target modality, or N videos.
        auxiliary: (N, E) embeddings of each auxiliary modality, for networks with a teacher.

    Returns:
        `student` (N, D), `probabilities` (N, C) and, with `auxiliary`, `teacher` (N, D).
    """
    import torch

    from amid.core.portable import route_to_numpy
    from amid.core.types import Batch
    from amid.training.evaluation import evaluate

    route_to_numpy()

    def represent(batch: Batch) -> SimpleNamespace:
        reps = networks(batch)
        probabilities = reps.student_logits.softmax(dim=1)
        return SimpleNamespace(
            student=reps.student, probabilities=probabilities, teacher=reps.teacher
        )

    numbers = torch.arange(len(samples))
    batch = Batch(samples, dict(auxiliary or {}), numbers, numbers)  # labels have no part in it
    names: Sequence[str] = ("student", "probabilities", *(("teacher",) if auxiliary else ()))
    return evaluate(represent, names, batch, networks, torch.device("cpu"))


def load_with_teacher(model: Path, checkpoint: Path, widths: Mapping[str, int]) -> CrossModal:
    """The student and the teacher of one run at its best epoch, in evaluation mode.

    Args:
        model: the run's model file, which holds the student alone.
        checkpoint: the run's last checkpoint, which holds all networks.
        widths: E of each auxiliary modality's embeddings, in the order of the run.
    """
    from amid.core.checkpoint import read_checkpoint
    from amid.networks.crossmodal import deployed
    from amid.training.model_file import load_model
    from amid.training.run_state import strip_prefix

    heads = ("student", "teacher")
    _, card = read_checkpoint(model)
    tensors, _ = read_checkpoint(checkpoint)
    auxiliary = [{"modality": name, "width": width} for name, width in widths.items()]
    card = {**card, "heads": list(heads), "auxiliary": auxiliary}
    return load_model(card, deployed(strip_prefix("best.networks", tensors), heads), checkpoint)

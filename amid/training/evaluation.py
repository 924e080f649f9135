"""Outputs of trained networks on whole splits, and the metrics computed from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from amid.core.distributed import SINGLE_PROCESS, World
from amid.core.types import Batch, Representations
from amid.core.video_clips import Clips, per_clip
from amid.training.metrics import mean_average_precision, retrieval_recall, within_class_similarity

if TYPE_CHECKING:
    from amid.data.splits import Splits
    from amid.networks.crossmodal import CrossModal

EVALUATION_BATCH = 256  # samples; fits the processor's cache, a third faster than a single batch
WINDOWS = 16  # windows of videos in a batch
RECALL_AT = (1, 5, 10)


@torch.no_grad()
def evaluate(
    represent: Callable[[Batch], Representations],
    names: Sequence[str],
    batch: Batch,
    networks: CrossModal,
    device: torch.device,
    world: World = SINGLE_PROCESS,
) -> dict[str, Tensor]:
    """Computes fields of the representations of a whole split, batch by batch.

    A video is represented by the mean over its windows.

    Args:
        represent: maps a batch on `device` to its representations.
        names: fields of `Representations`.
        batch: (N, ...) samples of the split, on the CPU.
        networks: the networks behind `represent`, in evaluation mode.
        world: the processes that share each batch.

    Returns:
        (N, ...) values of each field, on the CPU.
    """
    owner = None
    if isinstance(batch.target, Clips):
        windows, owner = networks.student.windows(batch.target)
        batch = replace(batch.take(owner), target=windows)
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    size = EVALUATION_BATCH if owner is None else WINDOWS * world.size
    for rows in torch.arange(len(batch)).split(size):
        part = batch.take(rows)
        if owner is not None:
            part = replace(part, target=world.slice_batch(part.target, networks.student.read))
        reps = represent(part.to(device))
        for name, values in found.items():
            values.append(getattr(reps, name).cpu())
    joined = {name: torch.cat(values) for name, values in found.items()}
    return joined if owner is None else per_clip(joined, owner)


def encode_samples(networks: CrossModal, samples: Tensor | Clips) -> Tensor:
    """Outputs (N, D) of the student's encoder, not normalised as the classifier may see them."""
    if not isinstance(samples, Clips):
        return networks.student(samples)

    def represent(batch: Batch) -> Representations:
        rows = networks.student(batch.target)
        return Representations(rows, rows, batch.samples)

    numbers = torch.arange(len(samples))
    batch = Batch(samples, {}, numbers, numbers)
    return evaluate(represent, ["student"], batch, networks, torch.device("cpu"))["student"]


def attach_teacher_outputs(
    data: Splits, teacher: CrossModal, device: torch.device, world: World
) -> Splits:
    """Adds a fixed teacher's representations and logits to every sample of the splits.

    They never change, so they are computed once. A video's are the mean over its windows, however
    the student's input is augmented.
    """

    def attach(batch: Batch) -> Batch:
        if not len(batch):
            return batch
        names = ("teacher", "teacher_logits")
        return replace(batch, **evaluate(teacher, names, batch, teacher, device, world))

    splits = {name: attach(getattr(data, name)) for name in ("train", "validation", "test")}
    return replace(data, **splits)


@torch.no_grad()
def teacher_outputs(teacher: CrossModal, batch: Batch) -> Batch:
    """The batch, on the CPU, with a fixed teacher's outputs on its samples as they are now."""
    device = next(teacher.parameters()).device
    reps = teacher(replace(batch, teacher=None, teacher_logits=None).to(device))
    return replace(batch, teacher=reps.teacher, teacher_logits=reps.teacher_logits)


def validation_metrics(
    outputs: dict[str, Tensor], labels: Tensor, heads: Sequence[str]
) -> dict[str, float]:
    """Accuracy of each head and, with two heads, the similarity of student and teacher.

    Args:
        outputs: representations (N, D) as `<head>` and logits (N, C) as `<head>_logits`.
        labels: (N,) class indices.
    """
    metrics = {}
    for head in heads:
        correct = outputs[f"{head}_logits"].argmax(1) == labels
        metrics[f"validation_{head}"] = float(correct.double().mean())
    if len(heads) == 2:
        teacher, student = outputs["teacher"], outputs["student"]
        metrics["validation_similarity"] = float(torch.cosine_similarity(teacher, student).mean())
        within = within_class_similarity(teacher, student, labels)
        metrics["validation_within_class_similarity"] = float(within)
    return metrics


def retrieval_metrics(
    queries: Tensor, labels: Tensor, gallery: Tensor, gallery_labels: Tensor
) -> dict[str, float]:
    """Recall at 1, 5 and 10 and mean average precision of queries (N, D) in a gallery (M, D)."""
    recalls = retrieval_recall(queries, labels, gallery, gallery_labels, RECALL_AT)
    found = {f"r@{k}": value for k, value in zip(RECALL_AT, recalls, strict=True)}
    return {**found, "map": mean_average_precision(queries, labels, gallery, gallery_labels)}

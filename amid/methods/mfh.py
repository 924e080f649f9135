"""MFH (MGDFR): KD from the channels of the teacher that a student can know.

Z. Xue, Z. Gao, S. Ren, H. Zhao, "The Modality Focusing Hypothesis: Towards Understanding
Crossmodal Knowledge Distillation", ICLR 2023. Source of the formulas and defaults: zihuixue/MFH.
The fixed teacher was trained together with a student (`amid.methods.cotrained`). Channels of F that
matter least to the agreement of both are replaced by their mean before a fresh student is taught.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from amid.core.video_clips import Clips, per_clip
from amid.losses.labels import labelled_cross_entropy
from amid.losses.logits import softened_divergence
from amid.losses.mgd import channel_salience, frozen
from amid.methods.base import Method, MethodOptions, Positive, Sizes, Weight

if TYPE_CHECKING:
    from amid.core.types import Batch, Representations
    from amid.networks.crossmodal import CrossModal

SAMPLES, WINDOWS = 256, 16  # encoded at a time


class Options(MethodOptions):
    """weight: of the divergence; classification_weight: of the student's cross-entropy.

    ratio: share of the channels of F that are replaced by their mean.
    """

    fixed_teacher: ClassVar[bool] = True
    teacher_method: ClassVar[str] = "cotrained"  # read by amid.runs.plan
    compares_pairs: ClassVar[bool] = False
    uses_unlabelled: ClassVar[bool] = True

    classification_weight: Weight
    weight: Weight
    temperature: Positive
    ratio: Annotated[float, Field(ge=0, le=1)]


class Mfh(Method):
    trains = ("student",)
    teacher_logits: Tensor

    def __init__(self, options: dict) -> None:
        super().__init__()
        self.options = options

    @torch.no_grad()
    def prepare(self, train: Batch, teacher: CrossModal | None) -> None:
        """Ranks the channels on all training samples, once, and computes what the teacher says
        without those of least salience. The released code takes the mean of each batch instead,
        so that the teacher's word on a sample depends on who else is in the batch."""
        classifier = teacher.classifier
        student_logits = classifier(encode(teacher, train))  # (N, C)
        salience = channel_salience(
            student_logits, train.teacher, classifier.weight, classifier.bias
        )  # (D,)
        general = frozen(train.teacher, salience, self.options["ratio"])  # (N, D)
        self.teacher_logits = classifier(general)  # (N, C)

    def losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        options = self.options
        right = labelled_cross_entropy(reps.student_logits, labels)
        taught = self.teacher_logits.index_select(0, reps.samples)  # (B, C)
        divergence = softened_divergence(reps.student_logits, taught, options["temperature"])
        return {
            "classification": options["classification_weight"] * right,
            "distillation": options["weight"] * divergence,
        }


def encode(networks: CrossModal, batch: Batch) -> Tensor:
    """Representations (N, D) of all samples by the target's encoder, a part at a time. A video's is
    the mean over its windows."""
    student = networks.student
    if not isinstance(batch.target, Clips):
        return torch.cat([student(part) for part in batch.target.split(SAMPLES)])
    windows, owner = student.windows(batch.target)
    device = networks.classifier.weight.device
    parts = torch.arange(len(owner)).split(WINDOWS)
    rows = [student(student.read(windows.index_select(0, part)).to(device)) for part in parts]
    return per_clip({"student": torch.cat(rows).cpu()}, owner)["student"].to(device)


def build(options: dict, sizes: Sizes) -> Mfh:
    return Mfh(options)

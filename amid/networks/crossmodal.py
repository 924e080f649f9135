"""Student, auxiliary model and full-modality teacher over shared extractors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from amid.networks.encoders import ENCODERS
from amid.reproducible import derive_seed
from amid.types import Representations

if TYPE_CHECKING:
    from amid.types import Batch


class Fusion(nn.Module):
    """The teacher's two-layer MLP on the joined extractor outputs: (B, E) -> (B, D)."""

    def __init__(self, inputs: int, hidden: int, dim: int, slope: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, hidden)
        self.activation = nn.LeakyReLU(slope)
        self.project = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.activation(self.hidden(x)))


class CrossModal(nn.Module):
    """All networks of one run.

    The student's encoder serves the teacher too; the auxiliary extractors are frozen, so their
    embeddings come with the batch. With one auxiliary modality A is its embedding, with several
    a trained projection of all of them. One linear classifier is shared (Eq. 15).

    heads: which of "student" and "teacher" the method trains and the engine evaluates.
    """

    def __init__(
        self,
        *,
        heads: tuple[str, ...],
        classes: int,
        target_shape: tuple[int, ...],
        auxiliary_dims: dict[str, int],
        network: dict[str, Any],
        seed: int,
    ) -> None:
        super().__init__()
        self.heads = heads
        dim, slope = network["dim"], network["slope"]
        encoder = network["encoder"]
        self.student = built(
            lambda: ENCODERS[encoder](target_shape, dim, slope, network[encoder]), seed, "student"
        )
        self.classifier = built(lambda: nn.Linear(dim, classes), seed, "classifier")
        self.modalities = tuple(auxiliary_dims)
        joined = sum(auxiliary_dims.values())
        self.join: nn.Module | None = None
        self.teacher: nn.Module | None = None
        if "teacher" in heads:
            if len(auxiliary_dims) > 1:
                self.join = built(lambda: nn.Linear(joined, dim), seed, "join")
            hidden = network["fusion"]["hidden"]
            self.teacher = built(lambda: Fusion(dim + joined, hidden, dim, slope), seed, "teacher")

    def forward(self, batch: Batch) -> Representations:
        student = self.student(batch.target)  # (B, D)
        student_logits = self.classifier(student)  # (B, C)
        if self.teacher is None:
            return Representations(student, student_logits)
        embeddings = [batch.auxiliary[name] for name in self.modalities]
        joined = torch.cat(embeddings, dim=1)  # (B, E)
        auxiliary = joined if self.join is None else self.join(joined)  # (B, D)
        teacher = self.teacher(torch.cat([student, joined], dim=1))  # (B, D)
        return Representations(
            student, student_logits, auxiliary, teacher, self.classifier(teacher)
        )

    def student_state(self) -> dict[str, Tensor]:
        """Copies of what classifies the target modality alone: the encoder and the classifier."""
        state = self.state_dict()
        return {
            name: value.clone()
            for name, value in state.items()
            if name.split(".")[0] in ("student", "classifier")
        }


def built(make: Callable[[], nn.Module], seed: int, name: str) -> nn.Module:
    """A module whose initial weights depend on (seed, name) alone: every method starts a seed from
    the same student, and the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, name))
        return make()

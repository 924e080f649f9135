"""Student, auxiliary model and full-modality teacher over shared extractors."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from amid.errors import AmidError
from amid.losses.cosine import unit_rows
from amid.networks import ENCODERS
from amid.networks.recompute import in_parts
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
    embeddings come with the batch. With one auxiliary modality A is its embedding, with several, or
    with one of another length than D, a trained projection of all of them. One linear classifier is
    shared (Eq. 15).

    trains: which of "student", "auxiliary" (that projection) and "teacher" are built; a batch that
        brings a fixed teacher's representations needs none.
    auxiliary_dims: width of each auxiliary modality's embeddings. Its order is the one in which
        they are joined: part of what the weights mean, while a batch's own order means nothing.
    directions: representations are brought to length sqrt(D), so that the classifier sees
        directions only.
    parts: of a batch that go through the student one after another (amid.networks.recompute).
    """

    def __init__(
        self,
        *,
        trains: tuple[str, ...],
        classes: int,
        target_shape: tuple[int, ...],
        auxiliary_dims: dict[str, int],
        network: dict[str, Any],
        seed: int,
        directions: bool = False,
        parts: int = 1,
    ) -> None:
        super().__init__()
        self.directions, self.parts = directions, parts
        dim, slope = network["dim"], network["slope"]
        kind = network["encoder"]
        module, name = ENCODERS[kind]
        encoder = getattr(import_module(module), name)
        self.student = built(
            lambda: encoder(target_shape, dim, slope, network[kind]), seed, "student"
        )
        self.classifier = built(lambda: nn.Linear(dim, classes), seed, "classifier")
        self.widths = dict(auxiliary_dims)
        joined = sum(auxiliary_dims.values())
        self.join: nn.Module | None = None
        self.teacher: nn.Module | None = None
        if "auxiliary" in trains and (len(auxiliary_dims) > 1 or joined not in (0, dim)):
            self.join = built(lambda: nn.Linear(joined, dim), seed, "join")
        if "teacher" in trains:
            hidden = network["fusion"]["hidden"]
            self.teacher = built(lambda: Fusion(dim + joined, hidden, dim, slope), seed, "teacher")

    def forward(self, batch: Batch) -> Representations:
        encoded = in_parts(self.student, batch.target, self.parts)  # (B, D)
        student = self._direction(encoded)  # (B, D)
        student_logits = self.classifier(student)  # (B, C)
        modalities = self._embeddings(batch)
        auxiliary = teacher = teacher_logits = None
        if modalities:
            joined = torch.cat(list(modalities.values()), dim=1)  # (B, E)
            auxiliary = joined if self.join is None else self.join(joined)  # (B, D)
            if self.teacher is not None:
                teacher = self._direction(self.teacher(torch.cat([encoded, joined], dim=1)))
                teacher_logits = self.classifier(teacher)  # (B, C)
        if batch.teacher is not None:
            teacher, teacher_logits = batch.teacher, batch.teacher_logits
        return Representations(
            student, student_logits, batch.samples, auxiliary, teacher, teacher_logits, modalities
        )

    def _embeddings(self, batch: Batch) -> dict[str, Tensor]:
        """The batch's embeddings by name, (B, E) each, in the order that these networks join them;
        modalities that they do not know are left out."""
        found = {}
        for name, width in self.widths.items():
            embedding = batch.auxiliary.get(name)
            if embedding is None or embedding.shape[1] != width:
                given = {m: e.shape[1] for m, e in batch.auxiliary.items()}
                raise AmidError(
                    f"The networks join the auxiliary modalities {_listed(self.widths)}, but the "
                    f"samples come with {_listed(given) or 'none'}: give them the data of the data "
                    "set that they were trained on."
                )
            found[name] = embedding
        return found

    def _direction(self, rows: Tensor) -> Tensor:
        return unit_rows(rows) * rows.shape[1] ** 0.5 if self.directions else rows  # (B, D)


def _listed(widths: dict[str, int]) -> str:
    return ", ".join(f"{name} ({width} wide)" for name, width in widths.items())


def deployed(state: dict[str, Tensor], heads: tuple[str, ...]) -> dict[str, Tensor]:
    """Of a state_dict what `heads` need: the student the target's encoder and the classifier, the
    teacher its own network as well."""
    parts = {"student", "classifier", *heads}
    return {name: value for name, value in state.items() if name.split(".")[0] in parts}


def built(make: Callable[[], nn.Module], seed: int, name: str) -> nn.Module:
    """A module whose initial weights depend on (seed, name) alone: every method starts a seed from
    the same student, and the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, name))
        return make()

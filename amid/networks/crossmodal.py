"""Student, auxiliary model and full-modality teacher over shared extractors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from amid.core.reproducible import derive_seed
from amid.core.types import Representations
from amid.errors import AmidError
from amid.losses.cosine import unit_rows
from amid.networks import load_encoder
from amid.networks.fused import perceptron
from amid.networks.recompute import in_parts

if TYPE_CHECKING:
    from amid.core.types import Batch


class Fusion(nn.Module):
    """The teacher's two-layer MLP on the joined extractor outputs: (B, E) -> (B, D)."""

    def __init__(self, inputs: int, hidden: int, dim: int, slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.hidden = nn.Linear(inputs, hidden)
        self.project = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return perceptron([self.hidden, self.project], x, self.slope)


class CrossModal(nn.Module):
    """All networks of one run.

    The student's encoder serves the teacher too; the auxiliary extractors are frozen, so their
    embeddings come with the batch. With one auxiliary modality A is its embedding, with several, or
    with one of another length than D, a trained projection of all of them. One linear classifier is
    shared (Eq. 15).

    trains: which of "student", "auxiliary" (that projection) and "teacher" are built. A batch with
        a fixed teacher's representations needs no teacher.
    auxiliary_dims: width of each auxiliary modality's embeddings. Its order is the one in which
        they are joined, which the weights depend on; the order within a batch has no effect.
    normalize_representations: whether representations are scaled to length sqrt(D), so that the
        classifier sees their direction only.
    parts: number of parts of a batch that are encoded one after another (amid.networks.recompute).

    Where a batch says which embeddings are `seen`, the teacher gets zeros in place of the others;
    the auxiliary model A is made of all of them.
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
        normalize_representations: bool = False,
        parts: int = 1,
    ) -> None:
        super().__init__()
        self.normalize_representations, self.parts = normalize_representations, parts
        dim, slope = network["dim"], network["slope"]
        kind = network["encoder"]
        encoder = load_encoder(kind)
        self.student = init_seeded(
            lambda: encoder(target_shape, dim, slope, network[kind]), seed, "student"
        )
        self.classifier = init_seeded(lambda: nn.Linear(dim, classes), seed, "classifier")
        self.widths = dict(auxiliary_dims)
        joined = sum(auxiliary_dims.values())
        self.join: nn.Module | None = None
        self.teacher: nn.Module | None = None
        if "auxiliary" in trains and (len(auxiliary_dims) > 1 or joined not in (0, dim)):
            self.join = init_seeded(lambda: nn.Linear(joined, dim), seed, "join")
        if "teacher" in trains:
            hidden = network["fusion"]["hidden"]
            self.teacher = init_seeded(
                lambda: Fusion(dim + joined, hidden, dim, slope), seed, "teacher"
            )

    def forward(self, batch: Batch) -> Representations:
        encoded = in_parts(self.student, batch.target, self.parts)  # (B, D)
        student = self._normalize(encoded)  # (B, D)
        student_logits = self.classifier(student)  # (B, C)
        modalities = self._embeddings(batch)
        auxiliary = teacher = teacher_logits = None
        if modalities:
            joined = torch.cat(list(modalities.values()), dim=1)  # (B, E)
            auxiliary = joined if self.join is None else self.join(joined)  # (B, D)
            if self.teacher is not None:
                if batch.seen is not None:
                    seen = [batch.seen[name][:, None] * e for name, e in modalities.items()]
                    joined = torch.cat(seen, dim=1)
                teacher = self._normalize(self.teacher(torch.cat([encoded, joined], dim=1)))
                teacher_logits = self.classifier(teacher)  # (B, C)
        if batch.teacher is not None:
            teacher, teacher_logits = batch.teacher, batch.teacher_logits
        return Representations(
            student, student_logits, batch.samples, auxiliary, teacher, teacher_logits, modalities
        )

    def _embeddings(self, batch: Batch) -> dict[str, Tensor]:
        """The batch's embeddings (B, E) by modality, in the order in which the networks join them.
        Other modalities are left out."""
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

    def _normalize(self, rows: Tensor) -> Tensor:
        return (
            unit_rows(rows) * rows.shape[1] ** 0.5 if self.normalize_representations else rows
        )  # (B, D)


def _listed(widths: dict[str, int]) -> str:
    return ", ".join(f"{name} ({width} wide)" for name, width in widths.items())


def deployed(state: dict[str, Tensor], heads: tuple[str, ...]) -> dict[str, Tensor]:
    """The entries of a state_dict that `heads` need: the target's encoder and the classifier, for
    the teacher also its own network."""
    parts = {"student", "classifier", *heads}
    return {name: value for name, value in state.items() if name.split(".")[0] in parts}


def init_seeded(make: Callable[[], nn.Module], seed: int, name: str) -> nn.Module:
    """Calls `make` with a generator seeded by (seed, name) and returns the module.

    Initial weights so depend on nothing else: with one seed all methods start from the same
    student. The state of torch's global generator is not changed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, name))
        return make()

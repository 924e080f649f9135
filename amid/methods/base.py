"""The interface of a distillation method: its options and its losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from amid.losses.labels import labelled_rows, partner_excess
from amid.losses.logits import uniform_excess

if TYPE_CHECKING:
    from torch import Tensor

    from amid.core.types import Batch, Representations
    from amid.networks.crossmodal import CrossModal

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class MethodOptions(BaseModel):
    """A method's numbers in params.yaml, and facts that the plan of its runs needs.

    top_level: fields whose values stand at the top of params.yaml, not in `methods`.
    sees_auxiliary: whether the method uses the auxiliary modalities.
    fixed_teacher: whether it distils a teacher trained before (`teacher` in amid.methods), whose
        outputs come with the batches.
    compares_pairs: whether the rules of amid.selection can choose its samples.
    uses_unlabelled: whether some of its terms need no label, and so training samples without one
        take part. Else the run is trained on the others alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    top_level: ClassVar[tuple[str, ...]] = ()
    sees_auxiliary: ClassVar[bool] = True
    fixed_teacher: ClassVar[bool] = False
    compares_pairs: ClassVar[bool] = True
    uses_unlabelled: ClassVar[bool] = False

    def canonical(self, warmup_epochs: int) -> dict:
        """The numbers that affect training. Configurations with equal ones share a run."""
        return self.model_dump()

    def warmup(self) -> Self | None:
        """The options of a warm-up that several runs may share; None without a warm-up."""
        return None


@dataclass(frozen=True)
class Sizes:
    """Sizes that a method needs to create parameters of its own.

    dim: length D of the representations T, A and F.
    slope: negative slope of Leaky ReLU.
    samples: number of complete training samples.
    auxiliary: length of the embeddings of each auxiliary modality.
    seed: seed of the run.
    """

    dim: int
    slope: float
    classes: int
    samples: int
    auxiliary: dict[str, int]
    seed: int


class Method(nn.Module, ABC):
    """A distillation method: weighted loss terms of a batch, by name.

    heads: which of "student" and "teacher" the run reports; the best epoch is chosen on the first.
        None in a run on pairs without labels, which chooses it on retrieval.
    trains: which of "student", "auxiliary" (the projection that joins several) and "teacher" the
        run builds and trains. A fixed teacher's outputs come with the batch instead.
    normalize_representations: whether representations are scaled to length sqrt(D) before the
        classifier.
    adversary_steps: steps of the adversary for each step of everything else.

    A method's parameters are trained together with the networks, except those of
    `adversary_parameters`, which minimise `adversary_losses`.
    """

    heads: tuple[str, ...] = ("student", "teacher")
    trains: tuple[str, ...] = ("student", "auxiliary", "teacher")
    normalize_representations: bool = False
    adversary_steps: int = 1

    def prepare(self, train: Batch, teacher: CrossModal | None) -> None:
        """Called once with all complete training samples, and the fixed teacher if there is one."""

    def forward(self, networks: CrossModal, batch: Batch) -> Representations:
        """T, A, F and logits of one batch."""
        return networks(batch)

    @abstractmethod
    def losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        """Loss terms, already weighted, whose sum is minimised. Their names become metrics.

        labels: (B,) class indices, UNLABELLED (amid.losses) for a sample without a label, which
        only a method is given that `uses_unlabelled`; None in a run on pairs (`PAIR_METHODS`),
        whose representations have logits of no class, (B, 0).
        """

    def classified(self, reps: Representations) -> list[tuple[float, Tensor]]:
        """Logits (B, C) whose cross-entropy `losses` holds, which label smoothing and mixed labels
        are for, with its weight: of the heads that are trained. The student's weight is the option
        `classification_weight`, 1 for methods without it."""
        weight = getattr(self, "options", {}).get("classification_weight", 1.0)
        weights = {"student": weight, "teacher": 1.0}
        found = [(weights[head], getattr(reps, f"{head}_logits")) for head in self.heads]
        return [(w, logits) for w, logits in found if logits is not None and logits.requires_grad]

    def smoothing(self, reps: Representations, labels: Tensor, share: float) -> dict[str, Tensor]:
        """The term `smoothing`, which beside `losses` makes their cross-entropies those to labels
        smoothed by `share`; {} for 0."""
        if not share:
            return {}
        heads = self.classified(reps)
        if (rows := labelled_rows(labels)) is not None:
            if not len(rows):
                return {"smoothing": sum(logits.sum() * 0.0 for _, logits in heads)}
            labels = labels.index_select(0, rows)
            heads = [(w, logits.index_select(0, rows)) for w, logits in heads]
        excess = [w * uniform_excess(logits, labels) for w, logits in heads]
        return {"smoothing": share * sum(excess)}

    def mixing(self, reps: Representations, batch: Batch, smoothing: float) -> dict[str, Tensor]:
        """The term `mixing`, which beside `losses` and `smoothing` (by that share) makes their
        cross-entropies those to the labels of mixed samples: (1 - s) of a sample's own and s of its
        partner's. {} where nothing is mixed."""
        if batch.partner_shares is None:
            return {}
        mixed = batch.labels, batch.partner_labels, batch.partner_shares
        excess = [w * partner_excess(logits, *mixed) for w, logits in self.classified(reps)]
        return {"mixing": (1 - smoothing) * sum(excess)}

    def similarity_pair(self, reps: Representations, between: str) -> tuple[Tensor, Tensor]:
        """The two representations (B, D) whose similarity sample selection uses."""
        return reps.student, reps.teacher if between == "teacher" else reps.auxiliary

    def adversary_losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        """Loss terms of the adversary on detached representations; {} if there is nothing to
        train."""
        return {}

    def adversary_parameters(self) -> Sequence[nn.Parameter]:
        """The parameters that minimise `adversary_losses`."""
        return ()

    def adversary_optimiser(self) -> dict[str, Any]:
        """The adversary's optimiser: `optimiser` ("adam" or "sgd"), `learning_rate`, `momentum`."""
        return {}

    def begin_epoch(self, epoch: int) -> None:
        """Called before epoch number `epoch` (from 0), and before a state from the middle of that
        epoch is restored."""

    def end_step(self) -> None:
        """Called after every step of the networks' optimiser."""

    def end_epoch(self) -> dict[str, float]:
        """Called after every epoch. Returns metrics to log (finite numbers only)."""
        return {}

    def schedule_state(self) -> dict:
        """State of the method other than parameters and buffers, which can be written as JSON."""
        return {}

    def load_schedule_state(self, state: dict) -> None:
        """Restores what `schedule_state` returned."""

"""What a distillation method is to the engine and to the run plan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from amid.networks.crossmodal import CrossModal
    from amid.types import Batch, Representations

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class MethodOptions(BaseModel):
    """A method's numbers in params.yaml, and what the plan of its runs has to know.

    Fields called alpha, beta, gamma take the top-level values.
    sees_auxiliary: whether auxiliary modalities take part. fixed_teacher: whether it distils a
    teacher trained before (`teacher` in amid.methods), which comes with the batches.
    compares_pairs: whether the rules of amid.selection can choose its samples.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    sees_auxiliary: ClassVar[bool] = True
    fixed_teacher: ClassVar[bool] = False
    compares_pairs: ClassVar[bool] = True

    def canonical(self, warmup_epochs: int) -> dict:
        """The numbers that have an effect: two configurations that train alike are one run."""
        return self.model_dump()

    def warmup(self) -> Self | None:
        """The options of a warm-up that several runs may share, None without one."""
        return None


@dataclass(frozen=True)
class Sizes:
    """What a method needs to make parameters of its own.

    dim: D of T, A and F. slope: of Leaky ReLU. samples: of the training split.
    auxiliary: per auxiliary modality the length of its embeddings. seed: of the run.
    """

    dim: int
    slope: float
    classes: int
    samples: int
    auxiliary: dict[str, int]
    seed: int


class Method(nn.Module, ABC):
    """Named, already weighted loss terms on one batch.

    heads: which of "student" and "teacher" the run reports; the best epoch is chosen on the first.
    trains: which of "student", "auxiliary" (the projection that joins several) and "teacher" the
        run builds and trains; a fixed teacher comes with the batch, others may be the method's own.
    directions: whether representations are brought to length sqrt(D) before the classifier.
    adversary_steps: of the adversary for one step of everything else.

    A method's parameters are trained together with the networks, but for those of
    `adversary_parameters`: these minimise `adversary_losses`.
    """

    heads: tuple[str, ...] = ("student", "teacher")
    trains: tuple[str, ...] = ("student", "auxiliary", "teacher")
    directions: bool = False
    adversary_steps: int = 1

    def prepare(self, train: Batch, teacher: CrossModal | None) -> None:
        """Called once, with the whole training split and the fixed teacher's networks if any."""

    def forward(self, networks: CrossModal, batch: Batch) -> Representations:
        """T, A, F and logits of one batch."""
        return networks(batch)

    @abstractmethod
    def losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        """Terms whose sum is minimised; the names are the names of the metrics."""

    def similarity_pair(self, reps: Representations, between: str) -> tuple[Tensor, Tensor]:
        """The two representations (B, D) whose likeness sample selection goes by."""
        return reps.student, reps.teacher if between == "teacher" else reps.auxiliary

    def adversary_losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        """Terms that the adversary minimises on detached representations; {} when there is
        nothing to train."""
        return {}

    def adversary_parameters(self) -> Sequence[nn.Parameter]:
        """The method's parameters that `adversary_losses` trains."""
        return ()

    def adversary_optimiser(self) -> dict[str, Any]:
        """Of the adversary's parameters: optimiser ("adam" or "sgd"), learning_rate, momentum."""
        return {}

    def begin_epoch(self, epoch: int) -> None:
        """Called before epoch number `epoch` (from 0), and before a state from the middle of it is
        taken back."""

    def end_step(self) -> None:
        """Called after every step of the networks' optimiser."""

    def end_epoch(self) -> dict[str, float]:
        """Closes the epoch and returns what is to be logged of it (finite numbers only)."""
        return {}

    def schedule_state(self) -> dict:
        """What the method keeps from batch to batch and from epoch to epoch beside parameters and
        buffers, JSON-able."""
        return {}

    def load_schedule_state(self, state: dict) -> None:
        """Takes back what `schedule_state` gave."""

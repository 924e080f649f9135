"""Records shared by all modules: batches, representations, run specifications, run records."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from amid.io.canonical_json import canonical_json

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from amid.core.distributed import BatchSlice
    from amid.core.video_clips import Clips


@dataclass(frozen=True)
class Batch:
    """Samples of one split, or a part of them, as tensors.

    target: (B, ...) features of the modality the student sees, or videos not read yet; where
        several processes train together, those that this one has.
    auxiliary: per auxiliary modality the (B, E) embeddings of its frozen extractor.
    labels: (B,) int64 class indices; of training samples without a label UNLABELLED
        (amid.losses).
    samples: (B,) int64 positions in the whole split, by which memory banks know their samples.
    teacher, teacher_logits: (B, D), (B, C) of a fixed teacher trained before, where there is one.
    complete: (B,) bool, False for training samples that lack an auxiliary modality (its embedding
        is 0 there); None when none does. Complete samples have the lower positions in `samples`,
        and among these the ones with a label.
    seen: per auxiliary modality (B,), 0 for samples whose embedding a teacher in training does not
        see, else 1; None where it sees all.
    partner_labels, partner_shares: (B,) int64 and float32, of the sample that is mixed into each
        (amid.training.mixing): its class index, UNLABELLED where the sample itself has no label,
        and its share in 0..0.5; None in a run that mixes nothing.
    """

    target: Tensor | Clips | BatchSlice
    auxiliary: dict[str, Tensor]
    labels: Tensor
    samples: Tensor
    teacher: Tensor | None = None
    teacher_logits: Tensor | None = None
    complete: Tensor | None = None
    seen: dict[str, Tensor] | None = None
    partner_labels: Tensor | None = None
    partner_shares: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Tensor) -> Batch:
        """The samples at `rows` (K,) int64."""

        def at(values: Any) -> Any:
            if values is None:
                return None
            if isinstance(values, dict):
                return {name: at(value) for name, value in values.items()}
            return values.index_select(0, rows)  # several times faster than values[rows]

        return Batch(**{name: at(getattr(self, name)) for name in self.__dataclass_fields__})

    def to(self, device: torch.device) -> Batch:
        """The same samples on `device`. Videos that are not read yet are not moved."""

        def moved(values: Any) -> Any:
            if isinstance(values, dict):
                return {name: moved(value) for name, value in values.items()}
            return values.to(device, non_blocking=True) if hasattr(values, "to") else values

        return Batch(**{name: moved(getattr(self, name)) for name in self.__dataclass_fields__})

    def labelled(self) -> Batch:
        """The samples that have a label; itself where all have one."""
        known = self.labels >= 0  # (B,)
        return self if bool(known.all()) else self.take(known.nonzero().squeeze(1))

    def split_complete(self) -> tuple[Batch, Batch | None]:
        """The complete samples, and those that lack an auxiliary modality (None if none does)."""
        if self.complete is None or bool(self.complete.all()):
            return self, None
        parts = (flags.nonzero().flatten() for flags in (self.complete, ~self.complete))
        complete, incomplete = (self.take(rows) for rows in parts)
        return complete, incomplete


@dataclass(frozen=True)
class Representations:
    """Outputs of the networks on one batch. Without a teacher or auxiliary model they are None.

    student T, auxiliary A, teacher F: (B, D); logits: (B, C).
    modalities: per auxiliary modality the (B, E) embeddings that A is made of.
    samples: (B,) int64 positions in the split, as in Batch.
    """

    student: Tensor
    student_logits: Tensor
    samples: Tensor
    auxiliary: Tensor | None = None
    teacher: Tensor | None = None
    teacher_logits: Tensor | None = None
    modalities: dict[str, Tensor] = field(default_factory=dict)

    def as_float32(self) -> Representations:
        """The same in float32, but for the modalities' embeddings, which no network computed."""
        names = ("student", "student_logits", "auxiliary", "teacher", "teacher_logits")
        found = {name: getattr(self, name) for name in names}
        return replace(self, **{n: None if v is None else v.float() for n, v in found.items()})


@dataclass(frozen=True)
class RunSpec:
    """Everything that changes a training run's result, and nothing else.

    options: of the method, canonical (numbers without effect left out).
    corpus: the split trained on, "train" or, for auxiliary extractors, "auxiliary".
    features: fingerprint of the arrays trained on. code: fingerprint of the modules that train.
    teacher: key of the run whose teacher is distilled, for methods with a fixed one.
    selection: which samples of a batch are trained on (amid.selection), None for all.
    mismatch_ratio: share of the training samples whose auxiliary modalities are another sample's.
    """

    dataset: str
    method: str
    options: dict[str, Any]
    target: str
    auxiliary: tuple[str, ...]
    network: dict[str, Any]
    training: dict[str, Any]
    seed: int
    fold: int | None
    corpus: str
    features: str
    code: str
    teacher: str | None = None
    selection: dict[str, Any] | None = None
    mismatch_ratio: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "auxiliary": list(self.auxiliary)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        return cls(**{**values, "auxiliary": tuple(values["auxiliary"])})

    @property
    def key(self) -> str:
        """The name of the run: 20 hexadecimal digits of the sha256 of the specification."""
        return hashlib.sha256(canonical_json(self.to_dict()).encode()).hexdigest()[:20]


@dataclass(frozen=True)
class RunRecord:
    """Results of a finished run, from which the tables are made.

    history: one dict of metrics an epoch, oldest first.
    best_epoch: index of the first epoch with the highest validation accuracy of the head in
        `selected_on` ("student" or "teacher"), or of the last one, as `choose` in the training's
        numbers has it. It is never selected on test.
    predictions: {"best" | "last": {"student" | "teacher": predicted class index a test clip}}.
    clips, labels: ids and true class indices of the test clips, in the order of the predictions.
    extractors: per auxiliary modality, what its frozen extractor was trained on.
    retrieval: {"best" | "last": {"r@1", "r@5", "r@10", "map": share}}, test clips as queries in the
        training clips by the student's representations; empty for a run without a student.
    steps: of the whole run, "steps" of the optimiser, "samples" that went forward and backward,
        "scored" samples that only went forward to be chosen among; where training samples lack an
        auxiliary modality, "incomplete" ones of "samples", which had the student's cross-entropy
        alone; where training samples lack a label, "unlabelled" ones of "samples".
    """

    spec: RunSpec
    history: list[dict[str, float]]
    best_epoch: int
    selected_on: str
    predictions: dict[str, dict[str, list[int]]]
    clips: list[str]
    labels: list[int]
    classes: list[str]
    extractors: dict[str, dict[str, Any]] = field(default_factory=dict)
    retrieval: dict[str, dict[str, float]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.spec.key

    def accuracy(self, head: str, at: str = "best") -> float | None:
        """Test Top-1 (0..1) of "student" or "teacher" at the "best" or "last" epoch."""
        predicted = self.predictions[at].get(head)
        if predicted is None:
            return None
        return sum(p == y for p, y in zip(predicted, self.labels, strict=True)) / len(self.labels)

    def to_json(self) -> str:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return canonical_json({**values, "spec": self.spec.to_dict(), "run": self.key}) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        values = json.loads(text)
        values.pop("run")
        return cls(**{**values, "spec": RunSpec.from_dict(values["spec"])})

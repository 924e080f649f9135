"""The adversarial bound of H(F|T): Eqs. 11-14. All `d*` are logits of the discriminators."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from amid.losses import UNLABELLED
from amid.losses.cosine import cosine_matrix
from amid.losses.labels import known_pairs

Form = Literal["non_saturating", "saturating", "least_squares"]


def repeated_class_mask(labels: Tensor) -> Tensor:
    """Which samples' class occurs more than once in the batch: (B,) -> (B,) bool.

    They make up T-hat and F-hat of Eqs. 12, 13; the mean of the mask is eta. A sample without a
    label (amid.losses.labels) is none of them.
    """
    return ((labels[:, None] == labels).sum(dim=1) > 1) & (labels != UNLABELLED)


def _mean(values: Tensor) -> Tensor:
    """Mean, 0 without samples: (N,) -> scalar."""
    return values.sum() / max(len(values), 1)


def _real(logits: Tensor, form: Form) -> Tensor:
    """What a discriminator pays for samples of the teacher: (N,) -> scalar."""
    if form == "least_squares":
        return _mean((logits - 1).square() / 2)
    return -_mean(logsigmoid(logits))


def _fake(logits: Tensor, form: Form) -> Tensor:
    """What a discriminator pays for samples of the student: (N,) -> scalar."""
    if form == "least_squares":
        return _mean(logits.square() / 2)
    return -_mean(logsigmoid(-logits))


def _fooled(logits: Tensor, form: Form) -> Tensor:
    """What the student pays for being told from the teacher: (N,) -> scalar."""
    return -_fake(logits, form) if form == "saturating" else _real(logits, form)


def student_adversarial(
    d1_student: Tensor,
    d2_student: Tensor,
    weights: Tensor | Sequence[float],
    frequency: Tensor | float,
    form: Form = "non_saturating",
) -> Tensor:
    """L_adv of Eqs. 11, 12: w1 E[-log D1(T)] + w2 eta E[-log D2(T-hat)], in nats.

    (B,), (B_hat,), (w1, w2), eta in [0, 1] -> scalar. Status: the sum is forced, the form and the
    place of eta are choices. The second part is 0 when B_hat = 0.

    form: "non_saturating" as above; "saturating" has log(1 - D) for -log D (Goodfellow et al.,
    2014); "least_squares" (D - 1)^2 / 2, D the plain output (Mao et al., 2017).
    """
    enhanced = frequency * _fooled(d2_student, form)
    value = weights[0] * _fooled(d1_student, form) + weights[1] * enhanced
    return value.to(d1_student.dtype)  # scalar weights in float64 would widen a scalar loss


def discriminator(
    d1_teacher: Tensor,
    d1_student: Tensor,
    d2_teacher: Tensor,
    d2_student: Tensor,
    frequency: Tensor | float,
    form: Form = "non_saturating",
) -> Tensor:
    """L_D of Eq. 13, what D1 and D2 minimise; the teacher is real, the student fake; in nats.

    (B,), (B,), (B_hat,), (B_hat,), eta in [0, 1] -> scalar. Status: the form is forced, leaving out
    w1, w2 is a choice. The second part is 0 when B_hat = 0. Callers give logits of detached
    representations. form: as of `student_adversarial`; the first two share this loss, the third
    has (D - 1)^2 / 2 for the teacher's and D^2 / 2 for the student's samples.
    """
    fundamental = _real(d1_teacher, form) + _fake(d1_student, form)
    enhanced = _real(d2_teacher, form) + _fake(d2_student, form)
    return fundamental + frequency * enhanced


class DynamicWeights:
    """The weights (w1, w2) of Eq. 14, from how alike teacher and student were in past epochs.

    At the end of each epoch
        S1 = mean of cos(F_i, T_i) over all samples,
        S2 = mean of cos(F_i, T_j) over all ordered pairs i != j of one class and one batch,
        Q <- smoothing Q + (1 - smoothing) S, starting from Q = S, and (w1, w2) = softmax(-Q1, -Q2).
    An epoch without a pair keeps the former S2. Until both are measured the weights are (1/2, 1/2).

    Status: the direction (the more alike, the less weight) is forced, averaging Q is a choice.

    weights: (2,) float64 on the CPU. similarities, averages: (S1, S2) and (Q1, Q2), NaN before the
    first measurement.
    """

    def __init__(self, smoothing: float) -> None:
        self.smoothing = smoothing
        self.similarities = (math.nan, math.nan)
        self.averages = (math.nan, math.nan)
        # Sums and counts of the running epoch: numbers or scalar tensors of the batches' device, so
        # that update() never waits for it. Float64 both ways, hence exact in state_dict().
        self._sums: list[Tensor | float] = [0.0, 0.0]
        self._counts: list[Tensor | float] = [0.0, 0.0]
        self.weights = self._weights()

    def update(self, teacher: Tensor, student: Tensor, labels: Tensor) -> None:
        """Adds a batch to the running epoch: (B, D), (B, D), (B,). No gradient is kept."""
        with torch.no_grad():
            cosines = cosine_matrix(teacher, student)  # (B, B)
            same = known_pairs(labels)[0].fill_diagonal_(False)  # (B, B)
            pairs = torch.where(same, cosines, 0.0).sum(dtype=torch.float64)
            self._sums[0] = self._sums[0] + cosines.diagonal().sum(dtype=torch.float64)
            self._sums[1] = self._sums[1] + pairs
            self._counts[0] = self._counts[0] + len(labels)
            self._counts[1] = self._counts[1] + same.sum(dtype=torch.float64)

    def end_epoch(self) -> None:
        """Closes the running epoch: new similarities, averages and weights."""
        measured = [
            float(total) / float(count) if count else former
            for total, count, former in zip(
                self._sums, self._counts, self.similarities, strict=True
            )
        ]
        self.similarities = (measured[0], measured[1])
        self.averages = (
            self._average(self.averages[0], measured[0]),
            self._average(self.averages[1], measured[1]),
        )
        self._sums, self._counts = [0.0, 0.0], [0.0, 0.0]
        self.weights = self._weights()

    def _average(self, former: float, measured: float) -> float:
        if math.isnan(former):
            return measured
        return self.smoothing * former + (1 - self.smoothing) * measured

    def _weights(self) -> Tensor:
        averages = torch.tensor(self.averages, dtype=torch.float64)  # (2,)
        if averages.isnan().any():
            return torch.full((2,), 0.5, dtype=torch.float64)
        return torch.softmax(-averages, dim=0)

    def state_dict(self) -> dict[str, float | None]:
        """The whole state, the running epoch's sums included; JSON keeps it exactly."""
        values = {
            "s1": self.similarities[0],
            "s2": self.similarities[1],
            "q1": self.averages[0],
            "q2": self.averages[1],
            "sum1": float(self._sums[0]),
            "sum2": float(self._sums[1]),
            "count1": float(self._counts[0]),
            "count2": float(self._counts[1]),
        }
        return {name: None if math.isnan(value) else value for name, value in values.items()}

    def load_state_dict(self, state: dict[str, float | None]) -> None:
        """Restores what state_dict() gave; `smoothing` stays as constructed."""
        values = {name: math.nan if value is None else value for name, value in state.items()}
        self.similarities = (values["s1"], values["s2"])
        self.averages = (values["q1"], values["q2"])
        self._sums = [values["sum1"], values["sum2"]]
        self._counts = [values["count1"], values["count2"]]
        self.weights = self._weights()

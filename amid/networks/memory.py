"""Memory banks of past representations, and the negatives drawn from them (CRD, CRCD)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from amid.core.reproducible import derive_seed
from amid.losses.cosine import unit_rows
from amid.losses.crd import Drawn, bank_logits, drawn_contrastive, noise_contrastive_logits
from amid.networks.crossmodal import init_seeded

if TYPE_CHECKING:
    from amid.core.types import Representations


class MemoryBank(nn.Module):
    """One unit row a training sample: (N, d), at random first, then moving averages.

    normaliser: Z of the scores against this bank, fixed by the first batch; 0 until then.
    A score is the exponential of a logit.
    Source: RepDistiller's ContrastMemory.
    """

    rows: Tensor
    normaliser: Tensor

    def __init__(self, samples: int, dim: int, momentum: float, seed: int) -> None:
        super().__init__()
        self.momentum = momentum
        generator = torch.Generator().manual_seed(seed)
        first = torch.rand(samples, dim, generator=generator) * 2 - 1  # (N, d)
        self.register_buffer("rows", unit_rows(first))
        self.register_buffer("normaliser", torch.zeros(()))

    def at(self, samples: Tensor | None) -> Tensor:
        """The rows (K, d) of `samples` (K,) int64, or all rows for None."""
        if samples is None:
            return self.rows
        return self.rows.index_select(0, samples)  # several times faster than rows[samples]

    @torch.no_grad()
    def update(self, samples: Tensor, representations: Tensor) -> None:
        """Moves the rows of `samples` (B,) towards unit `representations` (B, d)."""
        past = self.at(samples)  # (B, d)
        self.rows[samples] = unit_rows(past.lerp(representations.detach(), 1 - self.momentum))

    def contrast(self, positive: Tensor, negatives: Tensor, weights: Tensor) -> Tensor:
        """CRD's estimator on scores / Z, from logits (R,), (R, K') and multiplicities (R, K')."""
        if not self.normaliser:
            self._set_normaliser(positive, negatives, weights)
        return noise_contrastive_logits(
            positive, negatives, len(self.rows), weights, self.normaliser.log()
        )

    def contrast_drawn(
        self, anchors: Tensor, samples: Tensor, drawn: Drawn, temperature: float
    ) -> Tensor:
        """CRD's estimator on scores / Z of anchors (B, d) and the rows of their samples (B,), as
        against drawn rows."""
        positive = (anchors * self.at(samples)).sum(1) / temperature  # (B,)
        if not self.normaliser:
            with torch.no_grad():
                negatives = bank_logits(anchors, self.at(drawn.candidates), temperature)  # (B, K')
            self._set_normaliser(positive, negatives, drawn.weights())
        return drawn_contrastive(
            anchors, positive, self.rows, drawn, temperature, self.normaliser.log()
        )

    @torch.no_grad()
    def _set_normaliser(self, positive: Tensor, negatives: Tensor, weights: Tensor) -> None:
        """Z is N times the mean score of the first batch's positives and drawn negatives."""
        total = positive.exp().sum() + (weights * negatives.exp()).sum()
        self.normaliser = total / (len(positive) + weights.sum()) * len(self.rows)


class PairedBanks(nn.Module):
    """A linear head and a memory bank for each of student and fixed teacher: T, F -> (B, d)."""

    def __init__(self, length: int, dim: int, samples: int, momentum: float, seed: int) -> None:
        super().__init__()
        names = ("student", "teacher")
        self.heads = nn.ModuleDict(
            {n: init_seeded(lambda: nn.Linear(length, dim), seed, f"{n}_head") for n in names}
        )
        self.banks = nn.ModuleDict(
            {n: MemoryBank(samples, dim, momentum, derive_seed(seed, f"{n}_bank")) for n in names}
        )

    def forward(self, reps: Representations) -> tuple[Tensor, Tensor]:
        """Unit rows of both heads, in whose space T and the fixed F can be compared."""
        student = self.heads["student"](reps.student)  # (B, d)
        teacher = self.heads["teacher"](reps.teacher)  # (B, d)
        self._last = (reps.samples, unit_rows(student), unit_rows(teacher))
        return self._last[1:]

    def sides(self, student: Tensor, teacher: Tensor) -> dict[str, tuple[Tensor, MemoryBank]]:
        """Side -> (its representations (B, d) as anchors, the other side's bank)."""
        return {
            "student": (student, self.banks["teacher"]),
            "teacher": (teacher, self.banks["student"]),
        }

    def update(self) -> None:
        """Moves both banks towards the last batch's representations. Called after the backward
        pass, which needs the old rows."""
        samples, student, teacher = self._last
        self.banks["student"].update(samples, student)
        self.banks["teacher"].update(samples, teacher)


class Negatives:
    """Draws `count` samples of other classes for each of a batch.

    One set of candidates serves the whole batch, so that matrix products score them. Where the
    other classes hold fewer than `count` samples, the published codes draw with replacement; here
    every sample has its expected multiplicity count / M instead (the same mean, no noise).
    Where they hold more, candidates are drawn for each batch with replacement: so many
    that `count` of them are of other classes on average, weighted to add up to `count` exactly.
    """

    def __init__(self, labels: Tensor, count: int) -> None:
        self.labels, self.count = labels, count
        self.frequencies = torch.bincount(labels)  # of the classes
        others = 1 - int(self.frequencies.max()) / len(labels)  # share, at the least
        self.wanted = math.ceil(count / others) if others else len(labels)

    def draw(self, labels: Tensor) -> Drawn:
        """Negatives for samples of classes `labels` (B,)."""
        if self.wanted >= len(self.labels):
            others = len(self.labels) - self.frequencies.index_select(0, labels)  # (B,)
            sizes = [len(self.labels)]
            return Drawn(None, sizes, (labels, self.labels), others, self.count)
        positions = torch.randint(len(self.labels), (self.wanted,))
        times = torch.bincount(positions)  # each is scored once, however often it was drawn
        distinct = times.nonzero().flatten()
        times = times.index_select(0, distinct)
        by_times = [distinct[times == n] for n in range(1, int(times.max()) + 1)]
        candidates = torch.cat(by_times).to(labels.device)  # (K',)
        theirs = self.labels.index_select(0, candidates)
        classes = self.labels.index_select(0, positions.to(labels.device))
        frequencies = torch.bincount(classes, minlength=len(self.frequencies))
        others = self.wanted - frequencies.index_select(0, labels)  # (B,)
        return Drawn(candidates, [len(p) for p in by_times], (labels, theirs), others, self.count)

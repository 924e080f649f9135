"""Label smoothing beside a method's losses: cross-entropies to smoothed labels, and no others."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from amid.core.types import Representations
from amid.methods.base import Method, Sizes
from amid.methods.baseline import build as build_baseline
from amid.methods.gmc import build as build_gmc
from amid.methods.teacher import build as build_teacher

SIZES = Sizes(dim=6, slope=0.2, classes=4, samples=9, auxiliary={"audio": 6}, seed=0)
LABELS = torch.tensor([0, 3, 1, 1, 2])


def representations() -> Representations:
    torch.manual_seed(0)
    one, other = (torch.randn(5, 6, requires_grad=True) for _ in range(2))
    logits, others = (torch.randn(5, 4, requires_grad=True) for _ in range(2))
    return Representations(one, logits, torch.arange(5), None, other, others)


@pytest.mark.parametrize(
    ("build", "head"), [(build_baseline, "student"), (build_teacher, "teacher")]
)
def test_the_sum_is_the_cross_entropy_to_smoothed_labels(build, head) -> None:
    method, reps = build({}, SIZES), representations()
    terms = method.losses(reps, LABELS) | method.smoothing(reps, LABELS, 0.2)
    want = cross_entropy(getattr(reps, f"{head}_logits"), LABELS, label_smoothing=0.2)
    torch.testing.assert_close(sum(terms.values()), want)
    assert method.smoothing(reps, LABELS, 0.0) == {}


def test_gmcs_student_has_no_labels_to_smooth() -> None:
    reps = representations()
    method = build_gmc({"weight": 0.0}, SIZES)
    terms = method.losses(reps, LABELS) | method.smoothing(reps, LABELS, 0.3)
    want = cross_entropy(reps.teacher_logits, LABELS, label_smoothing=0.3)
    torch.testing.assert_close(sum(terms.values()), want)


class Weighted(Method):
    """A student's cross-entropy by a weight of its options, and a fixed teacher."""

    def __init__(self) -> None:
        super().__init__()
        self.options = {"classification_weight": 0.1}

    def losses(self, reps: Representations, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"classification": 0.1 * cross_entropy(reps.student_logits, labels)}


def test_a_weighted_cross_entropy_is_smoothed_by_its_weight_and_a_fixed_teachers_is_not() -> None:
    reps, method = representations(), Weighted()
    reps.teacher_logits.requires_grad_(False)
    terms = method.losses(reps, LABELS) | method.smoothing(reps, LABELS, 0.5)
    want = 0.1 * cross_entropy(reps.student_logits, LABELS, label_smoothing=0.5)
    torch.testing.assert_close(sum(terms.values()), want)

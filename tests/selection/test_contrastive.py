"""The rules of contrastive pre-training, one batch after another, by hand-made scores."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from amid.selection.contrastive import PairSelector, Scores, keep_largest, keep_smallest
from amid.selection.pair_rules import NUMBERS, RULES
from tests import golden_numbers as golden

COPY = golden.GOLDEN / "contrastive.json"
ALL = torch.arange(6)


@pytest.mark.parametrize(
    "case", golden.cases("amid.selection", COPY.name), ids=lambda case: case["name"]
)
def test_golden(case) -> None:
    inputs = golden.arguments(case)
    result = golden.function(case)(**inputs)
    golden.assert_close(result, case["expected"], case["rtol"], case["atol"], case["name"])


def scores(similarities: list[float], losses: list[float] | None = None) -> Scores:
    given = similarities if losses is None else losses
    return Scores(torch.tensor(given), torch.tensor(similarities))


def never() -> Scores:
    raise AssertionError("scored in vain")


def selector(name: str, wrong: Tensor | None = None, ratio: float = 0.5) -> PairSelector:
    numbers = {"warmup_epochs": 2, "momentum": 0.9}
    own = {key: numbers[key] for key in NUMBERS.get(name, ())}
    return PairSelector({"name": name, "ratio": ratio, **own}, 6, wrong)


def kept(one: PairSelector, found: Scores, epoch: int = 0, samples: Tensor = ALL) -> list[int]:
    one.begin_epoch(epoch)
    return one.choose(samples, lambda: found).tolist()


def test_equal_scores_keep_the_lower_index_and_at_least_one_is_kept() -> None:
    ties = torch.tensor([1.0, 2.0, 2.0, 1.0, 2.0])
    assert keep_largest(ties, 0.4).tolist() == [1, 2]
    assert keep_smallest(ties, 0.2).tolist() == [0]
    assert keep_largest(ties, 0.01).tolist() == [1]


def test_rules_without_memory() -> None:
    found = scores([5.0, -9.0, 60.0, 20.0, -1.0, 8.0], [3.0, 6.0, 1.0, 2.0, 5.0, 4.0])
    assert kept(selector("small_loss"), found) == [0, 2, 3]
    assert kept(selector("big_loss"), found) == [1, 4, 5]
    assert kept(selector("clipscore"), found) == [2, 3, 5]
    low = scores([-5.0, -9.0, -60.0, -20.0, -1.0, -8.0])  # not clamped
    assert kept(selector("clipscore"), low) == [0, 4, 5]


def test_random_and_oracle_never_score() -> None:
    torch.manual_seed(0)
    found = [tuple(selector("random").choose(ALL, never).tolist()) for _ in range(20)]
    assert all(len(set(one)) == 3 and list(one) == sorted(one) for one in found)
    assert len(set(found)) > 5
    wrong = torch.tensor([True, False, True, False, True, False])
    assert selector("oracle", wrong).choose(ALL, never).tolist() == [1, 3, 5]
    # More places than right pairs: wrong ones fill them.
    assert selector("oracle", wrong, 5 / 6).choose(ALL, never).tolist() == [0, 1, 2, 3, 5]
    assert selector("oracle", wrong).choose(torch.tensor([5, 4, 2, 1]), never).tolist() == [0, 3]


def test_no_other_rule_is_told_which_pairs_are_wrong() -> None:
    wrong = torch.zeros(6, dtype=torch.bool)
    for name in RULES:
        if name != "oracle":
            with pytest.raises(ValueError, match="oracle"):
                selector(name, wrong)
    with pytest.raises(ValueError, match="oracle"):
        selector("oracle")


def test_warm_up_version() -> None:
    one = selector("dissect_warmup")  # two epochs of warm-up
    one.begin_epoch(0)
    assert len(one.choose(ALL, never)) == 3  # what the first one scores would never be read
    assert (one.history == 0).all()
    history = [10.0, 20.0, 30.0, 40.0, -50.0, 60.0]
    assert len(kept(one, scores(history), epoch=1)) == 3
    clamped = [10.0, 20.0, 30.0, 40.0, 0.0, 60.0]
    assert one.history.tolist() == clamped
    # h - s: 5, -10, 20, 39, 0, -1, whatever all of them are shifted by
    now = scores([5.0, 30.0, 10.0, 1.0, -7.0, 61.0])
    assert kept(one, now, epoch=2) == [0, 2, 3]
    assert one.history.tolist() == clamped  # it never changes again
    assert kept(one, scores([30.0, 10.0]), 3, torch.tensor([5, 0])) == [0]  # by the pair's number


def test_momentum_version_keeps_the_least_similar_at_first() -> None:
    one = selector("dissect_momentum")
    first = scores([5.0, 60.0, -9.0, 20.0, 8.0, 30.0])
    assert kept(one, first) == [0, 2, 4]
    assert one.history.tolist() == [5.0, 60.0, 0.0, 20.0, 8.0, 30.0]
    second = scores([50.0, 10.0, 0.0, 15.0, 8.0, 40.0])  # h - s: -45, 50, 0, 5, 0, -10
    assert kept(one, second, epoch=1) == [1, 2, 3]
    want = torch.tensor([9.5, 55.0, 0.0, 19.5, 8.0, 31.0])
    torch.testing.assert_close(one.history, want)


def test_memory_is_four_bytes_a_pair() -> None:
    for name in RULES:
        wrong = torch.zeros(6, dtype=torch.bool) if name == "oracle" else None
        state = selector(name, wrong).state_dict()
        size = sum(value.numel() * value.element_size() for value in state.values())
        assert size == (24 if name.startswith("dissect") else 0), name

"""Ranks and recalls by explicit counting, and by the project's own nearest neighbours."""

from __future__ import annotations

import pytest
import torch

from amid.contrastive import evaluation
from amid.contrastive.evaluation import pair_ranks, retrieval
from amid.training.retrieval import nearest


def rows(seed: int, size: int, dim: int = 3) -> torch.Tensor:
    return torch.randn(size, dim, generator=torch.Generator().manual_seed(seed))


def test_ranks_are_the_places_among_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, gallery = rows(0, 60), rows(1, 60)
    _, indices = nearest(queries, gallery, 60)
    want = [row.tolist().index(n) + 1 for n, row in enumerate(indices)]
    assert pair_ranks(queries, gallery).tolist() == want
    monkeypatch.setattr(evaluation, "QUERIES_A_BLOCK", 7)
    assert pair_ranks(queries, gallery).tolist() == want


def test_equal_cosines_rank_by_index_and_zero_rows_have_cosine_0() -> None:
    gallery = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 0.0], [-1.0, 0.0]])
    queries = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    assert pair_ranks(queries, gallery).tolist() == [1, 2, 3, 4]


def test_retrieval_both_ways() -> None:
    a = torch.eye(4)
    b = torch.eye(4)[[0, 1, 3, 2]]  # clips 2 and 3 exchanged
    found = retrieval({"audio": a, "text": b})
    # of clip 2: its own row has cosine 0, after clip 3's with 1 and those before it with 0
    assert pair_ranks(a, b).tolist() == [1, 1, 4, 4]
    assert found["audio_to_text_r@1"] == found["text_to_audio_r@1"] == found["r@1"] == 0.5
    assert found["r@5"] == 1.0
    assert found["median_rank"] == 2.5
    assert retrieval({"audio": a[:0], "text": b[:0]}) == {}


def test_means_are_over_all_ordered_pairs_of_modalities() -> None:
    found = retrieval({"a": rows(0, 30), "b": rows(1, 30), "c": rows(2, 30)})
    ways = [name for name in found if name.endswith("_r@5")]
    assert len(ways) == 6
    assert found["r@5"] == pytest.approx(sum(found[name] for name in ways) / 6)

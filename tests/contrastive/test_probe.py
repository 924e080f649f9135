"""Linear probe and nearest neighbours of the trained encoders: right values, right labels."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from amid.contrastive import probe
from amid.contrastive.pairs import _load, load_pairs, mismatch
from amid.core.types import RunRecord
from amid.runs.multiprocess import launch
from amid.training.job import TrainingJob
from tests.pairs import COUNTS, change_index, small_pair_run, write_pairs


def rows(seed: int, size: int, dim: int = 5) -> Tensor:
    return torch.randn(size, dim, generator=torch.Generator().manual_seed(seed))


def test_knn_is_a_weighted_vote_by_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "NEIGHBOURS", 7)
    train, queries = rows(0, 50), rows(1, 30)
    labels = torch.arange(50) % 4
    want = []
    for query in queries:
        cosines = [float(query @ row / query.norm() / row.norm()) for row in train]
        near = sorted(range(50), key=lambda n: -cosines[n])[:7]
        votes = [sum(math.exp(cosines[n] / 0.07) for n in near if n % 4 == c) for c in range(4)]
        want.append(votes.index(max(votes)))
    assert probe.knn(train, labels, queries, 4).tolist() == want


def test_fewer_rows_than_neighbours_all_vote() -> None:
    train = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    labels = torch.tensor([0, 1, 1])
    queries = torch.tensor([[1.0, 0.1], [0.1, 1.0], [0.0, 0.0]])
    assert probe.knn(train, labels, queries, 2).tolist() == [0, 1, 1]


def test_the_linear_probe_is_a_logistic_regression_on_standardised_columns() -> None:
    train, queries, labels = rows(0, 60), rows(1, 40), torch.arange(60) % 3
    train[:, 0] = 1000 * (train[:, 0] + labels)  # the scale of a column does not matter
    queries[:, 0] *= 1000
    values = train.double().numpy()
    mean, std = values.mean(0), values.std(0)
    model = LogisticRegression(C=0.1, max_iter=1000).fit((values - mean) / std, labels.numpy())
    want = model.predict((queries.double().numpy() - mean) / std)
    found = probe.linear(train, labels, queries)
    assert found.tolist() == want.tolist()
    assert len(set(found.tolist())) == 3


def label(data: Path) -> None:
    numbers = np.arange(sum(COUNTS.values())) % 3
    _load.cache_clear()
    change_index(data, label=[["a", "b", "c"][n] for n in numbers], label_index=numbers)


def test_labels_follow_the_modality_that_a_wrong_pair_was_given(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "avsentences")
    label(data)
    found = load_pairs(data, small_pair_run(data, mismatch_ratio=0.25).spec)
    own, source = torch.arange(48) % 3, mismatch(48, 0.25)
    assert found.labels["audio"].tolist() == own.tolist()
    assert found.labels["text"].tolist() == own[source].tolist()
    assert found.labels["text"].tolist() != own.tolist()
    assert found.test_labels == [(64 + n) % 3 for n in range(20)]
    assert found.classes == ["a", "b", "c"]


def test_a_run_on_labelled_pairs_is_probed_and_trains_as_one_without_labels(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "avsentences")
    run = small_pair_run(data, mismatch_ratio=0.0)
    plain = launch(TrainingJob(run.spec, data, tmp_path / "plain"))
    assert plain.labels == plain.classes == []
    features = torch.from_numpy(np.load(data / "features" / "text.npy"))
    halves = (features @ rows(3, 12, 1)).squeeze(1) > 0  # a direction that the text encoder sees
    change_index(
        data,
        label=["yes" if half else "no" for half in halves.tolist()],
        label_index=halves.numpy().astype(np.int64),
    )
    _load.cache_clear()
    record = launch(TrainingJob(run.spec, data, tmp_path / "labelled"))
    assert RunRecord.from_json(record.to_json()) == record
    assert record.history == plain.history
    assert record.retrieval == plain.retrieval
    assert record.classes == ["no", "yes"]
    assert record.labels == halves[64:].long().tolist()
    heads = ["audio_linear", "audio_knn", "text_linear", "text_knn"]
    assert list(record.predictions["best"]) == heads
    assert record.predictions["last"] == {}
    chance = max(np.bincount(record.labels)) / 20
    assert record.accuracy("text_linear") > max(0.7, chance)
    assert record.accuracy("audio_linear") > max(0.7, chance)


def test_nothing_is_probed_without_test_clips_or_with_one_class() -> None:
    one = {"audio": rows(0, 10)}
    labels, same = {"audio": torch.arange(10) % 2}, {"audio": torch.zeros(10, dtype=torch.int64)}
    assert probe.predictions(one, labels, {"audio": rows(1, 0)}, 2) == {}
    assert probe.predictions(one, same, {"audio": rows(1, 4)}, 2) == {}
    found = probe.predictions(one, labels, {"audio": rows(1, 4)}, 2)
    assert set(found) == {"audio_linear", "audio_knn"}
    assert all(len(predicted) == 4 for predicted in found.values())

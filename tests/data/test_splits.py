"""Splits, held-out clips of a corpus of its own, and mismatched pairs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from amid.data.splits import load_splits, mismatch
from tests.small import small_run, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "avlips")


def test_an_extractors_corpus_validates_on_a_fifth_of_itself(data: Path) -> None:
    spec = dataclasses.replace(small_run(data, "student_alone").spec, corpus="auxiliary")
    splits = load_splits(data, spec)
    assert (len(splits.train), len(splits.validation)) == (32 - 6, 6)
    trained, held = (set(map(tuple, b.target.flatten(1).tolist())) for b in
                     (splits.train, splits.validation))  # fmt: skip
    own = load_splits(data, small_run(data, "student_alone").spec)
    other = {row for b in (own.train, own.validation, own.test)
             for row in map(tuple, b.target.flatten(1).tolist())}  # fmt: skip
    assert not trained & held
    assert not (trained | held) & other


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_a_share_of_the_samples_gets_anothers_auxiliary_modalities(data: Path, share) -> None:
    train = load_splits(data, small_run(data, "amid").spec).train
    mixed = mismatch(train, share)
    changed = (mixed.auxiliary["audio"] != train.auxiliary["audio"]).any(1)
    assert int(changed.sum()) == round(share * len(train))
    rows = sorted(map(tuple, mixed.auxiliary["audio"].tolist()))
    assert rows == sorted(map(tuple, train.auxiliary["audio"].tolist()))
    assert torch.equal(mixed.target, train.target)
    assert torch.equal(mixed.labels, train.labels)


def test_a_larger_share_holds_the_smaller_and_no_seed_changes_it(data: Path) -> None:
    train = load_splits(data, small_run(data, "amid").spec).train

    def changed(share: float) -> set[int]:
        mixed = mismatch(train, share).auxiliary["audio"]
        return set((mixed != train.auxiliary["audio"]).any(1).nonzero().flatten().tolist())

    assert changed(0.2) < changed(0.4)
    runs = [small_run(data, "amid", seed, overrides={"mismatch_ratio": 0.4}) for seed in (0, 1)]
    one, two = (load_splits(data, run.spec) for run in runs)
    assert torch.equal(one.train.auxiliary["audio"], two.train.auxiliary["audio"])
    clean = load_splits(data, small_run(data, "amid").spec)
    assert torch.equal(one.test.auxiliary["audio"], clean.test.auxiliary["audio"])


def test_a_batch_keeps_its_samples_positions_and_its_teachers_word(data: Path) -> None:
    train = load_splits(data, small_run(data, "amid").spec).train
    taught = dataclasses.replace(train, teacher=torch.randn(40, 3), teacher_logits=torch.eye(40))
    part = taught.take(torch.tensor([7, 3]))
    assert part.samples.tolist() == [7, 3]
    assert torch.equal(part.teacher, taught.teacher[[7, 3]])
    assert part.teacher_logits.argmax(1).tolist() == [7, 3]

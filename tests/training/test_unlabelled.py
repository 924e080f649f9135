"""Training samples without a label: in each method's terms, in batches, folds and resumed runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy

from amid.data import manifest
from amid.data.splits import load_splits
from amid.errors import AmidError, Stopped
from amid.losses import UNLABELLED
from amid.losses.agreement import jensen_shannon
from amid.losses.gmc import joint_contrastive
from amid.losses.logits import softened_divergence, uniform_excess
from amid.training.batches import batch_count, repeated_batches, training_batches
from amid.training.trainer import Trainer
from tests.small import small_run, sum_all, untrained, write_data
from tests.training.test_strong import strong_run
from tests.training.test_trainer import Wholes, left_by, train, wholes

USED_BY = ["amid", "amid_ccl", "fixed_teacher", "l_ft", "gmc", "ccl", "kd", "kd_joint", "lskd"]
USED_BY += ["lskd_joint", "dist", "fitnets", "rkd", "c2kd", "c2kd_fixed", "cotrained", "mfh"]
LEFT_OUT_BY = ["student_alone", "teacher_alone", "crd", "crcd", "dkd", "ofakd"]
QUIET = [1, 2, 4, 5, 7, 9, 10, 11, 13, 14, 16, 17, 18, 19, 20, 22, 25, 26, 28, 31, 33, 35, 36, 38]


def quiet(folder: Path, rows: list[int], lacking: tuple[int, ...] = ()) -> Path:
    """The small data set, the clips at `rows` without a label and those `lacking` without sound."""
    write_data(folder, modalities=("audio", "text"))
    path = folder / "features" / "index.parquet"
    index = pd.read_parquet(path)
    index.loc[rows, "label"] = None
    index.loc[rows, "label_index"] = UNLABELLED
    index.loc[list(lacking), "has_audio"] = False
    index.to_parquet(path, index=False)
    sum_all(folder / "features", folder / "embeddings")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quiet(tmp_path_factory.mktemp("quiet") / "avlips", QUIET)


def test_the_index_of_no_class_is_one_number() -> None:
    assert manifest.UNLABELLED == UNLABELLED


def test_labelled_samples_come_first_and_classes_are_those_of_labels(data: Path) -> None:
    splits = load_splits(data, small_run(data, "amid").spec)
    train = splits.train
    assert len(train) == 40
    assert (train.labels[:16] >= 0).all()
    assert (train.labels[16:] == UNLABELLED).all()
    assert train.samples.tolist() == list(range(40))
    assert splits.classes == ["blue", "green", "red", "white"]
    assert len(train.labelled()) == 16
    whole = train.labelled()
    assert whole.labelled() is whole


def test_without_a_label_a_sample_has_all_modalities_or_is_left_out(tmp_path: Path) -> None:
    data = quiet(tmp_path / "avlips", QUIET, lacking=(0, 1, 3, 4))
    train = load_splits(data, small_run(data, "amid").spec).train
    assert len(train) == 38  # 1 and 4 have neither a label nor a sound
    complete, incomplete = train.split_complete()
    assert (incomplete.labels >= 0).all()
    assert complete.samples.tolist() == list(range(36))
    assert (complete.labels[:14] >= 0).all()
    assert (complete.labels[14:] == UNLABELLED).all()
    trainer = untrained(small_run(data, "crd"), data)
    assert {len(bank.rows) for bank in trainer.method.memory.banks.values()} == {14}
    assert np.isfinite(trainer.train_epoch(0)["train_loss"])


def test_a_fold_that_would_test_them_leaves_them_out(data: Path) -> None:
    spec = dataclasses.replace(small_run(data, "amid").spec, fold=2)
    splits = load_splits(data, spec)
    for split in (splits.validation, splits.test):
        assert (split.labels >= 0).all()
    of_fold = [n for n in QUIET if n % 4 in (2, 3)]
    assert len(splits.test) == 22 - sum(n % 4 == 2 for n in QUIET)
    assert int((splits.train.labels < 0).sum()) == len(QUIET) - len(of_fold)


@pytest.mark.parametrize("configuration", USED_BY + LEFT_OUT_BY)
def test_every_method_uses_them_or_leaves_them_out(configuration: str, data: Path) -> None:
    trainer = untrained(small_run(data, configuration), data)
    for epoch in (0, 2):  # of the warm-up, and joint
        assert np.isfinite(trainer.train_epoch(epoch)["train_loss"])
    steps = trainer.state.steps
    assert steps["steps"] == 2 * 5  # 40 samples in batches of 8, whoever leaves some out
    if configuration in USED_BY:
        assert steps["unlabelled"] == 2 * len(QUIET)
        assert steps["samples"] == 2 * 40
    else:
        assert "unlabelled" not in steps
        assert (trainer.data.train.labels >= 0).all()
    assert trainer.validate()
    predictions, retrieval = trainer.test()
    assert set(predictions) == set(trainer.method.heads)
    assert all(np.isfinite(value) for value in retrieval.values())


def mixed(trainer: Trainer, labelled: int = 3, others: int = 5) -> torch.Tensor:
    """Rows of the training split: so many with a label and so many without."""
    labels = trainer.data.train.labels
    rows = [(labels >= 0).nonzero().flatten()[:labelled], (labels < 0).nonzero().flatten()[:others]]
    return torch.cat(rows)


def terms(configuration: str, data: Path, epoch: int = 0, **counts: int) -> tuple:
    trainer = untrained(small_run(data, configuration), data)
    trainer.method.begin_epoch(epoch)
    batch = trainer.data.train.take(mixed(trainer, **counts))
    reps = trainer.represent(batch)
    return trainer, batch, reps, trainer.method.losses(reps, batch.labels)


def test_amids_terms_of_a_mixed_batch(data: Path) -> None:
    trainer, batch, reps, found = terms("amid", data, epoch=3)
    student, teacher = reps.student_logits, reps.teacher_logits
    right = sum(cross_entropy(rows[:3], batch.labels[:3]) for rows in (student, teacher))
    assert found["classification"].item() == pytest.approx(right.item(), rel=1e-5)
    apart = jensen_shannon(student, teacher)  # over all 8
    assert found["jensen_shannon"].item() == pytest.approx(apart.item(), rel=1e-5)
    for name, rows, weight in (("l_ft", reps.student, 4.0), ("l_fa", reps.auxiliary, 1.5)):
        cosines = torch.cosine_similarity(reps.teacher[:, None], rows[None], dim=2)
        h = (cosines / 0.1).softmax(1).detach()
        total = 0.0
        for i in range(8):
            total += float(h[i, i].log())
            for j in set(range(3)) - {i}:
                if i < 3 and batch.labels[i] == batch.labels[j]:
                    total += float(h[i, j].log())
                elif i < 3:
                    total += float((1 - h[i, j]).log())
        assert found[name].item() == pytest.approx(-weight * total / 8, rel=1e-3)
    d1 = trainer.method.adversary.d1(reps.student, batch.labels)
    repeated = [i for i in range(3) if (batch.labels[:3] == batch.labels[i]).sum() > 1]
    w1, w2 = trainer.method.weights().tolist()
    want = w1 * -torch.nn.functional.logsigmoid(d1).mean()
    if repeated:
        d2 = trainer.method.adversary.d2(reps.student[repeated], batch.labels[repeated])
        want = want - w2 * len(repeated) / 8 * torch.nn.functional.logsigmoid(d2).mean()
    assert found["l_adv"].item() == pytest.approx(want.item(), rel=1e-5)


def test_kd_on_a_mixed_batch_is_soft_labels_for_all(data: Path) -> None:
    _, batch, reps, found = terms("kd", data)
    right = cross_entropy(reps.student_logits[:3], batch.labels[:3])
    soft = softened_divergence(reps.student_logits, reps.teacher_logits, 4.0)
    assert found["classification"].item() == pytest.approx(0.1 * right.item(), rel=1e-5)
    assert found["distillation"].item() == pytest.approx(0.9 * soft.item(), rel=1e-5)


def test_gmc_aligns_all_and_classifies_labelled_samples(data: Path) -> None:
    trainer, batch, reps, found = terms("gmc", data)
    right = cross_entropy(reps.teacher_logits[:3], batch.labels[:3])
    assert found["classification"].item() == pytest.approx(right.item(), rel=1e-5)
    joint = torch.nn.functional.normalize(reps.teacher)
    parts = [torch.nn.functional.normalize(reps.student)]
    parts += [
        torch.nn.functional.normalize(project(reps.modalities[name]))
        for name, project in trainer.method.projections.items()
    ]
    want = joint_contrastive(joint, parts, 1.0)
    assert found["contrastive"].item() == pytest.approx(want.item(), rel=1e-5)


def test_ccls_classifiers_and_smoothing_see_labelled_samples_alone(data: Path) -> None:
    trainer, batch, reps, found = terms("ccl", data)
    right = cross_entropy(reps.student_logits[:3], batch.labels[:3])
    assert found["classification"].item() == pytest.approx(right.item(), rel=1e-5)
    name, compose = next(iter(trainer.method.compositions.items()))
    _, logits = compose(reps.modalities[name], reps.student)
    if len(trainer.method.compositions) == 1:
        composed = cross_entropy(logits[:3], batch.labels[:3])
        assert found["composition_classification"].item() == pytest.approx(composed.item())
    smoothed = trainer.method.smoothing(reps, batch.labels, 0.2)["smoothing"]
    want = 0.2 * uniform_excess(reps.student_logits[:3], batch.labels[:3])
    assert smoothed.item() == pytest.approx(want.item(), rel=1e-5)


@pytest.mark.parametrize("configuration", USED_BY)
def test_a_batch_without_a_label_trains_on_the_other_terms(configuration: str, data: Path) -> None:
    trainer, batch, reps, found = terms(configuration, data, epoch=3, labelled=0, others=6)
    classified = [value for name, value in found.items() if "classification" in name]
    assert classified
    assert all(value.item() == 0 for value in classified)
    assert trainer.method.smoothing(reps, batch.labels, 0.1)["smoothing"].item() == 0
    before = trainer.networks.student.project.weight.detach().clone()
    stepped = trainer.step(batch)
    assert all(value.isfinite() for value in stepped.values())
    assert stepped["loss"] > 0
    assert not torch.equal(trainer.networks.student.project.weight, before)
    assert all(value.isfinite().all() for value in trainer.networks.state_dict().values())


@pytest.mark.parametrize("configuration", USED_BY)
def test_the_order_of_unlabelled_samples_has_no_effect(configuration: str, data: Path) -> None:
    trainer = untrained(small_run(data, configuration), data)
    found = trainer.step(trainer.data.train.take(mixed(trainer)))
    other = untrained(small_run(data, configuration), data)
    rows = mixed(other)
    batch = other.data.train.take(torch.cat([rows[:3], rows[3:].flip(0)]))
    turned = other.step(batch)
    assert turned["loss"].item() == pytest.approx(found["loss"].item(), rel=1e-4)


@pytest.mark.parametrize(("samples", "size", "count"), [(16, 8, 5), (5, 8, 4), (17, 8, 7)])
def test_repeated_batches_hold_each_sample_once_a_pass(samples: int, size: int, count: int) -> None:
    batches = repeated_batches(samples, size, count)
    assert len(batches) == count
    parts = -(-samples // size)
    for start in range(0, count - parts + 1, parts):
        passed = torch.cat(batches[start : start + parts])
        assert sorted(passed.tolist()) == list(range(samples))
    assert all(len(batch) <= size for batch in batches)


@pytest.mark.parametrize("samples", [1, 2, 7, 8, 9, 15, 16, 17, 25])
@pytest.mark.parametrize("size", [1, 2, 8])
def test_batches_are_counted_as_they_are_drawn(samples: int, size: int) -> None:
    assert batch_count(samples, size) == len(training_batches(samples, size))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Wholes:
    return wholes(lambda name: strong_run(data, name).spec, data, tmp_path_factory)


@pytest.mark.parametrize("configuration", ["student_alone", "amid", "gmc"])
@pytest.mark.parametrize("batches", [3, 12])
def test_a_run_stopped_within_an_epoch_ends_in_the_same_bytes(
    configuration: str, batches: int, whole, data: Path, tmp_path: Path
) -> None:
    spec = strong_run(data, configuration).spec
    left = iter(range(batches))
    with pytest.raises(Stopped):
        train(spec, data, tmp_path / "cut", stop=lambda: next(left, None) is None)
    resumed = train(spec, data, tmp_path / "cut")
    assert left_by(resumed, tmp_path / "cut") == whole(configuration)


def test_small_loss_ranks_labelled_samples(data: Path) -> None:
    overrides = {"selection": {"name": "small_loss", "ratio": 0.5}}
    trainer = untrained(small_run(data, "amid", overrides=overrides), data)
    assert (trainer.data.train.labels >= 0).all()
    assert np.isfinite(trainer.train_epoch(0)["train_loss"])


def test_dissect_chooses_among_all(data: Path) -> None:
    overrides = {"selection": {"name": "dissect", "ratio": 0.5, "warmup_epochs": 1}}
    trainer = untrained(small_run(data, "amid", overrides=overrides), data)
    for epoch in range(3):
        assert np.isfinite(trainer.train_epoch(epoch)["train_loss"])
    assert 0 < trainer.state.steps["unlabelled"] < 3 * len(QUIET)


def test_no_labelled_training_clip_is_one_sentence(tmp_path: Path) -> None:
    data = quiet(tmp_path / "avlips", list(range(40)))
    with pytest.raises(
        AmidError, match=r"no clip with a label of the split 'train' .*at least two"
    ):
        load_splits(data, small_run(data, "amid").spec)

"""Training samples that lack an auxiliary modality."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy

from amid.data.feature_store import FeatureStore
from amid.data.splits import features_fingerprint, load_splits, mismatch
from amid.errors import AmidError
from amid.runs.embeddings import freeze_features
from amid.runs.plan import auxiliary_runs, configured_run
from amid.training.trainer import Trainer
from tests.small import small_params, small_run, sum_all, untrained, write_data
from tests.training.test_trainer import left_by, train

METHODS = ["teacher_alone", "l_ft_l_fa", "amid", "fixed_teacher", "crd", "gmc", "ccl", "crcd"]
METHODS += ["kd", "kd_joint", "c2kd", "mfh"]
LACKING = [2, 3, 11, 30, 39]


def lacking(folder: Path, rows: list[int], *modalities: str) -> Path:
    """The small data set, the clips at `rows` without sound."""
    write_data(folder, modalities=("audio", *modalities))
    path = folder / "features" / "index.parquet"
    index = pd.read_parquet(path)
    index.loc[rows, "has_audio"] = False
    index.to_parquet(path, index=False)
    for array in ("features", "embeddings"):
        values = np.load(folder / array / "audio.npy", allow_pickle=False)
        values[rows] = 0
        np.save(folder / array / "audio.npy", values)
    sum_all(folder / "features", folder / "embeddings")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lacking(tmp_path_factory.mktemp("lacking") / "avlips", LACKING)


def test_they_stay_in_training_and_whole_ones_are_numbered_first(data: Path) -> None:
    train = load_splits(data, small_run(data, "amid").spec).train
    assert len(train) == 40
    assert (~train.complete).nonzero().flatten().tolist() == LACKING
    assert sorted(train.samples.tolist()) == list(range(40))
    assert train.samples[train.complete].tolist() == list(range(35))
    assert train.samples[~train.complete].tolist() == list(range(35, 40))
    assert train.take(torch.tensor([3, 4])).complete.tolist() == [False, True]
    alone = load_splits(data, small_run(data, "student_alone").spec).train
    assert len(alone) == 40
    assert alone.complete is None


def test_every_run_is_judged_by_the_same_clips(tmp_path: Path) -> None:
    """Also in a fold, where a training clip becomes a test clip, and whatever a run sees."""
    data = lacking(tmp_path / "avlips", [2, 41, 66], "text")
    text = small_run(data, "amid", auxiliary=("text",)).spec
    for spec in (small_run(data, "student_alone").spec, text, small_run(data, "amid").spec):
        splits = load_splits(data, spec)
        assert (len(splits.train), len(splits.validation), len(splits.test)) == (40, 23, 23)
        assert "clip066" not in splits.test_clips
        fold = load_splits(data, dataclasses.replace(spec, fold=2))
        assert len(fold.test_clips) == 22 - 2  # clips 2 and 66
        assert fold.train.complete is None or not fold.train.complete.all()


@pytest.mark.parametrize("configuration", METHODS)
def test_a_steps_loss_is_the_mean_of_the_samples_losses(configuration: str, data: Path) -> None:
    trainer = untrained(small_run(data, configuration), data)
    batch = trainer.data.train.take(torch.arange(8))  # 2 and 3 lack their sound
    trainer.method.begin_epoch(0)
    other = untrained(small_run(data, configuration), data)
    other.method.begin_epoch(0)
    torch.manual_seed(0)  # CRCD draws partners
    whole = batch.take(torch.tensor([0, 1, 4, 5, 6, 7]))
    terms = other.method.losses(other.method(other.networks, whole), whole.labels)
    total = float(sum(terms.values()).detach()) * 6
    for row in (2, 3):
        sample = batch.take(torch.tensor([row]))
        logits = other.method(other.networks, sample).student_logits
        total += float(cross_entropy(logits, sample.labels).detach())
    torch.manual_seed(0)
    found = trainer.step(batch)
    assert float(found["loss"]) == pytest.approx(total / 8, rel=1e-5)
    assert set(found) == {*terms, "incomplete", "loss"}
    assert trainer.state.steps == {"steps": 1, "samples": 8, "scored": 0, "incomplete": 2}


@pytest.mark.parametrize("configuration", METHODS)
def test_all_whole_is_no_mask_to_the_last_bit(configuration: str, tmp_path: Path) -> None:
    data = write_data(tmp_path / "avlips")
    trained = []
    for masked in (False, True):
        trainer = untrained(small_run(data, configuration), data)
        if masked:
            whole = torch.ones(len(trainer.data.train), dtype=torch.bool)
            batch = dataclasses.replace(trainer.data.train, complete=whole)
            trainer.data = dataclasses.replace(trainer.data, train=batch)
        metrics = [trainer.train_epoch(epoch) for epoch in (0, 2)]  # of the warm-up, and joint
        trained.append((metrics, trainer.weights.state_dict(), trainer.state.steps))
    (one, tensors, steps), (other, others, counted) = trained
    assert one == other
    assert steps == counted
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)


@pytest.mark.parametrize("configuration", METHODS)
def test_a_batch_without_a_whole_sample_is_trained_on_labels_alone(configuration, data) -> None:
    trainer = untrained(small_run(data, configuration), data)
    trainer.train_epoch(0)
    trainer.train_epoch(2)
    before = {name: value.clone() for name, value in trainer.method.state_dict().items()}
    found = trainer.step(trainer.data.train.take(torch.tensor(LACKING)))
    assert set(found) == {"incomplete", "loss"}
    assert torch.isfinite(found["loss"])
    assert torch.equal(found["loss"], found["incomplete"])
    after = trainer.method.state_dict()  # no bank, no discriminator has moved
    if trainer.adversary is not None or configuration in ("crd", "crcd"):
        names = [n for n in before if "banks" in n or "adversary" in n]
        assert names
        assert all(torch.equal(before[name], after[name]) for name in names)
    tensors = trainer.networks.state_dict()
    assert all(value.isfinite().all() for value in tensors.values())


@pytest.mark.parametrize("configuration", ["crd", "crcd"])
def test_memory_banks_hold_whole_samples_alone(configuration: str, data: Path) -> None:
    trainer = untrained(small_run(data, configuration), data)
    banks = trainer.method.memory.banks
    assert {len(bank.rows) for bank in banks.values()} == {35}
    assert len(trainer.method.negatives.labels) == 35
    trainer.train_epoch(0)
    whole, _ = trainer.data.train.split_complete()
    assert torch.equal(trainer.method.negatives.labels, whole.labels)
    assert all(bank.rows.isfinite().all() for bank in banks.values())


@pytest.mark.parametrize("configuration", ["amid", "crd", "ccl"])
@pytest.mark.parametrize("rule", ["dissect", "random", "small_loss"])
def test_selection_chooses_among_whole_samples(configuration, rule, data: Path) -> None:
    overrides = {"selection": {"name": rule, "ratio": 0.5, "warmup_epochs": 1}}
    trainer = untrained(small_run(data, configuration, overrides=overrides), data)
    assert len(trainer.selector.history) == 35
    for epoch in range(2):
        trainer.train_epoch(epoch)
    steps = trainer.state.steps
    assert steps["incomplete"] == 2 * len(LACKING)
    assert steps["scored"] == (0 if rule == "random" else 2 * 35)
    assert 2 * 12 <= steps["samples"] - steps["incomplete"] <= 2 * 18


def test_pairs_are_mixed_up_among_whole_samples(data: Path) -> None:
    train = load_splits(data, small_run(data, "amid").spec).train
    mixed = mismatch(train, 0.4).auxiliary["audio"]
    changed = (mixed != train.auxiliary["audio"]).any(1)
    assert int(changed.sum()) == round(0.4 * 35)
    assert not changed[LACKING].any()
    assert not mixed[LACKING].any()


@pytest.mark.parametrize("configuration", ["amid", "crcd"])
def test_a_killed_run_resumes_to_the_same_bytes(configuration: str, data, tmp_path: Path) -> None:
    run = small_run(data, configuration)
    teacher = None
    if run.teacher is not None:
        train(run.teacher, data, tmp_path / "teacher")
        teacher = tmp_path / "teacher" / "model.safetensors"
    whole = train(run.spec, data, tmp_path / "whole", teacher=teacher)

    def kill(epoch: int, _: dict) -> None:
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(run.spec, data, tmp_path / "cut", on_epoch=kill, teacher=teacher)
    resumed = train(run.spec, data, tmp_path / "cut", teacher=teacher)
    assert left_by(resumed, tmp_path / "cut") == left_by(whole, tmp_path / "whole")
    assert whole.steps["incomplete"] == 6 * len(LACKING)
    assert whole.steps["samples"] == 6 * 40
    assert whole.accuracy("student") > 0.4


def test_a_modality_that_no_training_clip_has_is_one_sentence(tmp_path: Path) -> None:
    data = lacking(tmp_path / "avlips", list(range(40)))
    with pytest.raises(AmidError, match="no clip of the split 'train' has all of video, audio"):
        load_splits(data, small_run(data, "amid").spec)


def test_a_frozen_vector_is_used_as_it_is(tmp_path: Path) -> None:
    """Encoder `none`: nothing is pre-trained, and a length other than D is projected."""
    data = lacking(tmp_path / "avlips", LACKING)
    vectors = np.random.default_rng(0).normal(3.0, 2.0, (120, 11)).astype(np.float32)
    vectors[:, 3] = 7.0
    np.save(data / "features" / "audio.npy", vectors)
    sum_all(data / "features")
    card = freeze_features(
        "audio", "auxiliary", FeatureStore.open(data / "features"), data / "embeddings"
    )
    assert card == {"modality": "audio", "corpus": "auxiliary", "clips": 32, "encoder": "none"}
    assert json.loads((data / "embeddings" / "audio.json").read_text()) == card
    found = np.load(data / "embeddings" / "audio.npy", allow_pickle=False)
    seen = vectors[88:].astype(np.float64)
    expected = (vectors - seen.mean(0)) / np.maximum(seen.std(0), 1e-6)
    expected[LACKING] = 0
    np.testing.assert_allclose(found, expected, atol=1e-5)
    params = small_params()
    block = params.data["avlips"].model_copy(
        update={"encoders": {"video": "gru", "audio": "none", "text": "mlp"}}
    )
    params = params.model_copy(update={"data": {"avlips": block}})
    features_fingerprint.cache_clear()
    fingerprint = partial(features_fingerprint, data)
    planned = auxiliary_runs(params, "avlips", "auxiliary", lambda *_: "x")
    assert [run.configuration for run in planned] == ["text"]
    for configuration in ("teacher_alone", "l_ft_l_fa", "amid", "amid_ccl", "gmc", "ccl"):
        spec = configured_run(params, "avlips", configuration, 0, fingerprint).spec
        trainer = Trainer(spec, load_splits(data, spec))
        assert np.isfinite(trainer.train_epoch(0)["train_loss"])
        assert np.isfinite(trainer.train_epoch(2)["train_loss"])
        assert trainer.validate()
        if configuration == "amid":
            assert trainer.networks.join.weight.shape == (16, 11)

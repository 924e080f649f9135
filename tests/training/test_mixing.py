"""Mixed clips in batches and in runs: who is mixed with whom, what a teacher sees, every method."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from amid.core.checkpoint import read_checkpoint
from amid.core.types import Batch
from amid.data.splits import load_splits
from amid.errors import Stopped
from amid.losses import UNLABELLED
from amid.runs.plan import PlannedRun, auxiliary_runs
from amid.training.augmentation import Augmenter, augmenter_of
from amid.training.job import MODEL
from amid.training.model_file import load_model
from amid.training.trainer import Trainer
from tests.small import small_params, untrained, write_data
from tests.training.test_incomplete import LACKING, lacking
from tests.training.test_strong import strong_run
from tests.training.test_trainer import Wholes, left_by, train, wholes
from tests.training.test_unlabelled import LEFT_OUT_BY, QUIET, USED_BY, quiet

MIXUP = {"mixup": {"share": 0.5, "probability": 1.0}}
CUTMIX = {"cutmix": {"share": 0.5, "probability": 1.0}}
CLIPS = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "avlips")


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With clips that have no label."""
    return quiet(tmp_path_factory.mktemp("quiet") / "avlips", QUIET)


def told_apart(unlabelled: int = 0, incomplete: tuple[int, ...] = ()) -> Batch:
    """Samples that their features tell: sample n has 1 at n and 0 elsewhere, its embedding too,
    times 3, and class n."""
    labels = torch.arange(CLIPS)
    labels[CLIPS - unlabelled :] = UNLABELLED
    complete = torch.ones(CLIPS, dtype=torch.bool)
    complete[list(incomplete)] = False
    embedding = 3 * torch.eye(CLIPS) * complete[:, None]
    whole = None if complete.all() else complete
    return Batch(
        torch.eye(CLIPS), {"audio": embedding}, labels, torch.arange(CLIPS), complete=whole
    )


def drawn(batch: Batch, epochs: int = 40, **options: float) -> list[tuple[int, int, float, int]]:
    """(sample, partner, share, partner's label) of mixed clips, as their features say it. The
    embeddings must say the same, and so must the share that goes with the label."""
    augment = Augmenter({"mixup": {**MIXUP["mixup"], **options}}, batch, seed=0)
    found = []
    for epoch in range(epochs):
        mixed = augment(batch, epoch)
        for sample, row in enumerate(mixed.target):
            share = 1 - row[sample].item()
            partner = int(row.where(torch.arange(CLIPS) != sample, -1.0).argmax())
            if row[partner] < 1e-6:  # its own partner, or not mixed
                assert share == pytest.approx(0, abs=1e-6)
                continue
            assert row[partner].item() == pytest.approx(share, abs=1e-6)
            assert mixed.partner_shares[sample].item() == pytest.approx(share, abs=1e-6)
            torch.testing.assert_close(mixed.auxiliary["audio"][sample], 3 * row)
            label = int(mixed.partner_labels[sample])
            found.append((sample, partner, share, label))
    return found


def test_every_clip_gets_any_partner_with_its_label_and_its_embedding() -> None:
    found = drawn(told_apart(), epochs=60)
    assert all(label == partner for _, partner, _, label in found)
    counts = np.bincount([CLIPS * n + partner for n, partner, *_ in found], minlength=CLIPS**2)
    counts = counts.reshape(CLIPS, CLIPS)[~np.eye(CLIPS, dtype=bool)]
    assert len(found) == pytest.approx(60 * (CLIPS - 1), rel=0.03)  # a twelfth are their own
    assert (counts.min(), counts.max()) > (0, 5)
    assert np.histogram(counts, bins=[0, 15, 100])[0].tolist() == [len(counts), 0]
    shares = [share for *_, share, _ in found]
    assert np.mean(shares) == pytest.approx(0.25, abs=0.02)
    assert 0.48 < max(shares) <= 0.5 + 1e-6


def test_probability_says_how_many_are_mixed() -> None:
    assert drawn(told_apart(), probability=0.0) == []
    found = drawn(told_apart(), epochs=100, probability=0.3)
    assert len(found) == pytest.approx(0.3 * 100 * (CLIPS - 1), rel=0.1)


def test_a_labelled_clip_has_a_labelled_partner_and_another_any() -> None:
    found = drawn(told_apart(unlabelled=5), epochs=60)
    known = [(partner, label) for sample, partner, _, label in found if sample < CLIPS - 5]
    assert {partner for partner, _ in known} == set(range(CLIPS - 5))
    assert all(partner == label for partner, label in known)
    others = [(partner, label) for sample, partner, _, label in found if sample >= CLIPS - 5]
    assert {partner for partner, _ in others} == set(range(CLIPS))
    assert {label for _, label in others} == {UNLABELLED}


def test_a_clip_that_lacks_a_modality_is_left_alone() -> None:
    found = drawn(told_apart(incomplete=(2, 7)), epochs=60)
    whole = set(range(CLIPS)) - {2, 7}
    assert {sample for sample, *_ in found} == {partner for _, partner, *_ in found} == whole


@pytest.mark.parametrize("chosen", [MIXUP, CUTMIX, {**MIXUP, "jitter": {"noise": 0.2}}])
def test_a_draw_depends_on_seed_epoch_and_clip_and_on_nothing_else(chosen: dict) -> None:
    sequences = torch.randn(CLIPS, 9, 4, generator=torch.Generator().manual_seed(0))
    batch = dataclasses.replace(told_apart(unlabelled=3), target=sequences)
    whole = Augmenter(chosen, batch, seed=1)(batch, 4)
    rows = torch.tensor([11, 5, 2])
    part = Augmenter(chosen, batch, seed=1)(batch.take(rows), 4)
    for name in ("target", "labels", "partner_labels", "partner_shares"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[rows]), name
    assert torch.equal(part.auxiliary["audio"], whole.auxiliary["audio"][rows])
    for other in (
        Augmenter(chosen, batch, seed=1)(batch, 5),
        Augmenter(chosen, batch, seed=2)(batch, 4),
    ):
        assert not torch.equal(other.partner_shares, whole.partner_shares)
        assert not torch.equal(other.partner_labels, whole.partner_labels)


def test_a_clip_keeps_its_length_and_its_partner_is_played_within_it() -> None:
    lengths = [9, 4, 1, 6]
    ramps = torch.full((4, 9, 2), torch.nan)
    for row, length in zip(ramps, lengths, strict=True):  # from 0 to 1 in feature 0; 1 has a step
        row[:length, 0] = torch.arange(length) / max(length - 1, 1)
        row[:length, 1] = length
    rows = torch.arange(4)
    batch = Batch(ramps, {}, rows, rows)
    for epoch in range(10):
        mixed = Augmenter(MIXUP, batch, seed=0)(batch, epoch)
        partners = mixed.partner_labels.tolist()
        for row, length, partner in zip(mixed.target, lengths, partners, strict=True):
            assert not row[:length].isnan().any()
            assert row[length:].isnan().all()
            if 2 not in (lengths.index(length), partner):  # the one of a single step
                torch.testing.assert_close(row[:length, 0], torch.arange(length) / (length - 1))


def test_cutmix_shares_are_of_steps_and_hold_for_embeddings() -> None:
    batch = dataclasses.replace(told_apart(), target=torch.eye(CLIPS)[:, None].expand(-1, 10, -1))
    replaced = 0
    for epoch in range(20):
        mixed = Augmenter(CUTMIX, batch, seed=0)(batch, epoch)
        for n in range(CLIPS):
            theirs = (mixed.target[n, :, n] < 0.5).sum().item()
            partner, share = int(mixed.partner_labels[n]), mixed.partner_shares[n].item()
            if partner != n:
                assert theirs / 10 == pytest.approx(share)
                assert mixed.target[n, :, partner].sum().item() == pytest.approx(theirs, abs=1e-4)
                want = 3 * torch.eye(CLIPS)[n] * (1 - share)
                want[partner] = 3 * share
                torch.testing.assert_close(mixed.auxiliary["audio"][n], want)
                replaced += theirs
    assert replaced > 0


def test_other_augmentations_see_the_mixed_clip() -> None:
    """A dropped channel is the mean in the whole clip: the partner has not put it back."""
    target = torch.randn(CLIPS, 30, generator=torch.Generator().manual_seed(0))
    batch = dataclasses.replace(told_apart(), target=target)
    chosen = {"channel_dropout": {"share": 0.5}, **MIXUP}
    found = Augmenter(chosen, batch, seed=0)(batch, 0)
    dropped = (found.target - target.mean(0)).abs() < 1e-6
    assert dropped.float().mean().item() == pytest.approx(0.5, abs=0.1)
    mixed = Augmenter(MIXUP, batch, seed=0)(batch, 0)
    torch.testing.assert_close(found.target[~dropped], mixed.target[~dropped])


def test_a_single_clip_is_its_own_partner_and_stays_as_it_is() -> None:
    batch = told_apart().take(torch.tensor([3]))
    found = Augmenter(MIXUP, batch, seed=0)(batch, 0)
    torch.testing.assert_close(found.target, batch.target)
    assert torch.equal(found.auxiliary["audio"], batch.auxiliary["audio"])
    assert found.partner_labels.tolist() == [3]


# ---------------------------------------------------------------- in runs


def mixing_run(data: Path, configuration: str, seed: int = 0, **numbers: object) -> PlannedRun:
    mixed = {"augmentation": {**MIXUP, "jitter": {"noise": 0.05}}}
    return strong_run(data, configuration, seed, **{**mixed, **numbers})


@pytest.mark.parametrize("configuration", USED_BY + LEFT_OUT_BY)
def test_every_method_trains_on_mixed_clips(configuration: str, some: Path) -> None:
    trainer = untrained(mixing_run(some, configuration), some)
    for epoch in (0, 3):  # of the warm-up, and joint
        found = trainer.train_epoch(epoch)
        assert np.isfinite(list(found.values())).all()
        if configuration != "mfh":  # which has no cross-entropy
            assert found["train_mixing"] != 0
    assert all(value.isfinite().all() for value in trainer.weights.state_dict().values())
    assert trainer.state.steps.get("unlabelled", 0) == (
        2 * len(QUIET) if configuration in USED_BY else 0
    )


@pytest.mark.parametrize("configuration", ["student_alone", "amid", "kd", "c2kd"])
def test_batches_of_one_and_a_single_class_are_trained_on(configuration: str, data: Path) -> None:
    trainer = untrained(mixing_run(data, configuration, batch_size=1), data)
    assert np.isfinite(trainer.train_epoch(0)["train_loss"])
    trainer = untrained(mixing_run(data, configuration, augmentation=CUTMIX), data)
    labels = torch.zeros_like(trainer.data.train.labels)
    one_class = dataclasses.replace(trainer.data.train, labels=labels)
    trainer.data = dataclasses.replace(trainer.data, train=one_class)
    trainer.augmenter = augmenter_of(trainer.spec, one_class, trainer.augmenter._teacher)
    for epoch in (0, 3):
        found = trainer.train_epoch(epoch)
        assert np.isfinite(list(found.values())).all()
        assert found["train_mixing"] == 0


def test_a_run_that_mixes_nothing_has_no_such_term(data: Path) -> None:
    trainer = untrained(strong_run(data, "amid"), data)
    assert "train_mixing" not in trainer.train_epoch(0)
    assert trainer.augmenter(trainer.data.train, 0).partner_shares is None


@pytest.mark.parametrize("rule", ["dissect", "random", "small_loss"])
def test_chosen_samples_keep_their_partners(rule: str, data: Path) -> None:
    run = mixing_run(data, "amid")
    selection = {"name": rule, "ratio": 0.5, "version": "warmup", "warmup_epochs": 1}
    spec = dataclasses.replace(run.spec, selection={**selection, "between": "teacher"})
    trainer = Trainer(spec, load_splits(data, spec))
    seen = []
    mixing = trainer.method.mixing
    trainer.method.mixing = lambda reps, batch, share: (
        seen.append(batch) or mixing(reps, batch, share)
    )
    for epoch in range(2):
        assert np.isfinite(trainer.train_epoch(epoch)["train_loss"])
    for position, batch in enumerate(seen):
        whole = trainer.augmenter(trainer.data.train, position // 5)
        assert 0 < len(batch) < 8
        rows = batch.samples
        assert torch.equal(batch.partner_labels, whole.partner_labels[rows])
        assert torch.equal(batch.partner_shares, whole.partner_shares[rows])


def test_clips_that_lack_a_modality_train_beside_mixed_ones(tmp_path: Path) -> None:
    data = lacking(tmp_path / "avlips", LACKING)
    for configuration in ("amid", "student_alone"):
        trainer = untrained(mixing_run(data, configuration), data)
        found = trainer.train_epoch(0)
        assert np.isfinite(list(found.values())).all()
        shares = trainer.augmenter(trainer.data.train, 0).partner_shares
        assert (shares[LACKING] == 0).all() == (configuration == "amid")
        assert (shares > 0).sum() >= 30


def test_a_fixed_teacher_sees_the_mixed_clip_in_all_modalities(data: Path, tmp_path: Path) -> None:
    run = mixing_run(data, "crd")
    train(run.teacher, data, tmp_path / "teacher")
    path = tmp_path / "teacher" / MODEL
    weights, card = read_checkpoint(path)
    networks = load_model(card, weights, path)
    trainer = Trainer(run.spec, load_splits(data, run.spec), networks)
    (batch,) = trainer._load(3, [torch.arange(6)])
    clean = trainer.data.train.take(torch.arange(6))
    assert (batch.partner_shares > 0).sum() >= 5
    assert not torch.equal(batch.auxiliary["audio"], clean.auxiliary["audio"])
    with torch.no_grad():
        seen = Batch(batch.target, batch.auxiliary, batch.labels, batch.samples)
        assert torch.equal(batch.teacher_logits, networks(seen).teacher_logits)
        other = Batch(batch.target, clean.auxiliary, batch.labels, batch.samples)
        assert not torch.equal(batch.teacher_logits, networks(other).teacher_logits)


def test_a_frozen_encoder_is_trained_on_mixed_clips_too(data: Path) -> None:
    params = small_params()
    block = params.data["avlips"].model_copy(update={"training": {"augmentation": MIXUP}})
    params = params.model_copy(update={"data": {"avlips": block}})
    run, *_ = auxiliary_runs(params, "avlips", "auxiliary", lambda *_: "x")
    trainer = Trainer(run.spec, load_splits(data, run.spec))
    found = trainer.train_epoch(0)
    assert np.isfinite(found["train_loss"])
    assert found["train_mixing"] != 0


def test_a_step_adds_the_partners_part_of_the_cross_entropy(data: Path) -> None:
    """Of a baseline: the loss is the cross-entropy to mixed and smoothed labels."""
    trainer = untrained(mixing_run(data, "student_alone"), data)
    trainer.networks.eval()
    (batch,) = trainer._load(0, [torch.arange(40)])
    with torch.no_grad():
        logits = trainer.represent(batch).student_logits
    wanted = torch.full_like(logits, 0.1 / 4)
    one_hot = torch.eye(4)
    shares = batch.partner_shares[:, None]
    wanted += 0.9 * ((1 - shares) * one_hot[batch.labels] + shares * one_hot[batch.partner_labels])
    want = -(wanted * logits.log_softmax(1)).sum(1).mean()
    found = trainer.step(batch)
    assert set(found) == {"classification", "smoothing", "mixing", "loss"}
    assert found["loss"].item() == pytest.approx(want.item(), rel=1e-5)


@pytest.fixture(scope="module")
def whole(some: Path, tmp_path_factory: pytest.TempPathFactory) -> Wholes:
    return wholes(lambda name: mixing_run(some, name).spec, some, tmp_path_factory)


@pytest.mark.parametrize("configuration", ["student_alone", "amid", "gmc"])
@pytest.mark.parametrize("batches", [3, 12])
def test_a_run_stopped_within_an_epoch_ends_in_the_same_bytes(
    configuration: str, batches: int, whole: Wholes, some: Path, tmp_path: Path
) -> None:
    spec = mixing_run(some, configuration).spec
    left = iter(range(batches))
    with pytest.raises(Stopped):
        train(spec, some, tmp_path / "cut", stop=lambda: next(left, None) is None)
    resumed = train(spec, some, tmp_path / "cut")
    assert left_by(resumed, tmp_path / "cut") == whole(configuration)

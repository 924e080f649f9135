"""The training loop: exact resume, the two phases, honest selection, who learns from what."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from amid.core.checkpoint import read_checkpoint
from amid.core.types import Batch, RunRecord, RunSpec
from amid.data.splits import load_splits
from amid.errors import AmidError, Stopped
from amid.runs.multiprocess import launch
from amid.training.job import TrainingJob
from amid.training.model_file import load_model
from amid.training.run_state import CheckpointPolicy
from amid.training.trainer import Trainer
from tests.small import small_run, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "avlips")


def train(spec: RunSpec, data: Path, folder: Path, **given: object) -> RunRecord:
    """Trains a run that saves its state after every epoch; given: more fields of its job."""
    folder.mkdir(exist_ok=True)
    return launch(TrainingJob(spec, data, folder, **given))


def left_by(record: RunRecord, folder: Path) -> list[bytes]:
    files = ("model.safetensors", "checkpoint.safetensors")
    return [record.to_json().encode(), *((folder / name).read_bytes() for name in files)]


Wholes = Callable[[str], list[bytes]]


def wholes(
    spec_of: Callable[[str], RunSpec], data: Path, folders: pytest.TempPathFactory
) -> Wholes:
    """Gives what a configuration's run leaves that nothing interrupts, trained when it is first
    asked for."""

    @cache
    def trained(configuration: str) -> list[bytes]:
        folder = folders.mktemp(configuration)
        return left_by(train(spec_of(configuration), data, folder), folder)

    return trained


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Wholes:
    return wholes(lambda name: small_run(data, name).spec, data, tmp_path_factory)


@pytest.mark.parametrize(
    "configuration", ["student_alone", "teacher_alone", "l_ft", "l_ft_l_fa", "amid", "amid_ccl"]
)
def test_every_configuration_learns(configuration: str, whole) -> None:
    record = RunRecord.from_json(whole(configuration)[0].decode())
    first, last = record.history[0], record.history[-1]
    assert last["train_classification"] < first["train_classification"]
    assert record.accuracy(record.selected_on) > 0.5  # 4 classes: chance is 0.25


@pytest.mark.parametrize("configuration", ["l_ft", "l_ft_l_fa", "amid", "amid_ccl"])
def test_warm_up_and_joint_training_end_as_an_unbroken_run(
    configuration, whole, data, tmp_path
) -> None:
    run = small_run(data, configuration)
    train(run.parent, data, tmp_path / "warmup")
    warmed_up = tmp_path / "warmup" / "checkpoint.safetensors"
    joined = train(run.spec, data, tmp_path / "joined", parent=warmed_up)
    assert left_by(joined, tmp_path / "joined") == whole(configuration)


@pytest.mark.parametrize("stop_after", [1, 2, 3, 5])
def test_a_killed_run_resumes_to_the_same_bytes(stop_after: int, whole, data, tmp_path) -> None:
    spec = small_run(data, "amid").spec

    def kill(epoch: int, _: dict) -> None:
        if epoch == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(spec, data, tmp_path / "cut", on_epoch=kill)
    _, state = read_checkpoint(tmp_path / "cut" / "checkpoint.safetensors")
    assert state["epoch"] == stop_after  # it goes on, it does not start anew
    resumed = train(spec, data, tmp_path / "cut")
    assert left_by(resumed, tmp_path / "cut") == whole("amid")


def test_runs_in_one_process_do_not_touch_one_another(whole, data: Path, tmp_path: Path) -> None:
    first = whole("amid")
    train(small_run(data, "teacher_alone", seed=1).spec, data, tmp_path / "b")
    again = train(small_run(data, "amid").spec, data, tmp_path / "c")
    assert left_by(again, tmp_path / "c") == first


def test_seeds_differ_and_configurations_share_the_student_a_seed_starts_from(data) -> None:
    def start(configuration: str, seed: int) -> torch.Tensor:
        spec = small_run(data, configuration, seed).spec
        trainer = Trainer(spec, load_splits(data, spec))
        return trainer.networks.student.project.weight

    assert torch.equal(start("student_alone", 0), start("amid", 0))
    assert not torch.equal(start("amid", 0), start("amid", 1))


def test_the_test_split_has_no_say_in_the_choice_of_the_epoch(data, tmp_path) -> None:
    spec = small_run(data, "amid").spec
    honest = train(spec, data, tmp_path / "honest")
    splits = load_splits(data, spec)
    wrong = dataclasses.replace(splits.test, labels=(splits.test.labels + 1) % 4)
    trainer = Trainer(spec, dataclasses.replace(splits, test=wrong))
    path = tmp_path / "checkpoint.safetensors"
    other = trainer.fit(on_epoch=lambda *_: None, policy=CheckpointPolicy(path, 9))
    assert other.best_epoch == honest.best_epoch
    chosen = [epoch["validation_student"] for epoch in honest.history]
    assert honest.best_epoch == chosen.index(max(chosen))
    assert other.accuracy("student") < honest.accuracy("student")


def test_the_test_split_is_not_looked_at_before_the_training_is_over(data, tmp_path) -> None:
    spec = small_run(data, "amid").spec
    trainer = Trainer(spec, load_splits(data, spec))
    looks: list[int] = []
    look = trainer.test
    trainer.test = lambda: looks.append(trainer.state.epoch) or look()
    path = tmp_path / "checkpoint.safetensors"
    record = trainer.fit(on_epoch=lambda *_: None, policy=CheckpointPolicy(path, 9))
    epochs = spec.training["epochs"]
    assert looks == [epochs, epochs]
    assert not any(name.startswith("test") for epoch in record.history for name in epoch)
    # the best epoch's networks, not the last ones, gave the predictions called best
    again = Trainer(spec, load_splits(data, spec))
    for epoch in range(record.best_epoch + 1):
        again.train_epoch(epoch)
    assert again.test() == (record.predictions["best"], record.retrieval["best"])


def test_the_saved_student_needs_the_target_alone_and_is_the_best_epochs(data, tmp_path) -> None:
    spec = small_run(data, "amid").spec
    record = train(spec, data, tmp_path)
    weights, card = read_checkpoint(tmp_path / "model.safetensors")
    student = load_model(card, weights)
    test = load_splits(data, spec).test
    with torch.no_grad():
        reps = student(Batch(test.target, {}, test.labels, test.samples))
    assert reps.teacher is None
    assert reps.student_logits.argmax(1).tolist() == record.predictions["best"]["student"]
    assert card["classes"] == record.classes


def test_phases_touch_what_they_should(data: Path) -> None:
    spec = small_run(data, "amid").spec
    trainer = Trainer(spec, load_splits(data, spec))

    def discriminators() -> list[torch.Tensor]:
        return [p.detach().clone() for p in trainer.method.parameters()]

    before = discriminators()
    warm = trainer.train_epoch(0)
    assert all(map(torch.equal, before, discriminators()))
    assert "train_l_adv" not in warm
    joint = trainer.train_epoch(spec.options["warmup_epochs"])
    assert not any(map(torch.equal, before, discriminators()))
    assert {"train_l_adv", "train_discriminator", "w1", "w2", "s1", "s2", "eta"} <= joint.keys()
    assert joint["w1"] + joint["w2"] == pytest.approx(1)


def test_the_adversarial_term_reaches_the_student_alone(data: Path) -> None:
    spec = small_run(data, "amid").spec
    trainer = Trainer(spec, load_splits(data, spec))
    trainer.method.begin_epoch(spec.options["warmup_epochs"])
    batch = trainer.data.train.take(torch.arange(8))
    reps = trainer.networks(batch)
    for value in trainer.method.adversary_losses(reps, batch.labels).values():
        value.backward(retain_graph=True)
    assert all(p.grad is None for p in trainer.networks.parameters())
    judges = list(trainer.method.parameters())
    assert len(judges) > 8  # two discriminators, of five layers and of three
    assert all(p.grad.abs().sum() > 0 for p in judges)
    trainer.method.zero_grad()
    trainer.method.losses(reps, batch.labels)["l_adv"].backward()
    assert all(p.grad is None for p in trainer.method.parameters())
    assert all(p.requires_grad for p in trainer.method.parameters())
    assert all(p.grad is None for p in trainer.networks.teacher.parameters())
    assert trainer.networks.student.project.weight.grad.abs().sum() > 0


def test_two_auxiliary_modalities_are_joined_by_a_trained_projection(tmp_path: Path) -> None:
    data = write_data(tmp_path / "avlips", modalities=("audio", "text"))
    one = small_run(data, "amid").spec
    spec = dataclasses.replace(one, auxiliary=("audio", "text"))
    record = train(spec, data, tmp_path / "run")
    tensors, _ = read_checkpoint(tmp_path / "run" / "checkpoint.safetensors")
    assert tensors["networks.join.weight"].shape == (16, 32)
    assert set(record.extractors) == {"audio", "text"}
    assert record.accuracy("student") > 0.4


def test_a_run_that_diverges_says_so(data: Path, tmp_path: Path) -> None:
    spec = small_run(data, "student_alone").spec
    spec = dataclasses.replace(spec, training={**spec.training, "learning_rate": 1e38})
    with pytest.raises(AmidError, match=r"diverged: the loss of epoch \d+ is nan; lower"):
        train(spec, data, tmp_path)


def test_a_fold_tests_its_own_clips_and_trains_on_the_others(data: Path) -> None:
    spec = dataclasses.replace(small_run(data, "student_alone").spec, fold=1)
    splits = load_splits(data, spec)
    tested = [int(clip.removeprefix("clip")) % 4 for clip in splits.test_clips]
    assert set(tested) == {1}
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 88


def test_records_survive_the_way_through_json(data: Path, tmp_path: Path) -> None:
    record = train(small_run(data, "amid").spec, data, tmp_path)
    assert RunRecord.from_json(record.to_json()) == record


def stopping_after(batches: int):
    """Says stop when so many batches have been trained on."""
    left = [batches]

    def stop() -> bool:
        left[0] -= 1
        return left[0] == 0

    return stop


@pytest.mark.parametrize("configuration", ["amid", "crd", "crcd", "gmc", "ccl"])
def test_a_run_goes_on_from_the_batch_it_was_stopped_at(configuration, data, tmp_path) -> None:
    run = small_run(data, configuration)
    teacher = None
    if run.teacher is not None:
        train(run.teacher, data, tmp_path / "teacher")
        teacher = tmp_path / "teacher" / "model.safetensors"
    whole = train(run.spec, data, tmp_path / "whole", teacher=teacher)
    for batches in (3, 5, 18):  # five make an epoch; the 11th is joint
        cut = tmp_path / f"cut{batches}"
        with pytest.raises(Stopped):
            train(run.spec, data, cut, teacher=teacher, stop=stopping_after(batches))
        _, state = read_checkpoint(cut / "checkpoint.safetensors")
        assert 5 * state["epoch"] + state["position"] == batches
        resumed = train(run.spec, data, cut, teacher=teacher)
        assert left_by(resumed, cut) == left_by(whole, tmp_path / "whole")


def test_saving_by_the_clock_changes_nothing(whole, data, tmp_path) -> None:
    spec = small_run(data, "amid").spec
    often = train(spec, data, tmp_path / "often", checkpoint_minutes=0.0)
    assert left_by(often, tmp_path / "often") == whole("amid")


def test_a_damaged_checkpoint_gives_way_to_the_one_before(whole, data, tmp_path, capsys) -> None:
    spec = small_run(data, "amid").spec
    with pytest.raises(Stopped):
        train(spec, data, tmp_path / "cut", stop=stopping_after(12))
    path = tmp_path / "cut" / "checkpoint.safetensors"
    content = bytearray(path.read_bytes())
    content[-9] ^= 4
    path.write_bytes(content)
    resumed = train(spec, data, tmp_path / "cut")
    assert "another sha256" in capsys.readouterr().err
    assert left_by(resumed, tmp_path / "cut") == whole("amid")
    assert not (tmp_path / "cut" / "checkpoint.previous.safetensors").exists()


def test_mixed_precision_trains_and_answers_in_float32(data, tmp_path) -> None:
    run = small_run(data, "amid")
    mixed = dataclasses.replace(run.spec, training={**run.spec.training, "precision": "bfloat16"})
    record = train(mixed, data, tmp_path / "mixed")
    assert record.accuracy("student") > 0.5
    trainer = Trainer(mixed, load_splits(data, mixed))
    batch = load_splits(data, mixed).train.take(torch.arange(8))
    reps = trainer.represent(batch)
    exact = trainer.method(trainer.networks, batch)
    assert reps.student_logits.dtype == torch.float32
    assert not torch.equal(reps.student, exact.student)  # it did compute in bfloat16
    torch.testing.assert_close(reps.student, exact.student, atol=0.05, rtol=0.05)

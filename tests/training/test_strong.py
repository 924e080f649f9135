"""Runs under the strong protocol: the bytes of resumed ones, their last epoch and weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from amid.core.checkpoint import read_checkpoint
from amid.core.types import Batch
from amid.data.splits import load_splits
from amid.errors import Stopped
from amid.networks.crossmodal import CrossModal
from amid.runs.plan import PlannedRun
from amid.studies import load_params
from amid.training.augmentation import ModalityDropout
from amid.training.job import MODEL
from amid.training.model_file import load_model
from amid.training.trainer import Trainer
from tests.small import ROOT, small_params, small_run, write_data
from tests.training.test_trainer import Wholes, left_by, train, wholes

STRONG = {
    **load_params(ROOT / "params.yaml").training.strong,
    **{"epochs": 5, "warmup_epochs": 2, "learning_rate": 0.01},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "avlips")


def strong_run(data: Path, configuration: str, seed: int = 0, **numbers: object) -> PlannedRun:
    training = small_params().training.model_copy(update={"protocol": "strong", "strong": STRONG})
    blocks = {
        name: block.model_copy(update={"training": {"batch_size": 8, **numbers}})
        for name, block in small_params().data.items()
    }
    return small_run(data, configuration, seed, training=training, data=blocks)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Wholes:
    return wholes(lambda name: strong_run(data, name).spec, data, tmp_path_factory)


@pytest.mark.parametrize("configuration", ["student_alone", "amid", "gmc"])
@pytest.mark.parametrize("batches", [3, 11])
def test_a_run_stopped_within_an_epoch_ends_in_the_same_bytes(
    configuration: str, batches: int, whole, data: Path, tmp_path: Path
) -> None:
    spec = strong_run(data, configuration).spec
    assert spec.training["augmentation"]
    left = iter(range(batches))
    with pytest.raises(Stopped):
        train(spec, data, tmp_path / "cut", stop=lambda: next(left, None) is None)
    resumed = train(spec, data, tmp_path / "cut")
    assert left_by(resumed, tmp_path / "cut") == whole(configuration)


def test_warm_up_and_joint_training_end_as_an_unbroken_run(data: Path, tmp_path: Path) -> None:
    run = strong_run(data, "amid")
    unbroken = train(run.spec, data, tmp_path / "unbroken")
    train(run.parent, data, tmp_path / "warmup")
    warmed_up = tmp_path / "warmup" / "checkpoint.safetensors"
    joined = train(run.spec, data, tmp_path / "joined", parent=warmed_up)
    assert left_by(joined, tmp_path / "joined") == left_by(unbroken, tmp_path / "unbroken")


def test_a_fixed_teachers_outputs_are_of_the_augmented_clips(data: Path, tmp_path: Path) -> None:
    run = strong_run(data, "crd")
    train(run.teacher, data, tmp_path / "teacher")
    teacher = tmp_path / "teacher" / MODEL
    weights, card = read_checkpoint(teacher)
    networks = load_model(card, weights, teacher)
    trainer = Trainer(run.spec, load_splits(data, run.spec), networks)
    rows = torch.arange(6)
    (batch,) = trainer._load(3, [rows])
    clean = trainer.data.train.take(rows)
    assert not torch.equal(batch.target, clean.target)
    assert not torch.equal(batch.teacher_logits, clean.teacher_logits)
    with torch.no_grad():
        seen = Trainer(run.spec, load_splits(data, run.spec), networks).data.train.take(rows)
        seen = type(seen)(batch.target, seen.auxiliary, seen.labels, seen.samples)
        assert torch.equal(batch.teacher_logits, networks(seen).teacher_logits)


def test_the_last_epoch_is_evaluated_with_averaged_weights(data: Path, tmp_path: Path) -> None:
    spec = strong_run(data, "student_alone").spec
    record = train(spec, data, tmp_path)
    assert record.best_epoch == len(record.history) - 1 == 4
    assert record.predictions["best"] == record.predictions["last"]
    weights, _ = read_checkpoint(tmp_path / MODEL)
    state, _ = read_checkpoint(tmp_path / "checkpoint.safetensors")
    for name, value in weights.items():
        assert torch.equal(value, state[f"average.networks.{name}"]), name
    assert any(not torch.equal(value, state[f"networks.{name}"]) for name, value in weights.items())


def test_smoothed_labels_keep_a_loss_that_hard_labels_do_not(data: Path, tmp_path: Path) -> None:
    """At the optimum of C = 4 classes smoothed by s the probability of the right one is
    1 - 3 s / 4, not 1."""
    found = {}
    for share in (0.0, 0.4):
        spec = strong_run(data, "student_alone", label_smoothing=share, epochs=40).spec
        trainer = Trainer(spec, load_splits(data, spec))
        for epoch in range(40):
            trainer.train_epoch(epoch)
        trainer.networks.eval()
        with torch.no_grad():
            train_split = trainer.data.train
            probabilities = trainer.represent(train_split).student_logits.softmax(1)
        found[share] = probabilities.gather(1, train_split.labels[:, None]).median().item()
    assert found[0.0] > 0.9
    assert found[0.4] == pytest.approx(0.7, abs=0.1)


def test_the_papers_protocol_has_none_of_these_numbers_in_its_runs(data: Path) -> None:
    for run in (small_run(data, "amid").spec, small_run(data, "amid").parent):
        assert run.training.keys() - {"decay"} == {  # decay: where a milestone lies in the run
            "batch_size", "epochs", "learning_rate", "milestones", "optimiser", "weight_decay"
        }  # fmt: skip
    spec = strong_run(data, "amid")
    horizon = {"epochs": 5, "warmup": 0.1}
    assert spec.spec.training["schedule"] == spec.parent.training["schedule"] == horizon
    assert spec.spec.training["ema"] == spec.parent.training["ema"] == pytest.approx(0.25)
    assert (spec.spec.training["epochs"], spec.parent.training["epochs"]) == (5, 2)


def test_hidden_embeddings_are_drawn_by_seed_epoch_clip_and_modality() -> None:
    def hidden(seed: int, epoch: int, samples: list[int]) -> dict[str, list[float]]:
        count = len(samples)
        embeddings = {name: torch.ones(count, 2) for name in ("audio", "text")}
        batch = Batch(torch.zeros(count, 3), embeddings, torch.zeros(count), torch.tensor(samples))
        seen = ModalityDropout(0.3, seed)(batch, epoch).seen
        return {name: flags.tolist() for name, flags in seen.items()}

    samples = list(range(2000))
    found = hidden(0, 1, samples)
    for flags in found.values():
        assert set(flags) == {0.0, 1.0}
        assert sum(flags) / 2000 == pytest.approx(0.7, abs=0.04)
    assert found["audio"] != found["text"]
    assert found != hidden(1, 1, samples)
    assert found != hidden(0, 2, samples)
    assert hidden(0, 1, samples[::-1]) == {name: flags[::-1] for name, flags in found.items()}
    assert hidden(0, 1, [7]) == {name: [flags[7]] for name, flags in found.items()}


@pytest.mark.parametrize("normalized", [False, True])
def test_a_teacher_gets_zeros_for_what_it_does_not_see(normalized: bool) -> None:
    networks = CrossModal(
        trains=("student", "auxiliary", "teacher"),
        classes=3,
        target_shape=(5,),
        auxiliary_dims={"audio": 4, "text": 6},
        network={
            **{"dim": 4, "slope": 0.2, "encoder": "mlp", "fusion": {"hidden": 8}},
            "mlp": {"hidden": 8, "dropout": 0.0},
        },
        seed=0,
        normalize_representations=normalized,
    )
    target = torch.randn(7, 5)
    networks.student.prepare(target)
    embeddings = {"text": torch.randn(7, 6), "audio": torch.randn(7, 4)}
    whole = Batch(target, embeddings, torch.zeros(7), torch.arange(7))
    audio = torch.tensor([0.0, 1, 0, 1, 0, 1, 0])
    text = torch.tensor([0.0, 0, 1, 1, 1, 1, 0])
    part = replace(whole, seen={"audio": audio, "text": text})
    zeros = {"audio": embeddings["audio"] * audio[:, None], "text": embeddings["text"].clone()}
    zeros["text"][text == 0] = 0
    reps, without = networks(part), networks(replace(whole, auxiliary=zeros))
    assert torch.equal(reps.teacher_logits, without.teacher_logits)
    assert not torch.equal(reps.teacher_logits, networks(whole).teacher_logits)
    for name in ("student_logits", "auxiliary"):
        assert torch.equal(getattr(reps, name), getattr(networks(whole), name))
    for name, flags in part.take(torch.tensor([2, 0])).seen.items():
        assert flags.tolist() == part.seen[name][[2, 0]].tolist()


def test_only_a_run_that_trains_a_teacher_hides_embeddings_from_it(data: Path) -> None:
    assert strong_run(data, "amid").spec.training["modality_dropout"] == 0.5
    assert strong_run(data, "amid").parent.training["modality_dropout"] == 0.5
    crd = strong_run(data, "crd")
    assert crd.teacher.training["modality_dropout"] == 0.5
    for spec in (crd.spec, strong_run(data, "student_alone").spec):
        assert "modality_dropout" not in spec.training
    changed = strong_run(data, "student_alone", modality_dropout=0.25).spec
    assert changed == strong_run(data, "student_alone").spec

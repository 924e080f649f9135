"""The methods on request: their terms, who learns from them, fixed and joint teachers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy, mse_loss

from amid.core.types import Batch
from amid.core.video_clips import Clips
from amid.losses.logits import softened_divergence
from amid.losses.mgd import frozen
from amid.methods.mfh import encode
from amid.runs.plan import PlannedRun, with_needed
from amid.training.job import CHECKPOINT, MODEL, TrainingJob
from amid.training.train import train
from amid.training.trainer import Trainer
from tests.losses import distillation_by_loops as loops
from tests.small import small_run, untrained, write_data

TERMS = {
    "kd": {"distillation"},
    "lskd": {"distillation"},
    "dkd": {"target", "non_target"},
    "dist": {"inter_class", "intra_class"},
    "fitnets": {"hint"},
    "rkd": {"distance", "angle"},
    "c2kd": {"student_proxy", "teacher_proxy", "distillation", "feedback"},
    "ofakd": {"distillation", "branch"},
}
EVERY = (*TERMS, "mfh", "cotrained")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "avlips", modalities=("audio", "text"))


def trainer(data: Path, configuration: str, **overrides: object) -> Trainer:
    return untrained(small_run(data, configuration, overrides=overrides), data)


def terms(one: Trainer, batch: Batch) -> dict[str, torch.Tensor]:
    return one.method.losses(one.method(one.networks, batch), batch.labels)


def reached(one: Trainer, value: torch.Tensor) -> set[str]:
    """First parts of the names of the parameters that a term's gradient reaches."""
    parameters = {**dict(one.networks.named_parameters()), **dict(one.method.named_parameters())}
    gradients = torch.autograd.grad(
        value, list(parameters.values()), retain_graph=True, materialize_grads=True
    )
    found = zip(parameters, gradients, strict=True)
    return {name.split(".")[0] for name, gradient in found if gradient.abs().sum() > 0}


@pytest.mark.parametrize("method", TERMS)
def test_a_fixed_teacher_comes_with_the_batch_and_the_student_learns(data, method) -> None:
    one = trainer(data, method, teacher="fixed")
    assert one.networks.teacher is None
    found = terms(one, one.data.train.take(torch.arange(12)))
    assert set(found) == {"classification"} | TERMS[method]
    for name, value in found.items():
        assert value.isfinite()
        taught = reached(one, value)
        proxies = {"proxies"} if name in ("teacher_proxy", "feedback") else set()
        assert proxies or "student" in taught, name
        assert proxies <= taught


@pytest.mark.parametrize("method", TERMS)
def test_a_joint_teacher_learns_from_labels_alone_but_c2kds(data, method) -> None:
    one = trainer(data, method, teacher="joint")
    found = terms(one, one.data.train.take(torch.arange(12)))
    assert set(found) == {"classification", "teacher_classification"} | TERMS[method]
    assert reached(one, found["teacher_classification"]) == {"teacher", "student", "classifier"}
    of_student = [found[name] for name in TERMS[method]]
    assert ("teacher" in reached(one, sum(of_student))) == (method == "c2kd")


def test_the_weights_multiply_their_terms(data) -> None:
    one = trainer(data, "kd", classification_weight=0.25, weight=3.0, temperature=2.0)
    batch = one.data.train.take(torch.arange(12))
    reps = one.method(one.networks, batch)
    found = terms(one, batch)
    right = cross_entropy(reps.student_logits, batch.labels)
    torch.testing.assert_close(found["classification"], 0.25 * right)
    divergence = softened_divergence(reps.student_logits, batch.teacher_logits, 2.0)
    torch.testing.assert_close(found["distillation"], 3 * divergence)


def test_dkds_terms_grow_over_the_first_epochs(data) -> None:
    one = trainer(data, "dkd", ramp_epochs=4)
    batch = one.data.train.take(torch.arange(12))
    found = []
    for epoch in (0, 1, 3, 9):
        one.method.begin_epoch(epoch)
        found.append(terms(one, batch))
    whole = found[-1]
    for epoch, share in enumerate((0.25, 0.5, 1.0)):
        for name in TERMS["dkd"]:
            torch.testing.assert_close(found[epoch][name], share * whole[name])
        assert torch.equal(found[epoch]["classification"], whole["classification"])
    steep = trainer(data, "dkd", ramp_epochs=0)
    assert steep.method.ramp == 1.0


def test_a_fixed_teacher_is_not_taught_by_its_proxy_but_teaches_it(data) -> None:
    one = trainer(data, "c2kd_fixed")
    found = terms(one, one.data.train.take(torch.arange(12)))
    assert reached(one, found["teacher_proxy"]) == {"proxies"}
    assert reached(one, found["student_proxy"]) == {"proxies", "student", "classifier"}


def test_a_batch_of_one_meets_the_running_statistics(data) -> None:
    proxy = trainer(data, "c2kd").method.proxies["student"]
    rows = torch.randn(9, 16, generator=torch.Generator().manual_seed(0))
    proxy(rows)
    before = {name: value.clone() for name, value in proxy.state_dict().items()}
    one = proxy(rows[:1])
    torch.testing.assert_close(one, proxy.eval()(rows[:1]))
    assert all(torch.equal(before[name], value) for name, value in proxy.state_dict().items())


def test_co_training_brings_both_sides_logits_together(data) -> None:
    one = trainer(data, "cotrained")
    batch = one.data.train.take(torch.arange(12))
    reps = one.method(one.networks, batch)
    found = terms(one, batch)
    right = sum(cross_entropy(x, batch.labels) for x in (reps.student_logits, reps.teacher_logits))
    torch.testing.assert_close(found["classification"], right)
    torch.testing.assert_close(found["logits"], mse_loss(reps.student_logits, reps.teacher_logits))
    assert reached(one, found["logits"]) == {"teacher", "student", "classifier"}


def test_mfh_ranks_channels_on_the_whole_split_and_teaches_from_the_rest(data) -> None:
    run = small_run(data, "mfh")
    assert (run.teacher.method, run.spec.teacher) == ("cotrained", run.teacher.key)
    assert [each.spec.method for each in with_needed([run])] == ["cotrained", "mfh"]
    teacher = untrained(PlannedRun("cotrained", "", run.teacher), data)
    one = trainer(data, "mfh")
    train, networks = one.data.train, teacher.networks.eval()
    reps = networks(replace(train, teacher=None))
    torch.testing.assert_close(train.teacher, reps.teacher)
    classifier = networks.classifier.weight, networks.classifier.bias
    rows = (reps.student_logits, reps.teacher, *classifier)
    salience = loops.channel_salience(*(x.tolist() for x in rows))
    kept = torch.tensor(salience).argsort(stable=True)[12:]  # int(0.75 * 16) are replaced
    general = train.teacher.mean(0).expand_as(train.teacher).clone()
    general[:, kept] = train.teacher[:, kept]
    want = torch.nn.functional.linear(general, *classifier)
    torch.testing.assert_close(one.method.teacher_logits, want)
    assert not torch.allclose(want, train.teacher_logits, atol=1e-3)
    batch = train.take(torch.tensor([7, 3, 30]))
    got = terms(one, batch)
    reps = one.method(one.networks, batch)
    wanted = softened_divergence(reps.student_logits, want[batch.samples], 1.0)
    torch.testing.assert_close(got["distillation"], wanted)
    assert got["classification"] == 0
    untouched = trainer(data, "mfh", ratio=0.0).method.teacher_logits
    torch.testing.assert_close(untouched, train.teacher_logits)
    assert torch.equal(frozen(train.teacher, torch.tensor(salience), 0.0), train.teacher)


def test_videos_are_encoded_as_the_mean_of_their_windows() -> None:
    class Student(torch.nn.Module):
        def windows(self, clips: Clips) -> tuple[Clips, torch.Tensor]:
            return clips.windows(2)

        def read(self, clips: Clips) -> torch.Tensor:
            return clips.pictures(2, 4).float()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(dim=(1, 2, 3))  # (W, 3)

    networks = torch.nn.Module()
    networks.student, networks.classifier = Student(), torch.nn.Linear(3, 2)
    values = [torch.full((n, 4, 4, 3), 10 * k + n, dtype=torch.uint8) for k, n in ((1, 4), (2, 3))]
    clips = Clips.of([v.numpy() for v in values])
    numbers = torch.arange(2)
    found = encode(networks, Batch(clips, {}, numbers, numbers))
    torch.testing.assert_close(found, torch.tensor([[14.0] * 3, [23.0] * 3]))


@pytest.mark.slow
@pytest.mark.parametrize("method", EVERY)
def test_every_one_trains_to_the_end_and_is_better_than_chance(data, method, tmp_path) -> None:
    """Its fixed teacher, where it has one, trained before it, from files alone."""
    models: dict[str, Path] = {}
    for run in with_needed([small_run(data, method)]):
        folder = tmp_path / run.spec.key
        folder.mkdir()
        teacher = models.get(run.spec.teacher)
        record = train(TrainingJob(run.spec, data, folder, teacher=teacher))
        models[run.spec.key] = folder / MODEL
        assert (folder / CHECKPOINT).exists()
    head = record.selected_on
    assert head == ("teacher" if method == "cotrained" else "student")
    assert record.accuracy(head) > 0.4  # of four classes
    assert len(record.history) == 6

"""AMID without one of its parts (Table 5), and the readings of its adversarial term."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from amid.networks.discriminators import Discriminator
from amid.training.trainer import Trainer
from tests.small import small_run, untrained, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "avlips")


def trainer(data: Path, configuration: str = "amid", **overrides: object) -> Trainer:
    run = small_run(data, configuration, overrides=overrides)
    return untrained(run, data)


def parameters(module: torch.nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in module.parameters()]


READINGS = [
    {"adversarial": "saturating"},
    {"adversarial": "least_squares"},
    {"discriminator_sees": "raw", "discriminator_enhanced_sees": "raw"},
    {"discriminator_sees": "class", "discriminator_enhanced_sees": "class"},
    {"discriminator_optimiser": "adam"},
    {"discriminator_spectral": True},
    {"discriminator_penalty": 1.0},
    {"discriminator_steps": 3},
    {"gamma_ramp": 3},
    {"enhanced": False},
    {"enhanced": False, "discriminator_penalty": 1.0},
    {"dynamic": False},
]


@pytest.mark.parametrize("reading", READINGS, ids=lambda r: "-".join(map(str, r.values())))
def test_every_reading_trains_both_sides_and_stays_finite(data: Path, reading: dict) -> None:
    one = trainer(data, **reading)
    start = one.spec.options["warmup_epochs"]
    before = parameters(one.method)
    warm = one.train_epoch(0)
    assert "train_l_adv" not in warm
    assert all(map(torch.equal, before, parameters(one.method)))
    metrics = one.train_epoch(start)
    assert not all(map(torch.equal, before, parameters(one.method)))
    assert all(value == value and abs(value) < 1e6 for value in metrics.values())
    assert {"train_l_adv", "train_discriminator", "w1", "w2"} <= metrics.keys()


def test_the_adversarial_term_moves_the_student_alone(data: Path) -> None:
    one = trainer(data, discriminator_penalty=1.0)
    one.method.begin_epoch(5)
    batch = one.data.train.take(torch.arange(16))
    reps = one.method(one.networks, batch)
    terms = one.method.losses(reps, batch.labels)
    terms["l_adv"].backward()
    assert all(p.grad is None for p in one.method.parameters())
    assert all(p.grad is None for p in one.networks.teacher.parameters())
    assert one.networks.student.project.weight.grad.abs().sum() > 0


def test_without_d2_there_is_one_discriminator_with_the_whole_weight(data: Path) -> None:
    one = trainer(data, "without_d2")
    names = {name.split(".")[1] for name, _ in one.method.named_parameters()}
    assert names == {"d1"}
    one.method.begin_epoch(5)
    assert one.method.weights().tolist() == [1.0, 0.0]


def test_without_the_dynamic_weight_both_count_alike_whatever_the_epochs_say(data: Path) -> None:
    one = trainer(data, "without_dynamic")
    one.train_epoch(5)
    assert one.method.weights().tolist() == [0.5, 0.5]
    with_it = trainer(data)
    metrics = with_it.train_epoch(5)
    assert with_it.method.weights().tolist() == [metrics["w1"], metrics["w2"]]
    assert metrics["w1"] != 0.5


def test_without_a_warm_up_the_discriminators_play_from_the_first_epoch(data: Path) -> None:
    assert "train_l_adv" in trainer(data, "without_warmup").train_epoch(0)
    assert small_run(data, "without_warmup").parent is None


def test_a_fixed_teacher_is_left_alone_and_l_fa_with_it(data: Path) -> None:
    one = trainer(data, "fixed_teacher")
    assert one.networks.teacher is None
    before = one.data.train.teacher.clone()
    metrics = one.train_epoch(5)
    assert torch.equal(before, one.data.train.teacher)
    assert "train_l_fa" not in metrics
    assert {"train_l_ft", "train_jensen_shannon", "train_l_adv"} <= metrics.keys()
    run = small_run(data, "fixed_teacher")
    assert run.teacher.method == "teacher"
    assert run.parent.teacher == run.teacher.key


def test_gamma_grows_over_the_ramp_to_its_value(data: Path) -> None:
    one = trainer(data, gamma=2.0, gamma_ramp=4)
    start = one.spec.options["warmup_epochs"]
    seen = []
    for epoch in range(start, start + 6):
        one.method.begin_epoch(epoch)
        seen.append(one.method.gamma)
    assert seen == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


def test_discriminators_step_as_often_as_asked(data: Path, monkeypatch) -> None:
    one = trainer(data, discriminator_steps=3)
    steps = []
    monkeypatch.setattr(one.adversary, "step", lambda: steps.append(1))
    one.method.begin_epoch(5)
    one.step(one.data.train.take(torch.arange(8)))
    assert len(steps) == 3


def test_what_a_discriminator_sees() -> None:
    z, labels = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([2, 0])

    def seen(sees: str) -> list[list[float]]:
        return Discriminator(2, 4, 3, 0.2, sees=sees, classes=3).sight(z, labels).tolist()

    assert seen("raw") == z.tolist()
    direction = [[0.6 * 2**0.5, 0.8 * 2**0.5], [0.0, 0.0]]
    for got, want in zip(seen("direction"), direction, strict=True):
        assert got == pytest.approx(want)
    joined = seen("class")
    assert joined[0] == pytest.approx([*direction[0], 0, 0, 1])
    assert joined[1] == pytest.approx([*direction[1], 1, 0, 0])


def test_the_penalty_is_the_mean_squared_gradient_by_what_is_seen_of_the_teacher(
    data: Path,
) -> None:
    plain, penalised = trainer(data), trainer(data, discriminator_penalty=3.0)
    labels = torch.tensor([0, 0, 1, 2])
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 4, 16)
    extra = penalised.method.adversary.loss(student, teacher, labels) - plain.method.adversary.loss(
        student, teacher, labels
    )
    want = 0.0
    for judge, rows, weight in (
        (plain.method.adversary.d1, [0, 1, 2, 3], 1.0),
        (plain.method.adversary.d2, [0, 1], 0.5),  # the class that is repeated; eta is 1/2
    ):
        for row in rows:
            seen = judge.sight(teacher[[row]], labels[[row]]).requires_grad_()
            (slope,) = torch.autograd.grad(judge.body(seen).sum(), seen)
            want += weight * slope.square().sum().item() / len(rows)
    assert extra.item() == pytest.approx(3.0 / 2 * want, rel=1e-4)


def test_spectral_normalisation_bounds_every_layer() -> None:
    torch.manual_seed(0)
    judge = Discriminator(8, 6, 3, 0.2, spectral=True)
    for _ in range(200):  # power iterations, one a pass
        judge(torch.randn(4, 8), torch.zeros(4, dtype=torch.int64))
    for layer in judge.body:
        if hasattr(layer, "weight"):
            assert torch.linalg.matrix_norm(layer.weight, ord=2).item() <= 1 + 1e-3


@pytest.mark.parametrize("labels", [[0], [0, 1, 2], [1, 1, 1, 1]])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("configuration", ["amid", "without_d2"])
def test_odd_batches_stay_finite(data, configuration, labels, penalty) -> None:
    one = trainer(data, configuration, discriminator_penalty=penalty)
    labels = torch.tensor(labels)
    zero = torch.zeros(len(labels), 16)
    for student, teacher in ((zero, zero), (torch.randn(len(labels), 16) * 1e4, zero)):
        student = student.clone().requires_grad_()
        game = one.method.adversary
        loss = game.loss(student, teacher, labels)
        fooled = game.fooled(student, labels, torch.tensor([0.5, 0.5]))
        assert loss.isfinite()
        assert fooled.isfinite()
        (fooled + loss).backward()
        grads = [student.grad, *(p.grad for p in game.parameters() if p.grad is not None)]
        assert all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize(("form", "middle"), [("non_saturating", 0.0), ("least_squares", 0.5)])
def test_a_discriminators_accuracy_is_of_both_networks_rows(data: Path, form, middle) -> None:
    """D1 and D2 answer with the first number of what they see, and D2 sees repeated classes."""
    adversary = trainer(data, adversarial=form, discriminator_sees="raw").method.adversary
    for judge in (adversary.d1, adversary.d2):
        judge.sight = lambda z, labels: z
        judge.judge = lambda seen, frozen=False: seen[:, 0] + middle
    teacher = torch.tensor([[1.0, 0], [2.0, 0], [-1.0, 0], [3.0, 0]])
    student = torch.tensor([[-1.0, 0], [2.0, 0], [1.0, 0], [5.0, 0]])
    adversary.loss(student, teacher, torch.tensor([0, 0, 1, 2]))
    assert adversary.accuracies() == {"d1_accuracy": 4 / 8, "d2_accuracy": 3 / 4}
    adversary.loss(-student, teacher, torch.tensor([0, 1, 2, 3]))  # D2 sees none of these
    assert adversary.accuracies() == {"d1_accuracy": (4 + 6) / 16, "d2_accuracy": 3 / 4}
    adversary.forget_counts()
    assert adversary.accuracies() == {}


def test_accuracies_are_metrics_of_every_joint_epoch_and_outlast_a_stop(data: Path) -> None:
    one = trainer(data)
    start = one.spec.options["warmup_epochs"]
    assert "d1_accuracy" not in one.train_epoch(0)
    metrics = one.train_epoch(start)
    assert 0 <= metrics["d1_accuracy"] <= 1
    assert 0 <= metrics["d2_accuracy"] <= 1
    again = one.train_epoch(start + 1)
    one.method.begin_epoch(start)
    one.method.adversary.counts = {"d1": [torch.tensor(3.0), 4], "d2": [1.0, 2.0]}
    other = trainer(data)
    other.method.begin_epoch(start)
    other.method.load_schedule_state(one.method.schedule_state())
    assert other.method.adversary.accuracies() == {"d1_accuracy": 0.75, "d2_accuracy": 0.5}
    assert again.keys() == metrics.keys()
    assert "d2_accuracy" not in trainer(data, enhanced=False).train_epoch(start)

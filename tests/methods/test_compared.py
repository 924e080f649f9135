"""The compared methods: who learns from what, what a batch leaves in the banks, edge cases."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from amid.core.types import Batch
from amid.losses.ccl import pair_contrastive
from amid.losses.crd import noise_contrastive
from amid.losses.logits import symmetric_divergence
from amid.methods import METHODS
from amid.methods.ccl import Composition
from amid.methods.crcd import classification_gradient, partners
from amid.networks.memory import MemoryBank, Negatives
from amid.training.trainer import Trainer
from tests.small import project_params, small_params, small_run, untrained, write_data

COMPARED = ("crd", "gmc", "ccl", "crcd")
# Trained where a section is told to (docs/methods.md); not by `dvc repro`.
ON_REQUEST = {"kd", "lskd", "dkd", "dist", "fitnets", "rkd", "c2kd", "ofakd", "cotrained", "mfh"}


def configuration_of(method: str) -> str:
    """The configuration of a method that has its name, else the first in params.yaml."""
    blocks = project_params().configurations
    names = [name for name, block in blocks.items() if block["method"] == method]
    return method if method in names or not names else names[0]


# Of every method, also of one that somebody added.
EVERY = {method: configuration_of(method) for method in METHODS}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "avlips", modalities=("audio", "text"))


def trainer(
    data: Path, configuration: str, *, auxiliary: tuple[str, ...] = ("audio",), **overrides
):
    """A trainer of the configuration, its fixed teacher untrained."""
    if configuration in METHODS:  # with its published numbers: tuning may have put terms to 0
        overrides = {**small_params().methods[configuration], **overrides}
    run = small_run(data, configuration, auxiliary=auxiliary, overrides=overrides)
    return untrained(run, data)


def terms(one: Trainer, batch: Batch) -> dict[str, torch.Tensor]:
    return one.method.losses(one.method(one.networks, batch), batch.labels)


def touched(one: Trainer, value: torch.Tensor) -> set[str]:
    """First two parts of the names of the parameters that a term's gradient reaches."""
    one.networks.zero_grad()
    one.method.zero_grad()
    value.backward(retain_graph=True)
    names = [*one.networks.named_parameters(), *one.method.named_parameters()]
    reached = (n for n, p in names if p.grad is not None and p.grad.abs().sum() > 0)
    return {".".join(name.split(".")[:2]) for name in reached}


@pytest.mark.parametrize("configuration", COMPARED)
def test_terms_have_names_and_reach_the_student(data: Path, configuration: str) -> None:
    one = trainer(data, configuration)
    found = terms(one, one.data.train.take(torch.arange(12)))
    assert all(value.isfinite() and value.ndim == 0 for value in found.values())
    assert "student.project" in touched(one, sum(found.values()))
    expected = {
        "crd": {"classification", "student_contrastive", "teacher_contrastive"},
        "gmc": {"classification", "contrastive"},
        "ccl": {
            "classification",
            "contrastive",
            "divergence",
            "student_contrastive",
            "composition_classification",
            "composition_contrastive",
        },
        "crcd": {
            "classification",
            "distillation",
            "gradient",
            "student_relation",
            "teacher_relation",
        },
    }
    assert set(found) == expected[configuration]


def test_ccl_student_and_composition_learn_from_their_own_losses_alone(data: Path) -> None:
    """The gradients are those of two separate backward passes, as in the released code."""
    one = trainer(data, "ccl")
    batch = one.data.train.take(torch.arange(12))
    labels, tau = batch.labels, one.method.options["temperature"]
    own = list(one.method.parameters())
    theirs = list(one.networks.parameters())
    got = torch.autograd.grad(sum(terms(one, batch).values()), [*theirs, *own])

    reps = one.networks(batch)
    v, a = reps.student, reps.modalities["audio"]
    m, logits = one.method.compositions["audio"](a, v)
    cross_entropy = torch.nn.functional.cross_entropy
    shared = pair_contrastive(v, m, labels, tau) + symmetric_divergence(reps.student_logits, logits)
    student = cross_entropy(reps.student_logits, labels) + shared
    student = student + pair_contrastive(v, a, labels, tau)
    composition = cross_entropy(logits, labels) + shared + pair_contrastive(m, a, labels, tau)
    wanted = [
        *torch.autograd.grad(student, theirs, retain_graph=True),
        *torch.autograd.grad(composition, own),
    ]
    for one_grad, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one_grad, other, rtol=1e-4, atol=1e-6)


def test_ccl_composes_every_auxiliary_modality(data: Path) -> None:
    one, two = trainer(data, "ccl"), trainer(data, "ccl", auxiliary=("audio", "text"))
    assert set(two.method.compositions) == {"audio", "text"}
    batch = two.data.train.take(torch.arange(12))
    first, both = terms(one, one.data.train.take(torch.arange(12))), terms(two, batch)
    assert both["composition_classification"] > first["composition_classification"]
    two.method.eval()
    reps = two.method(two.networks, batch)
    parts = [c(reps.modalities[n], reps.student)[1] for n, c in two.method.compositions.items()]
    torch.testing.assert_close(reps.teacher_logits, torch.stack(parts).mean(0))


def test_the_composition_is_the_auxiliary_feature_and_a_residual_of_directions() -> None:
    torch.manual_seed(0)
    compose = Composition(3, 2, 4).double()
    a, v = torch.randn(5, 3).double(), torch.randn(5, 2).double()
    m, logits = compose(a, v)
    for i in range(5):
        both = torch.cat([a[i] / a[i].norm(), v[i] / v[i].norm()])
        wanted = a[i] + compose.residual.weight @ both + compose.residual.bias
        torch.testing.assert_close(m[i], wanted)
        torch.testing.assert_close(
            logits[i], compose.classifier.weight @ wanted + compose.classifier.bias
        )
    torch.testing.assert_close(compose(a, 7 * v)[0], m)


def test_gmc_classifies_the_joint_and_tests_the_students_direction_in_its_place(data) -> None:
    one = trainer(data, "gmc", auxiliary=("audio", "text"))
    batch = one.data.train.take(torch.arange(12))
    reps = one.method(one.networks, batch)
    dim = reps.student.shape[1]
    for rows in (reps.student, reps.teacher):
        torch.testing.assert_close(rows.norm(dim=1), torch.full((12,), dim**0.5))
    torch.testing.assert_close(reps.student_logits, one.networks.classifier(reps.student))
    found = terms(one, batch)
    assert {"teacher.hidden", "student.project"} <= touched(one, found["classification"])
    reached = touched(one, found["contrastive"])
    assert {"projections.audio", "projections.text", "student.project"} <= reached
    assert "classifier.weight" not in reached
    one.method.options["weight"] = 0.0
    assert set(terms(one, batch)) == {"classification"}


@pytest.mark.parametrize("configuration", ["crd", "crcd", "fixed_teacher"])
def test_a_fixed_teacher_is_not_trained_and_reported_as_it_is(data, configuration) -> None:
    one = trainer(data, configuration)
    assert one.networks.teacher is None
    before = one.data.test.teacher_logits.clone()
    predictions, _ = one.test()
    assert predictions["teacher"] == before.argmax(1).tolist()
    right = one.data.validation.teacher_logits.argmax(1) == one.data.validation.labels
    metrics = one.validate()
    assert metrics["validation_teacher"] == pytest.approx(right.double().mean().item())
    one.train_epoch(0)
    assert torch.equal(one.data.test.teacher_logits, before)


@pytest.mark.parametrize("configuration", ["crd", "crcd"])
def test_banks_move_after_the_step_and_for_the_batch_alone(data, configuration) -> None:
    one = trainer(data, configuration)
    bank = one.method.memory.banks["student"]
    before = bank.rows.clone()
    rows = torch.tensor([3, 8, 5, 21])
    one.step(one.data.train.take(rows))
    moved = (bank.rows != before).any(1)
    assert moved.nonzero().flatten().tolist() == [3, 5, 8, 21]
    torch.testing.assert_close(bank.rows.norm(dim=1), torch.ones(len(before)))
    constant = bank.normaliser.clone()
    assert constant > 0
    one.step(one.data.train.take(torch.arange(10)))
    assert torch.equal(bank.normaliser, constant)  # fixed by the first batch


def test_a_bank_is_a_moving_average_on_the_sphere() -> None:
    bank = MemoryBank(4, 3, 0.5, seed=0)
    past, new = bank.rows[2].clone(), torch.nn.functional.normalize(torch.randn(1, 3))
    bank.update(torch.tensor([2]), new)
    wanted = 0.5 * past + 0.5 * new[0]
    torch.testing.assert_close(bank.rows[2], wanted / wanted.norm())


def test_the_normaliser_is_n_times_the_mean_score_of_what_was_drawn() -> None:
    bank = MemoryBank(10, 3, 0.5, seed=0)
    scores = torch.tensor([[2.0, 1.0, 3.0], [4.0, 5.0, 7.0]])
    weights = torch.tensor([[1.0, 0.0], [2.0, 1.0]])
    mean = (2 + 4 + 1 * 1 + 2 * 5 + 1 * 7) / (2 + 4)
    logits = scores.log()
    got = bank.contrast(logits[:, 0], logits[:, 1:], weights)
    assert bank.normaliser.item() == pytest.approx(10 * mean)
    torch.testing.assert_close(got, noise_contrastive(scores / (10 * mean), 10, weights))


def test_negatives_are_of_other_classes_and_add_up() -> None:
    labels = torch.tensor([0, 0, 1, 2, 2, 2])
    few = Negatives(labels, 12)  # more than there are: expected multiplicities of all
    drawn = few.draw(torch.tensor([0, 2]))
    weights = drawn.weights()
    assert drawn.candidates is None
    assert drawn.others.tolist() == [4, 3]
    torch.testing.assert_close(weights.sum(1), torch.tensor([12.0, 12.0]))
    assert weights[0].tolist() == [0, 0, 3, 3, 3, 3]
    many = Negatives(labels.repeat(100), 50)
    torch.manual_seed(0)
    drawn = many.draw(torch.tensor([0, 1]))
    weights = drawn.weights()
    torch.manual_seed(0)
    # half of all are of the largest class: twice as many bring 50 of other classes
    positions = torch.randint(600, (100,))
    times = [n for n, size in enumerate(drawn.sizes, start=1) for _ in range(size)]
    assert dict(zip(drawn.candidates.tolist(), times, strict=True)) == Counter(positions.tolist())
    assert (weights[0][many.labels[drawn.candidates] == 0] == 0).all()
    torch.testing.assert_close(weights.sum(1), torch.tensor([50.0, 50.0]))
    others = [(many.labels[positions] != label).sum().item() for label in (0, 1)]
    assert drawn.others.tolist() == others
    assert not torch.equal(positions, torch.randint(600, (100,)))
    alone = Negatives(torch.zeros(5, dtype=torch.int64), 3).draw(torch.tensor([0]))
    assert alone.weights().sum() == 0


@pytest.mark.parametrize("count", [12, 50])  # some of the bank, and all of it
def test_rows_drawn_from_a_bank_are_contrasted_as_their_logits_are(count: int) -> None:
    labels = torch.tensor([0, 1, 2]).repeat(15)
    negatives = Negatives(labels, count)
    anchors = torch.nn.functional.normalize(torch.randn(4, 8), dim=1)
    samples = torch.tensor([3, 4, 30, 7])
    one, other = MemoryBank(45, 8, 0.5, seed=0), MemoryBank(45, 8, 0.5, seed=0)
    for rows in (anchors, -anchors):  # the second batch meets the first one's Z
        drawn = negatives.draw(labels[samples])
        positive = (rows * one.rows[samples]).sum(1) / 0.07
        logits = rows @ one.at(drawn.candidates).T / 0.07
        want = one.contrast(positive, logits, drawn.weights())
        got = other.contrast_drawn(rows, samples, drawn, 0.07)
        torch.testing.assert_close(got, want, rtol=1e-6, atol=0)
        torch.testing.assert_close(one.normaliser, other.normaliser)


@pytest.mark.parametrize(("count", "each"), [(1, 4), (2, 4), (5, 2), (5, 9)])
def test_partners_are_others_and_as_many_as_there_are(count: int, each: int) -> None:
    first, second = partners(count, each)
    assert len(first) == count * min(each, count - 1)
    assert (first != second).all()
    assert len(set(zip(first.tolist(), second.tolist(), strict=True))) == len(first)


def test_the_classification_gradient_is_p_minus_y_times_the_weights() -> None:
    torch.manual_seed(0)
    features = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(5, 3, dtype=torch.float64)
    labels = torch.tensor([0, 4, 2, 2])
    logits = features @ weights.T
    one_hot = torch.nn.functional.one_hot(labels, 5)
    wanted = (logits.softmax(1) - one_hot) @ weights
    got = classification_gradient(logits, labels, features)
    torch.testing.assert_close(got, wanted)
    assert got.requires_grad


@pytest.mark.parametrize("rows", [[0], [0, 4], [0, 1, 2, 3]], ids=["one", "one class", "no pair"])
@pytest.mark.parametrize("configuration", EVERY.values(), ids=EVERY)
def test_small_batches_are_finite(data: Path, configuration: str, rows: list[int]) -> None:
    one = trainer(data, configuration)
    one.method.begin_epoch(5)
    before = [p.clone() for p in one.networks.parameters()]
    found = one.step(one.data.train.take(torch.tensor(rows)))
    assert all(value.isfinite() for value in found.values())
    after = list(one.networks.parameters())
    assert all(p.isfinite().all() for p in after)
    assert not all(map(torch.equal, before, after))


@pytest.mark.parametrize("configuration", EVERY.values(), ids=EVERY)
def test_a_killed_run_resumes_to_the_same_state(data: Path, configuration: str, tmp_path) -> None:
    whole, cut = trainer(data, configuration), trainer(data, configuration)
    for epoch in (0, 2):  # of the warm-up, and joint
        whole.train_epoch(epoch)
    cut.train_epoch(0)
    cut.state.epoch = 1
    cut.save(tmp_path / "checkpoint.safetensors")
    resumed = trainer(data, configuration)
    resumed.load(tmp_path / "checkpoint.safetensors")
    resumed.train_epoch(2)
    for module in ("networks", "method"):
        mine, theirs = (getattr(t, module).state_dict() for t in (resumed, whole))
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_every_method_is_trained_and_has_a_row() -> None:
    """A method without a configuration in `sections` and in a table would be forgotten silently."""
    params = project_params()
    trained = {name for names in params.sections.values() for name in names}
    rows = {*params.table1, *params.table4, *params.table5} & trained
    found = {params.configurations[name]["method"] for name in rows}
    assert found | ON_REQUEST == set(METHODS)
    assert found >= {*COMPARED, "baseline", "teacher", "amid"}
    configured = {block["method"] for block in params.configurations.values()}
    assert configured == set(METHODS)

"""Sample selection inside training: who is kept, what it costs, that it resumes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from amid.selection import dissect
from amid.selection.rules import Selector
from amid.training.trainer import Trainer
from tests.small import small_run, untrained, write_data

RULES = (
    {"name": "random"},
    {"name": "small_loss"},
    {"name": "dissect", "warmup_epochs": 1},
    {"name": "dissect", "version": "momentum"},
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "avlips")


def trainer(data: Path, configuration: str = "amid", **selection: object) -> Trainer:
    run = small_run(data, configuration, overrides={"selection": selection})
    return untrained(run, data)


@pytest.mark.parametrize("configuration", ["amid", "l_ft", "crd", "gmc", "ccl", "crcd"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: "-".join(map(str, rule.values())))
def test_every_rule_works_with_every_contrastive_method(data, rule, configuration) -> None:
    one = trainer(data, configuration, ratio=0.5, **rule)
    for epoch in range(3):
        metrics = one.train_epoch(epoch)
        assert all(map(torch.isfinite, map(torch.tensor, metrics.values())))
    steps = one.state.steps
    assert steps["steps"] == 3 * 5  # 40 samples in batches of 8
    assert steps["samples"] == 3 * 20
    assert steps["scored"] == (0 if rule["name"] == "random" else 3 * 40)


def test_only_the_kept_samples_go_backward(data: Path) -> None:
    one = trainer(data, name="small_loss", ratio=0.25)
    seen = []
    method, losses = one.method, one.method.losses

    def spy(reps, labels):
        seen.append(reps.samples.clone())
        return losses(reps, labels)

    method.losses = spy
    batch = one.data.train.take(torch.arange(8))
    one.step(batch)
    with torch.no_grad():
        fresh = trainer(data, name="small_loss", ratio=0.25)
        reps = fresh.method(fresh.networks, batch)
        cross_entropy = torch.nn.functional.cross_entropy
        loss = cross_entropy(reps.student_logits, batch.labels, reduction="none")
        loss = loss + cross_entropy(reps.teacher_logits, batch.labels, reduction="none")
    assert len(seen[0]) == 2
    assert sorted(seen[0].tolist()) == sorted(loss.argsort()[:2].tolist())


def test_dissect_compares_with_the_last_warm_up_epoch(data: Path) -> None:
    one = trainer(data, name="dissect", ratio=0.5, warmup_epochs=2)
    one.train_epoch(0)
    one.train_epoch(1)
    history = one.selector.history.clone()
    assert (history > 0).any()
    one.train_epoch(2)
    assert torch.equal(one.selector.history, history)  # fixed from then on
    batch = one.data.train.take(torch.arange(16))
    one.networks.eval()
    reps = one.networks(batch)
    current = dissect.similarity(reps.student, reps.teacher)
    wanted = dissect.keep(current, history[:16], 0.5)
    assert torch.equal(one.selector.choose(one.method, one.networks, batch), wanted)
    assert one.networks.training  # scoring leaves the networks as they were


def test_momentum_moves_the_history_of_every_sample(data: Path) -> None:
    one = trainer(data, name="dissect", ratio=0.5, version="momentum", momentum=0.9)
    batch = one.data.train.take(torch.arange(8))
    one.selector.history[:8] = past = torch.linspace(10, 80, 8)
    with torch.no_grad():
        reps = one.networks(batch)
    current = dissect.similarity(reps.student, reps.teacher)
    one.selector.begin_epoch(1)
    kept = one.selector.choose(one.method, one.networks, batch)
    assert torch.equal(kept, (past - current).argsort(descending=True)[:4].sort().values)
    torch.testing.assert_close(one.selector.history[:8], 0.9 * past + 0.1 * current)


@pytest.mark.parametrize("between", ["teacher", "auxiliary"])
def test_likeness_can_be_to_the_teacher_or_the_auxiliary_model(data: Path, between: str) -> None:
    one = trainer(data, name="dissect", ratio=0.5, between=between, warmup_epochs=1)
    batch = one.data.train.take(torch.arange(8))
    one.selector.begin_epoch(0)
    one.selector.choose(one.method, one.networks, batch)
    with torch.no_grad():
        reps = one.networks(batch)
    other = reps.teacher if between == "teacher" else reps.auxiliary
    torch.testing.assert_close(one.selector.history[:8], dissect.similarity(reps.student, other))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_at_least_one_sample_is_kept(count: int) -> None:
    selector = Selector({"name": "random", "ratio": 0.1}, 10)
    assert len(selector.choose(None, None, torch.arange(count))) == 1


def test_a_selection_resumes_with_its_history(data: Path, tmp_path: Path) -> None:
    whole = trainer(data, name="dissect", ratio=0.5, warmup_epochs=1)
    for epoch in range(3):
        whole.train_epoch(epoch)
    cut = trainer(data, name="dissect", ratio=0.5, warmup_epochs=1)
    cut.train_epoch(0)
    cut.save(tmp_path / "checkpoint.safetensors")
    resumed = trainer(data, name="dissect", ratio=0.5, warmup_epochs=1)
    resumed.load(tmp_path / "checkpoint.safetensors")
    assert resumed.state.steps == cut.state.steps
    for epoch in (1, 2):
        resumed.train_epoch(epoch)
    mine, theirs = resumed.networks.state_dict(), whole.networks.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert resumed.state.steps == whole.state.steps

"""Contrastive runs at small size: what they learn, count, save and refuse."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from amid.contrastive.pairs import load_pairs
from amid.contrastive.trainer import PairTrainer
from amid.core.checkpoint import read_checkpoint
from amid.core.types import RunRecord
from amid.errors import AmidError, Stopped
from amid.methods import METHODS, PAIR_METHODS
from amid.methods.base import Method
from amid.methods.clip import Clip
from amid.runs.multiprocess import launch
from amid.runs.plan import PlannedRun
from amid.selection.pair_rules import RULES
from amid.training.job import CHECKPOINT, MODEL, TrainingJob
from tests.pairs import small_pair_run, write_pairs


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs") / "avsentences")


def trained(run: PlannedRun, data: Path, folder: Path, **job: object) -> RunRecord:
    return launch(TrainingJob(run.spec, data, folder, **job))


def trainer(data: Path, rule: str | None = None, **numbers: object) -> PairTrainer:
    spec = small_pair_run(data, rule, **numbers).spec
    return PairTrainer(spec, load_pairs(data, spec))


def test_learns_to_retrieve(data: Path, tmp_path: Path) -> None:
    record = trained(small_pair_run(data, mismatch_ratio=0.0, epochs=20), data, tmp_path)
    assert record.retrieval["best"]["r@1"] > 0.5  # of 20 clips: 0.05 by chance
    assert record.history[-1]["train_info_nce"] < record.history[0]["train_info_nce"] / 2
    best = [metrics["validation_retrieval"] for metrics in record.history]
    assert record.best_epoch == best.index(max(best))
    assert record.predictions == {"best": {}, "last": {}}
    weights, card = read_checkpoint(tmp_path / MODEL)
    assert card["modalities"] == [
        {"modality": "audio", "shape": [8, 6]},
        {"modality": "text", "shape": [12]},
    ]
    assert "networks.encoders.text.project.weight" in weights
    assert not any("classifier" in name for name in weights)


@pytest.mark.parametrize("rule", [None, *RULES])
def test_every_rule_counts_its_passes_and_the_wrong_pairs(
    data: Path, tmp_path: Path, rule: str | None
) -> None:
    record = trained(small_pair_run(data, rule), data, tmp_path)
    assert RunRecord.from_json(record.to_json()) == record
    scored = {None: 0, "random": 0, "oracle": 0, "dissect_warmup": 5 * 48}.get(rule, 6 * 48)
    assert record.steps == {
        "steps": 18,
        "samples": 6 * (48 if rule is None else 24),
        "scored": scored,
    }
    last = record.history[-1]
    assert (last["samples"], last["scored"]) == (record.steps["samples"], scored)
    if rule is None:
        assert last["kept_wrong"] == 0.25
        assert "found_recall" not in last
        return
    # 12 of 48 pairs are wrong, 24 are kept
    kept = 24 * last["kept_wrong"]
    assert last["found_recall"] == pytest.approx((12 - kept) / 12)
    assert last["found_precision"] == pytest.approx((12 - kept) / 24)
    if rule == "oracle":
        assert last["kept_wrong"] == 0


@pytest.mark.parametrize("rule", ["dissect_warmup", "dissect_momentum", "random"])
@pytest.mark.parametrize("stop_at", [4, 11])
def test_resumes_with_identical_results(
    data: Path, tmp_path: Path, rule: str, stop_at: int
) -> None:
    run = small_pair_run(data, rule)
    want = trained(run, data, tmp_path / "whole")
    calls = iter(range(100))
    with pytest.raises(Stopped):
        trained(run, data, tmp_path / "cut", stop=lambda: next(calls) == stop_at)
    assert trained(run, data, tmp_path / "cut") == want
    for name in (MODEL, CHECKPOINT):
        mine, theirs = (tmp_path / f / name for f in ("cut", "whole"))
        assert mine.read_bytes() == theirs.read_bytes()


def test_scoring_computes_no_gradient_and_leaves_the_networks_alone(data: Path) -> None:
    one = trainer(data, "clipscore")
    state = {name: value.clone() for name, value in one.weights.state_dict().items()}
    draws = torch.get_rng_state()
    found = one._score(one.data.train.take(torch.arange(16)))
    assert not found.losses.requires_grad
    assert not found.similarities.requires_grad
    assert torch.equal(torch.get_rng_state(), draws)
    after = one.weights.state_dict()
    assert all(torch.equal(after[name], value) for name, value in state.items())
    assert one.networks.training


def test_the_loss_is_of_the_kept_pairs_alone(data: Path) -> None:
    one = trainer(data, "oracle")
    seen = []
    losses = one.method.losses

    def spy(reps, labels):
        seen.append((reps.samples, labels, reps.student_logits.shape))
        return losses(reps, labels)

    one.method.losses = spy
    one.step(one.data.train.take(torch.arange(16)))
    ((samples, labels, shape),) = seen
    assert len(samples) == 8
    assert labels is None
    assert shape == (8, 0)  # no classifier
    assert not one.data.wrong[samples].any()


def test_only_the_oracle_is_told_which_pairs_are_wrong(data: Path) -> None:
    for rule in RULES:
        told = trainer(data, rule).selector.wrong
        assert (told is not None) == (rule == "oracle"), rule


def test_learning_rate_warms_up_and_falls_along_a_cosine(data: Path) -> None:
    one = trainer(data)
    rates = []
    for step in range(18):  # 6 epochs of 3 steps, one of warm-up
        one._set_learning_rate(step, 3)
        rates.append(one.optimiser.param_groups[0]["lr"])
    assert rates[:4] == pytest.approx([0.01 / 3, 0.02 / 3, 0.01, 0.01])
    half = [0.005 * (1 + math.cos(math.pi * n / 15)) for n in range(15)]
    assert rates[3:] == pytest.approx(half)
    flat = trainer(data, schedule="constant", warmup_epochs=0)
    flat._set_learning_rate(7, 3)
    assert flat.optimiser.param_groups[1]["lr"] == 0.01


def test_the_scale_is_learned_and_stays_below_100(data: Path) -> None:
    one = trainer(data)
    assert one.method.end_epoch()["scale"] == pytest.approx(1 / 0.07, rel=1e-6)
    batch = one.data.train.take(torch.arange(16))
    one._set_learning_rate(5, 3)
    one.step(batch)
    assert one.method.end_epoch()["scale"] != pytest.approx(1 / 0.07, rel=1e-6)
    for start, end in ((9.0, 100.0), (-3.0, 1.0)):
        with torch.no_grad():
            one.method.log_scale.fill_(start)
        one.method.end_step()
        assert one.method.end_epoch()["scale"] == pytest.approx(end, rel=1e-6)


def test_vectors_and_the_scale_do_not_decay(data: Path) -> None:
    one = trainer(data)
    decaying, others = one.optimiser.param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert all(p.ndim > 1 for p in decaying["params"])
    assert any(p is one.method.log_scale for p in others["params"])
    every = [*one.networks.parameters(), *one.method.parameters()]
    assert len(decaying["params"]) + len(others["params"]) == len(every)


def test_gradients_are_clipped(data: Path) -> None:
    one = trainer(data, gradient_clip=1e-3)
    one.step(one.data.train.take(torch.arange(16)))
    norm = torch.stack([p.grad.norm() for p in one.parameters()]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)


def test_three_modalities_have_the_mean_of_three_losses(data: Path, tmp_path: Path) -> None:
    run = small_pair_run(data, modalities=("audio", "text", "video"))
    record = trained(run, data, tmp_path)
    ways = [name for name in record.retrieval["best"] if name.endswith("_r@1")]
    assert len(ways) == 6
    method = Clip(0.1)
    rows = [torch.randn(8, 4, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    from amid.losses.clip import symmetric
    from amid.networks.crossmodal import Representations

    reps = Representations(rows[0], rows[0][:, :0], torch.arange(8))
    reps = dataclasses.replace(reps, modalities=dict(zip("abc", rows, strict=True)))
    want = sum(symmetric(rows[i], rows[j], 0.1) for i, j in ((0, 1), (0, 2), (1, 2))) / 3
    assert method.losses(reps)["info_nce"].item() == pytest.approx(want.item(), rel=1e-5)
    assert method.scores(reps).losses.mean().item() == pytest.approx(want.item(), rel=1e-5)


def test_a_short_last_batch_of_one_kept_pair_is_left_out(data: Path) -> None:
    one = trainer(data, "random", batch_size=15)  # 15, 15, 15, 3: of the last, one would be kept
    assert [len(rows) for rows in one.batches(0)] == [15, 15, 15]
    whole = trainer(data, batch_size=15)
    assert [len(rows) for rows in whole.batches(0)] == [15, 15, 15, 3]
    assert sorted(torch.cat(whole.batches(1)).tolist()) == list(range(48))


def test_too_few_pairs_for_a_ratio_is_one_sentence(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "avsentences", counts={"train": 3, "validation": 0, "test": 2})
    with pytest.raises(AmidError, match="3 training pairs, of which a batch would keep 1: a pair"):
        trainer(data, "random", mismatch_ratio=0.0)


def test_without_validation_the_last_epoch_is_the_best(tmp_path: Path) -> None:
    counts = {"train": 20, "validation": 0, "test": 0}
    data = write_pairs(tmp_path / "avsentences", counts=counts)
    record = trained(small_pair_run(data), data, tmp_path / "run")
    assert record.best_epoch == 5
    assert record.retrieval == {"best": {}, "last": {}}


def test_divergence_is_one_sentence(data: Path, tmp_path: Path) -> None:
    with pytest.raises(AmidError, match=r"\(clip on avsentences, seed 0\) diverged"):
        trained(small_pair_run(data, learning_rate=1e30), data, tmp_path)


def test_the_method_fits_the_contract_and_is_for_pairs_alone() -> None:
    assert issubclass(Clip, Method)
    assert Clip.heads == Clip.trains == ()
    assert "clip" in PAIR_METHODS
    assert "clip" not in METHODS

"""The training loop of contrastive pre-training: epochs, steps, retrieval, the best epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from amid.contrastive.evaluation import encode, retrieval
from amid.contrastive.networks import PairEncoders
from amid.contrastive.pairs import PairBatch, PairSplits
from amid.contrastive.probe import predictions
from amid.core.checkpoint import write_checkpoint
from amid.core.reproducible import derive_seed
from amid.core.types import RunRecord, RunSpec
from amid.errors import AmidError, Stopped
from amid.methods import PAIR_METHODS
from amid.methods.base import Sizes
from amid.selection.contrastive import PairSelector
from amid.selection.pair_rules import kept_count
from amid.training.run_state import (
    CheckpointPolicy,
    OptimizerState,
    RunState,
    StateRegistry,
    generator_states,
    restore_generators,
)

SELECTED_ON = "retrieval"  # the best epoch is that of the highest mean recall at 1 on validation


class PairTrainer:
    """Trains one run on pairs: the encoders and the method's own parameters.

    Call `amid.core.reproducible.use_deterministic_kernels` before.

    Args:
        spec: specification of the run.
        data: its pairs.

    Attributes:
        weights: the networks and the method, whose best state is kept.
        state: progress of the run.
    """

    def __init__(self, spec: RunSpec, data: PairSplits) -> None:
        self.spec, self.data = spec, data
        count, modalities = len(data.train), (spec.target, *spec.auxiliary)
        sizes = Sizes(spec.network["dim"], spec.network["slope"], 0, count, {}, spec.seed)
        self.method = import_module(PAIR_METHODS[spec.method]).build(spec.options, sizes)
        shapes = {name: tuple(data.train.features[name].shape[1:]) for name in modalities}
        self.networks = PairEncoders(shapes, spec.network, spec.seed)
        self.networks.prepare(data.train)
        self.weights = StateRegistry(networks=self.networks, method=self.method)
        self.optimiser = _optimiser(
            spec.training, [*self.networks.parameters(), *self.method.parameters()]
        )
        self.state = RunState()
        self.registry = StateRegistry(
            networks=self.networks,
            method=self.method,
            optimiser=OptimizerState(self.optimiser),
        )
        self.selector: PairSelector | None = None
        if spec.selection:
            told = data.wrong if spec.selection["name"] == "oracle" else None
            self.selector = PairSelector(spec.selection, count, told)
            self.registry.register("selection", self.selector)
        self.ratio = spec.selection["ratio"] if spec.selection else 1.0
        if not self.batches(0):
            raise AmidError(
                f"run {spec.key}: {spec.dataset} has {count} training pairs, of which a batch "
                f"would keep {kept_count(count, self.ratio)}: a pair alone has nothing to be "
                "compared with; add pairs or raise the ratio."
            )

    def batches(self, epoch: int) -> list[Tensor]:
        """The pairs of an epoch in batches, by (seed, epoch). A last, shorter batch of which fewer
        than two pairs would be kept is left out: a pair alone has nothing to be compared with."""
        generator = torch.Generator().manual_seed(derive_seed(self.spec.seed, "epoch", epoch))
        order = torch.randperm(len(self.data.train), generator=generator)
        found = order.split(self.spec.training["batch_size"])
        return [rows for rows in found if kept_count(len(rows), self.ratio) > 1]

    def fit(
        self, *, on_epoch: Callable[[int, dict[str, float]], None], policy: CheckpointPolicy
    ) -> RunRecord:
        """Trains from the current state to the last epoch and returns the record of the run, whose
        predictions are those of `probe`.

        The test split is first read when training is over.

        Raises:
            Stopped: `policy.stop` returned True; the state is saved.
            AmidError: the loss is not finite.
        """
        epochs = self.spec.training["epochs"]
        while self.state.epoch < epochs:
            metrics = self.train_epoch(self.state.epoch, policy) | self.validate()
            self.record_epoch(metrics)
            on_epoch(self.state.epoch, metrics)
            self.state.epoch += 1
            if self.state.epoch % policy.epochs == 0 or self.state.epoch == epochs:
                self.save(policy)
        found = {"last": self.test()}
        self.weights.load_state_dict(self.state.best)
        found["best"] = self.test()
        probed = self.probe()
        return RunRecord(
            spec=self.spec,
            history=self.state.history,
            best_epoch=self.state.best_epoch,
            selected_on=SELECTED_ON,
            predictions={"best": probed, "last": {}},
            clips=self.data.clips,
            labels=self.data.test_labels if probed else [],
            classes=self.data.classes if probed else [],
            retrieval=found,
            steps=self.state.steps,
        )

    def train_epoch(self, epoch: int, policy: CheckpointPolicy) -> dict[str, float]:
        """Trains on the pairs once, or on the rest of an epoch that was interrupted.

        Returns:
            Means of the loss over the batches, the method's own metrics, the share of wrong pairs
            among the kept (`kept_wrong`), precision and recall of wrong pairs among the others, and
            how many pairs went forward and backward, and only forward, since the beginning.
        """
        state = self.state
        self.networks.train()
        self.method.train()
        self._begin_epoch(epoch)
        torch.manual_seed(derive_seed(self.spec.seed, "draws of epoch", epoch))
        batches = self.batches(epoch)
        if state.position:
            restore_generators(state.random, torch.device("cpu"))
        saved = time.monotonic()
        for rows in batches[state.position :]:
            self._set_learning_rate(epoch * len(batches) + state.position, len(batches))
            for name, value in self.step(self.data.train.take(rows)).items():
                state.sums[name] = state.sums[name] + value if name in state.sums else value
            state.position += 1
            stopped = policy.stop()
            if stopped or time.monotonic() - saved > 60 * policy.minutes:
                self.save(policy)
                saved = time.monotonic()
                if stopped:
                    raise Stopped
        metrics = _epoch_metrics(state.sums, len(batches))
        state.position, state.sums = 0, {}
        counts = {name: float(state.steps[name]) for name in ("samples", "scored")}
        return metrics | counts | self.method.end_epoch()

    def _begin_epoch(self, epoch: int) -> None:
        self.method.begin_epoch(epoch)
        if self.selector is not None:
            self.selector.begin_epoch(epoch)

    def step(self, batch: PairBatch) -> dict[str, Tensor]:
        """One step on the kept pairs of a batch.

        Returns:
            The loss terms and their sum `loss`, and counts of pairs: `seen`, `wrong`, `kept`,
            `kept_wrong`; detached scalars.
        """
        wrong = self.data.wrong[batch.samples]
        seen, kept = batch, torch.arange(len(batch))
        if self.selector is not None:
            self.state.steps["scored"] += len(batch) * self.selector.scores
            kept = self.selector.choose(batch.samples, lambda: self._score(seen))
            batch = batch.take(kept)
        self.state.steps["steps"] += 1
        self.state.steps["samples"] += len(batch)
        terms = self.method.losses(self.method(self.networks, batch), None)
        loss = sum(terms.values())
        self.optimiser.zero_grad()
        loss.backward()
        if limit := self.spec.training.get("gradient_clip"):
            torch.nn.utils.clip_grad_norm_(self.parameters(), limit)
        self.optimiser.step()
        self.method.end_step()
        counts = {
            "seen": torch.tensor(float(len(seen))),
            "wrong": wrong.sum().float(),
            "kept": torch.tensor(float(len(batch))),
            "kept_wrong": wrong[kept].sum().float(),
        }
        return {name: value.detach() for name, value in {**terms, "loss": loss, **counts}.items()}

    def parameters(self) -> list[Tensor]:
        """All that is trained."""
        return [p for group in self.optimiser.param_groups for p in group["params"]]

    @torch.no_grad()
    def _score(self, batch: PairBatch) -> Any:
        self.networks.eval()  # leaves running statistics and dropout's draws alone
        found = self.method.scores(self.method(self.networks, batch))
        self.networks.train()
        return found

    def validate(self) -> dict[str, float]:
        """Retrieval on the validation split; `validation_retrieval` is the mean recall at 1."""
        if not len(self.data.validation):
            return {}
        found = retrieval(encode(self.networks, self.data.validation))
        named = {name.replace("r@", "r"): value for name, value in found.items()}
        metrics = {f"validation_{name}": value for name, value in named.items()}
        return {**metrics, f"validation_{SELECTED_ON}": found["r@1"]}

    def test(self) -> dict[str, float]:
        """Retrieval on the test split; none if it is empty."""
        if not len(self.data.test):
            return {}
        return retrieval(encode(self.networks, self.data.test))

    def probe(self) -> dict[str, list[int]]:
        """What classifiers on each encoder's projections of the training clips predict of the test
        clips (amid.contrastive.probe); none for data without labels."""
        if len(self.data.classes) < 2 or not len(self.data.test):
            return {}
        train, test = (encode(self.networks, part) for part in (self.data.train, self.data.test))
        return predictions(train, self.data.labels, test, len(self.data.classes))

    def record_epoch(self, metrics: dict[str, float]) -> None:
        """Adds an epoch's metrics to the history, and keeps its weights if it is the best one so
        far on validation; without a validation split the last one is.

        Raises:
            AmidError: the training loss is not finite.
        """
        if not math.isfinite(metrics["train_loss"]):
            raise AmidError(
                f"run {self.spec.key} ({self.spec.method} on {self.spec.dataset}, seed "
                f"{self.spec.seed}) diverged: the loss of epoch {self.state.epoch + 1} is "
                f"{metrics['train_loss']}; lower the learning rate."
            )
        history, state, name = self.state.history, self.state, f"validation_{SELECTED_ON}"
        history.append(metrics)
        best = history[state.best_epoch][name] if state.best_epoch >= 0 and name in metrics else -1
        if metrics.get(name, math.inf) > best:
            state.best_epoch = state.epoch
            state.best = {n: value.clone() for n, value in self.weights.state_dict().items()}

    def _set_learning_rate(self, step: int, in_epoch: int) -> None:
        """Linear over the warm-up, then along half a cosine to 0, or constant, as in open_clip.

        step: number of the step, from 0. in_epoch: steps in an epoch.
        """
        training = self.spec.training
        warmup, total = (training[n] * in_epoch for n in ("warmup_epochs", "epochs"))
        factor = 1.0
        if step < warmup:
            factor = (step + 1) / warmup
        elif training["schedule"] == "cosine":
            factor = (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = training["learning_rate"] * factor

    def save(self, policy: CheckpointPolicy) -> None:
        """Writes a checkpoint from which `resume` goes on with identical results."""
        state = self.state
        state.random = generator_states(torch.device("cpu")) if state.position else {}
        tensors = self.registry.state_dict() | state.tensors()
        write_checkpoint(policy.path, tensors, state.numbers(), keep=True)

    def resume(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Resumes from the content of a checkpoint."""
        self.registry.load_state_dict(tensors)
        self.state = RunState.restore(tensors, numbers, torch.device("cpu"))


def _epoch_metrics(sums: dict[str, Tensor], batches: int) -> dict[str, float]:
    """Means of the losses over the batches, and shares of the counts of pairs.

    A rule takes the pairs that it leaves out for wrong: precision is the share of wrong ones among
    them, recall the share of the wrong pairs that they hold; NaN of nothing is left out.
    """
    counts = {name: float(sums[name]) for name in ("seen", "wrong", "kept", "kept_wrong")}
    metrics = {f"train_{n}": float(v) / batches for n, v in sums.items() if n not in counts}
    metrics["kept_wrong"] = counts["kept_wrong"] / counts["kept"]
    left_out, found = counts["seen"] - counts["kept"], counts["wrong"] - counts["kept_wrong"]
    if left_out:
        metrics["found_precision"] = found / left_out
        if counts["wrong"]:
            metrics["found_recall"] = found / counts["wrong"]
    return metrics


def _optimiser(training: dict[str, Any], parameters: list[Tensor]) -> torch.optim.AdamW:
    """AdamW; as in open_clip, vectors and scalars (biases, norms, the scale) do not decay."""
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": training["weight_decay"]},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=training["learning_rate"], fused=True)

"""The training loop: fit, evaluate and resume in one place."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from amid.batches import EVALUATED, load_splits
from amid.checkpoint import read_checkpoint, write_checkpoint
from amid.errors import AmidError
from amid.methods import METHODS
from amid.metrics import within_class_similarity
from amid.networks.crossmodal import CrossModal
from amid.reproducible import derive_seed
from amid.types import RunRecord

if TYPE_CHECKING:
    from amid.batches import Splits
    from amid.methods.base import Method
    from amid.types import Batch, RunSpec

EVALUATION_BATCH = 4096


@dataclass
class State:
    """Where a run stands after `epoch` epochs; all that a checkpoint holds.

    best: the networks' student at the best validation epoch; predictions: test classes there.
    """

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best: dict[str, Tensor] = field(default_factory=dict)
    predictions: dict[str, dict[str, list[int]]] = field(default_factory=dict)


class Trainer:
    """Everything one run trains: networks, the method's own parameters, and their optimisers."""

    def __init__(self, spec: RunSpec, data: Splits) -> None:
        torch.set_num_threads(1)  # the count of threads changes bits
        torch.use_deterministic_algorithms(True)
        self.spec, self.data = spec, data
        network, training = spec.network, spec.training
        self.method: Method = import_module(METHODS[spec.method]).build(
            spec.options, dim=network["dim"], slope=network["slope"], seed=spec.seed
        )
        self.networks = CrossModal(
            heads=self.method.heads,
            classes=len(data.classes),
            target_shape=tuple(data.train.target.shape[1:]),
            auxiliary_dims={m: data.train.auxiliary[m].shape[1] for m in spec.auxiliary},
            network=network,
            seed=spec.seed,
        )
        self.networks.student.standardise.fit(data.train.target)
        self.optimiser = _optimiser(training, list(self.networks.parameters()))
        own = list(self.method.parameters())
        rate = self.method.adversary_optimiser()
        self.adversary = (
            torch.optim.SGD(own, lr=rate["learning_rate"], momentum=rate["momentum"], fused=True)
            if own
            else None
        )
        self.state = State()

    def fit(
        self,
        *,
        on_epoch: Callable[[int, dict[str, float]], None],
        checkpoint: Path,
        checkpoint_every: int,
    ) -> RunRecord:
        """Trains on from where the state stands to the last epoch; the record of the whole run."""
        epochs = self.spec.training["epochs"]
        while self.state.epoch < epochs:
            metrics = self.train_epoch(self.state.epoch)
            predictions = self.evaluate(metrics)
            self._judge(metrics, predictions)
            on_epoch(self.state.epoch, metrics)
            self.state.epoch += 1
            if self.state.epoch % checkpoint_every == 0 or self.state.epoch == epochs:
                self.save(checkpoint)
        return RunRecord(
            spec=self.spec,
            history=self.state.history,
            best_epoch=self.state.best_epoch,
            selected_on=self.method.heads[0],
            predictions=self.state.predictions,
            clips=self.data.test_clips,
            labels=self.data.test.labels.tolist(),
            classes=self.data.classes,
            extractors=self.data.extractors,
        )

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the training samples; the mean of every loss term over the batches."""
        self.networks.train()
        self.method.begin_epoch(epoch)
        self._set_learning_rate(epoch)
        # Drawn anew from (seed, epoch): a resumed epoch needs no generator's state.
        torch.manual_seed(derive_seed(self.spec.seed, "epoch", epoch))
        order = torch.randperm(len(self.data.train))
        sums: dict[str, Tensor] = {}
        batches = order.split(self.spec.training["batch_size"])
        for rows in batches:
            for name, value in self.step(self.data.train.take(rows)).items():
                sums[name] = sums[name] + value if name in sums else value
        means = {f"train_{name}": float(value) / len(batches) for name, value in sums.items()}
        return means | self.method.end_epoch()

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Steps (1) to (3) of the paper's second phase; without an adversary, (1) and (3)."""
        reps = self.networks(batch)
        against = self.method.adversary_losses(reps, batch.labels)
        if against:
            self.adversary.zero_grad()
            sum(against.values()).backward()
            self.adversary.step()
        terms = self.method.losses(reps, batch.labels)
        loss = sum(terms.values())
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {k: v.detach() for k, v in {**terms, **against, "loss": loss}.items()}

    @torch.no_grad()
    def evaluate(self, metrics: dict[str, float]) -> dict[str, list[int]]:
        """Adds accuracies and similarities to `metrics`; returns the classes of the test clips."""
        self.networks.eval()
        predictions: dict[str, list[int]] = {}
        for split in EVALUATED:
            batch: Batch = getattr(self.data, split)
            if not len(batch):
                continue
            parts = torch.arange(len(batch)).split(EVALUATION_BATCH)
            reps = [self.networks(batch.take(rows)) for rows in parts]
            for head in self.method.heads:
                predicted = torch.cat([getattr(r, f"{head}_logits").argmax(1) for r in reps])
                metrics[f"{split}_{head}"] = float((predicted == batch.labels).double().mean())
                if split == "test":
                    predictions[head] = predicted.tolist()
            if len(self.method.heads) == 2:
                teacher = torch.cat([r.teacher for r in reps])
                student = torch.cat([r.student for r in reps])
                matched = torch.cosine_similarity(teacher, student).mean()
                metrics[f"{split}_similarity"] = float(matched)
                within = float(within_class_similarity(teacher, student, batch.labels))
                metrics[f"{split}_within_class_similarity"] = within
        return predictions

    def _judge(self, metrics: dict[str, float], predictions: dict[str, list[int]]) -> None:
        """Files the epoch's metrics and keeps it when it is the best on validation so far."""
        if not math.isfinite(metrics["train_loss"]):
            raise AmidError(
                f"run {self.spec.key} ({self.spec.method} on {self.spec.dataset}, seed "
                f"{self.spec.seed}) diverged: the loss of epoch {self.state.epoch + 1} is "
                f"{metrics['train_loss']}; lower the learning rate or the weights."
            )
        metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}
        history, state = self.state.history, self.state
        history.append(metrics)
        chosen = f"validation_{self.method.heads[0]}"
        state.predictions["last"] = predictions
        best = history[state.best_epoch].get(chosen, 0.0) if state.best_epoch >= 0 else -1.0
        # Without validation clips the last epoch counts: the test split has no say.
        if metrics.get(chosen, float("inf")) > best or chosen not in metrics:
            state.best_epoch = state.epoch
            state.best = self.networks.student_state()
            state.predictions["best"] = predictions

    def _set_learning_rate(self, epoch: int) -> None:
        training = self.spec.training
        passed = sum(epoch >= milestone for milestone in training["milestones"])
        for group in self.optimiser.param_groups:
            group["lr"] = training["learning_rate"] * training.get("decay", 1.0) ** passed

    def save(self, path: Path) -> None:
        """Writes everything `load` needs to go on as if nothing had happened."""
        tensors = {f"networks.{k}": v for k, v in self.networks.state_dict().items()}
        tensors |= {f"method.{k}": v for k, v in self.method.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.state.best.items()}
        for name, optimiser in self._optimisers().items():
            for number, values in optimiser.state_dict()["state"].items():
                for key, value in values.items():
                    if value is not None:
                        tensors[f"{name}.{number}.{key}"] = value
        meta = {
            "epoch": self.state.epoch,
            "history": self.state.history,
            "best_epoch": self.state.best_epoch,
            "predictions": self.state.predictions,
            "schedule": self.method.schedule_state(),
        }
        write_checkpoint(path, tensors, meta)

    def load(self, path: Path) -> None:
        """Takes up a checkpoint of this run, or the last one of its warm-up.

        A warm-up holds no discriminators (Eq. 17 without gamma): they start as they are.
        """
        tensors, meta = read_checkpoint(path)
        self.networks.load_state_dict(_below("networks", tensors))
        if method := _below("method", tensors):
            self.method.load_state_dict(method)
        if meta["schedule"]:
            self.method.load_schedule_state(meta["schedule"])
        for name, optimiser in self._optimisers().items():
            states: dict[int, dict[str, Tensor]] = {}
            for key, value in _below(name, tensors).items():
                number, entry = key.split(".", 1)
                states.setdefault(int(number), {})[entry] = value
            optimiser.load_state_dict({**optimiser.state_dict(), "state": states})
        self.state = State(
            epoch=meta["epoch"],
            history=meta["history"],
            best_epoch=meta["best_epoch"],
            best=_below("best", tensors),
            predictions=meta["predictions"],
        )

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        optimisers = {"optimiser": self.optimiser}
        return optimisers if self.adversary is None else {**optimisers, "adversary": self.adversary}


def train(
    spec: RunSpec,
    data_folder: Path,
    run_folder: Path,
    *,
    parent: Path | None,
    checkpoint_every: int,
    on_epoch: Callable[[int, dict[str, float]], None],
    on_start: Callable[[int, list[dict[str, float]]], None],
) -> RunRecord:
    """Trains one run, from its own checkpoint if it has one, else from its warm-up's, else anew.

    parent: the warm-up's checkpoint. on_start gets the epochs already done and their metrics.
    Leaves checkpoint.safetensors and student.safetensors (the best epoch's) in `run_folder`.
    """
    trainer = Trainer(spec, load_splits(data_folder, spec))
    checkpoint = run_folder / "checkpoint.safetensors"
    if checkpoint.exists():
        trainer.load(checkpoint)
    elif parent is not None:
        trainer.load(parent)
    on_start(trainer.state.epoch, trainer.state.history)
    record = trainer.fit(
        on_epoch=on_epoch, checkpoint=checkpoint, checkpoint_every=checkpoint_every
    )
    card = {
        "classes": record.classes,
        "target": spec.target,
        "network": spec.network,
        "shape": list(trainer.data.train.target.shape[1:]),
        "run": spec.key,
    }
    write_checkpoint(run_folder / "student.safetensors", trainer.state.best, card)
    return record


def load_student(path: Path) -> tuple[CrossModal, dict[str, Any]]:
    """A saved student, ready to classify, and its card."""
    tensors, card = read_checkpoint(path)
    networks = CrossModal(
        heads=("student",),
        classes=len(card["classes"]),
        target_shape=tuple(card["shape"]),
        auxiliary_dims={},
        network=card["network"],
        seed=0,
    )
    networks.load_state_dict(tensors)
    return networks.eval(), card


def _optimiser(training: dict[str, Any], parameters: list[Tensor]) -> torch.optim.Optimizer:
    shared = {"lr": training["learning_rate"], "weight_decay": training["weight_decay"]}
    if training["optimiser"] == "adam":
        return torch.optim.Adam(parameters, fused=True, **shared)
    return torch.optim.SGD(parameters, momentum=training["momentum"], fused=True, **shared)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = prefix + "."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}

"""The training loop: fit, evaluate and resume in one place."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from amid.batches import load_splits
from amid.checkpoint import read_checkpoint, write_checkpoint
from amid.errors import AmidError
from amid.methods import METHODS
from amid.methods.base import Sizes
from amid.metrics import mean_average_precision, retrieval_recall, within_class_similarity
from amid.networks.crossmodal import CrossModal, deployed
from amid.reproducible import derive_seed
from amid.selection.rules import Selector
from amid.types import RunRecord

if TYPE_CHECKING:
    from amid.batches import Splits
    from amid.methods.base import Method
    from amid.types import Batch, RunSpec

EVALUATION_BATCH = 256  # small enough for the processor's cache: a third faster than one batch
RECALL_AT = (1, 5, 10)


@dataclass
class State:
    """Where a run stands after `epoch` epochs; all that a checkpoint holds.

    best: networks and method as of the best validation epoch. steps: as in RunRecord.
    """

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best: dict[str, Tensor] = field(default_factory=dict)
    steps: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("steps", "samples", "scored"), 0)
    )


class Trainer:
    """Everything one run trains: networks, the method's own parameters, and their optimisers.

    teacher: the networks of a fixed teacher, for methods that distil one.
    """

    def __init__(self, spec: RunSpec, data: Splits, teacher: CrossModal | None = None) -> None:
        torch.set_num_threads(1)  # the count of threads changes bits
        # The same as use_deterministic_algorithms(True), which imports the compiler: 3 s a worker.
        torch.set_deterministic_debug_mode("error")
        if teacher is not None:
            data = _taught(data, teacher)
        self.spec, self.data = spec, data
        network, training = spec.network, spec.training
        auxiliary_dims = {m: data.train.auxiliary[m].shape[1] for m in spec.auxiliary}
        whole, _ = data.train.parted()  # the method knows of no other samples
        sizes = Sizes(
            dim=network["dim"],
            slope=network["slope"],
            classes=len(data.classes),
            samples=len(whole),
            auxiliary=auxiliary_dims,
            seed=spec.seed,
        )
        self.method: Method = import_module(METHODS[spec.method]).build(spec.options, sizes)
        self.method.prepare(whole, teacher)
        self.networks = CrossModal(
            trains=self.method.trains,
            directions=self.method.directions,
            classes=len(data.classes),
            target_shape=tuple(data.train.target.shape[1:]),
            auxiliary_dims=auxiliary_dims,
            network=network,
            seed=spec.seed,
        )
        self.networks.student.standardise.fit(data.train.target)
        adversary = list(self.method.adversary_parameters())
        known = set(map(id, adversary))
        own = [p for p in self.method.parameters() if id(p) not in known]
        self.optimiser = _optimiser(training, [*self.networks.parameters(), *own])
        self.adversary: torch.optim.Optimizer | None = None
        if adversary:
            self.adversary = _optimiser(self.method.adversary_optimiser(), adversary)
        self.selector = Selector(spec.selection, len(whole)) if spec.selection else None
        self.state = State()

    def fit(
        self,
        *,
        on_epoch: Callable[[int, dict[str, float]], None],
        checkpoint: Path,
        checkpoint_every: int,
    ) -> RunRecord:
        """Trains on from where the state stands to the last epoch; the record of the whole run.

        The test split is looked at when the training is over, and never before.
        """
        epochs = self.spec.training["epochs"]
        while self.state.epoch < epochs:
            metrics = self.train_epoch(self.state.epoch) | self.validate()
            self._judge(metrics)
            on_epoch(self.state.epoch, metrics)
            self.state.epoch += 1
            if self.state.epoch % checkpoint_every == 0 or self.state.epoch == epochs:
                self.save(checkpoint)
        predictions, retrieval = {}, {}
        predictions["last"], retrieval["last"] = self.test()
        self._restore(self.state.best)
        predictions["best"], retrieval["best"] = self.test()
        return RunRecord(
            spec=self.spec,
            history=self.state.history,
            best_epoch=self.state.best_epoch,
            selected_on=self.method.heads[0],
            predictions=predictions,
            clips=self.data.test_clips,
            labels=self.data.test.labels.tolist(),
            classes=self.data.classes,
            extractors=self.data.extractors,
            retrieval=retrieval if "student" in self.method.heads else {},
            steps=self.state.steps,
        )

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the training samples; the mean of every loss term over the batches."""
        self.networks.train()
        self.method.train()
        self.method.begin_epoch(epoch)
        if self.selector is not None:
            self.selector.begin_epoch(epoch)
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
        """Steps (1) to (3) of the paper's second phase; without an adversary, (1) and (3).

        The loss is the mean of the samples' losses: the method's for whole samples; for those that
        lack an auxiliary modality the student's cross-entropy alone, the term `incomplete`.
        """
        batch, incomplete = batch.parted()
        if self.selector is not None and len(batch):
            self.state.steps["scored"] += len(batch) * self.selector.scores
            batch = batch.take(self.selector.choose(self.method, self.networks, batch))
        self.state.steps["steps"] += 1
        self.state.steps["samples"] += len(batch)
        terms: dict[str, Tensor] = {}
        against: dict[str, Tensor] = {}
        if len(batch):
            reps = self.method(self.networks, batch)
            for _ in range(self.method.adversary_steps):
                against = self.method.adversary_losses(reps, batch.labels)
                if against:
                    self.adversary.zero_grad()
                    sum(against.values()).backward()
                    self.adversary.step()
            terms = self.method.losses(reps, batch.labels)
        if incomplete is not None:
            terms = self._with_incomplete(terms, len(batch), incomplete)
        loss = sum(terms.values())
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        if len(batch):
            self.method.end_step()
        return {k: v.detach() for k, v in {**terms, **against, "loss": loss}.items()}

    def _with_incomplete(
        self, terms: dict[str, Tensor], whole: int, incomplete: Batch
    ) -> dict[str, Tensor]:
        """The terms, means over `whole` samples, and the student's cross-entropy of the others, as
        parts of the mean over all."""
        count = len(incomplete)
        self.state.steps["samples"] += count
        self.state.steps["incomplete"] = self.state.steps.get("incomplete", 0) + count
        logits = self.method(self.networks, incomplete).student_logits  # (M, C)
        alone = cross_entropy(logits, incomplete.labels)
        scaled = {name: value * (whole / (whole + count)) for name, value in terms.items()}
        return {**scaled, "incomplete": alone * (count / (whole + count))}

    @torch.no_grad()
    def represent(self, batch: Batch) -> dict[str, Tensor]:
        """What the networks say of a whole split: a tensor for each head and each head's logits."""
        self.networks.eval()
        self.method.eval()
        parts = torch.arange(len(batch)).split(EVALUATION_BATCH)
        reps = [self.method(self.networks, batch.take(rows)) for rows in parts]
        names = [name for head in self.method.heads for name in (head, f"{head}_logits")]
        return {name: torch.cat([getattr(r, name) for r in reps]) for name in names}

    def validate(self) -> dict[str, float]:
        """Accuracies of the validation split, and how alike student and teacher are there."""
        batch, metrics = self.data.validation, {}
        if not len(batch):
            return metrics
        found = self.represent(batch)
        for head in self.method.heads:
            right = found[f"{head}_logits"].argmax(1) == batch.labels
            metrics[f"validation_{head}"] = float(right.double().mean())
        if len(self.method.heads) == 2:
            teacher, student = found["teacher"], found["student"]
            matched = torch.cosine_similarity(teacher, student).mean()
            metrics["validation_similarity"] = float(matched)
            within = within_class_similarity(teacher, student, batch.labels)
            metrics["validation_within_class_similarity"] = float(within)
        return metrics

    def test(self) -> tuple[dict[str, list[int]], dict[str, float]]:
        """Classes of the test clips by each head, and Table 2's numbers of the student, with the
        training clips as the gallery (RunRecord.predictions, .retrieval)."""
        train, batch = self.data.train, self.data.test
        if not len(batch):
            return {}, {}
        found = self.represent(batch)
        predictions = {h: found[f"{h}_logits"].argmax(1).tolist() for h in self.method.heads}
        if "student" not in self.method.heads:
            return predictions, {}
        queries, gallery = found["student"], self.represent(train)["student"]
        recalls = retrieval_recall(queries, batch.labels, gallery, train.labels, RECALL_AT)
        retrieval = {f"r@{k}": value for k, value in zip(RECALL_AT, recalls, strict=True)}
        precision = mean_average_precision(queries, batch.labels, gallery, train.labels)
        return predictions, {**retrieval, "map": precision}

    def card(self, heads: tuple[str, ...]) -> dict[str, Any]:
        """All that `load_model` needs beside the weights that serve `heads`."""
        auxiliary = self.data.train.auxiliary if "teacher" in heads else {}
        return {
            "auxiliary": {name: values.shape[1] for name, values in auxiliary.items()},
            "classes": self.data.classes,
            "directions": self.method.directions,
            "heads": list(heads),
            "network": self.spec.network,
            "run": self.spec.key,
            "shape": list(self.data.train.target.shape[1:]),
            "target": self.spec.target,
        }

    def deployed_heads(self) -> tuple[str, ...]:
        """What the run is for: its student, or, where it has none, its teacher."""
        return ("student",) if "student" in self.method.heads else self.method.heads

    def deployed_state(self) -> dict[str, Tensor]:
        """The weights that `deployed_heads` need, at the best epoch."""
        return deployed(_below("networks", self.state.best), self.deployed_heads())

    def _judge(self, metrics: dict[str, float]) -> None:
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
        best = history[state.best_epoch].get(chosen, 0.0) if state.best_epoch >= 0 else -1.0
        # Without validation clips the last epoch counts: the test split has no say.
        if metrics.get(chosen, float("inf")) > best or chosen not in metrics:
            state.best_epoch = state.epoch
            state.best = {name: value.clone() for name, value in self._tensors().items()}

    def _set_learning_rate(self, epoch: int) -> None:
        training = self.spec.training
        passed = sum(epoch >= milestone for milestone in training["milestones"])
        for group in self.optimiser.param_groups:
            group["lr"] = training["learning_rate"] * training.get("decay", 1.0) ** passed

    def _tensors(self) -> dict[str, Tensor]:
        """Networks and the method's own parameters and buffers."""
        tensors = {f"networks.{k}": v for k, v in self.networks.state_dict().items()}
        return tensors | {f"method.{k}": v for k, v in self.method.state_dict().items()}

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        """Takes back what `_tensors` gave. A warm-up holds no discriminators (Eq. 17 without
        gamma): they stay as they are."""
        self.networks.load_state_dict(_below("networks", tensors))
        if method := _below("method", tensors):
            self.method.load_state_dict(method)

    def save(self, path: Path) -> None:
        """Writes everything `load` needs to go on as if nothing had happened."""
        tensors = self._tensors() | {f"best.{k}": v for k, v in self.state.best.items()}
        if self.selector is not None:
            tensors |= {f"selection.{k}": v for k, v in self.selector.state_dict().items()}
        for name, optimiser in self._optimisers().items():
            for number, values in optimiser.state_dict()["state"].items():
                for key, value in values.items():
                    if value is not None:
                        tensors[f"{name}.{number}.{key}"] = value
        meta = {
            "epoch": self.state.epoch,
            "history": self.state.history,
            "best_epoch": self.state.best_epoch,
            "schedule": self.method.schedule_state(),
            "steps": self.state.steps,
        }
        write_checkpoint(path, tensors, meta)

    def load(self, path: Path) -> None:
        """Takes up a checkpoint of this run, or the last one of its warm-up."""
        tensors, meta = read_checkpoint(path)
        self._restore(tensors)
        if self.selector is not None:
            self.selector.load_state_dict(_below("selection", tensors))
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
            steps=meta["steps"],
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
    teacher: Path | None,
    checkpoint_every: int,
    on_epoch: Callable[[int, dict[str, float]], None],
    on_start: Callable[[int, list[dict[str, float]]], None],
) -> RunRecord:
    """Trains one run, from its own checkpoint if it has one, else from its warm-up's, else anew.

    parent: the warm-up's checkpoint. teacher: a fixed teacher's model.safetensors. on_start gets
    the epochs already done and their metrics. Leaves checkpoint.safetensors and model.safetensors
    (the best epoch's student; of a run without a student, its teacher) in `run_folder`.
    """
    fixed = None if teacher is None else load_model(*reversed(read_checkpoint(teacher)))
    trainer = Trainer(spec, load_splits(data_folder, spec), fixed)
    checkpoint = run_folder / "checkpoint.safetensors"
    if checkpoint.exists():
        trainer.load(checkpoint)
    elif parent is not None:
        trainer.load(parent)
    on_start(trainer.state.epoch, trainer.state.history)
    record = trainer.fit(
        on_epoch=on_epoch, checkpoint=checkpoint, checkpoint_every=checkpoint_every
    )
    card = trainer.card(trainer.deployed_heads())
    write_checkpoint(run_folder / "model.safetensors", trainer.deployed_state(), card)
    return record


def load_model(card: dict[str, Any], weights: dict[str, Tensor]) -> CrossModal:
    """A trained student or teacher, ready to classify; card and weights as in a model file."""
    networks = CrossModal(
        trains=("student", *card["heads"]),
        directions=card["directions"],
        classes=len(card["classes"]),
        target_shape=tuple(card["shape"]),
        auxiliary_dims=card["auxiliary"],
        network=card["network"],
        seed=0,
    )
    networks.load_state_dict(weights)
    return networks.eval()


@torch.no_grad()
def _taught(data: Splits, teacher: CrossModal) -> Splits:
    """The splits with what a fixed teacher says of every sample, which never changes."""

    def taught(batch: Batch) -> Batch:
        if not len(batch):
            return batch
        parts = torch.arange(len(batch)).split(EVALUATION_BATCH)
        reps = [teacher(batch.take(rows)) for rows in parts]
        representations = torch.cat([r.teacher for r in reps])  # (N, D)
        logits = torch.cat([r.teacher_logits for r in reps])  # (N, C)
        return replace(batch, teacher=representations, teacher_logits=logits)

    splits = {name: taught(getattr(data, name)) for name in ("train", "validation", "test")}
    return replace(data, **splits)


def _optimiser(training: dict[str, Any], parameters: list[Tensor]) -> torch.optim.Optimizer:
    """training: optimiser, learning_rate, momentum (of sgd), weight_decay (0 where absent)."""
    decay = training.get("weight_decay", 0.0)
    shared = {"lr": training["learning_rate"], "weight_decay": decay}
    if training["optimiser"] == "adam":
        return torch.optim.Adam(parameters, fused=True, **shared)
    return torch.optim.SGD(parameters, momentum=training["momentum"], fused=True, **shared)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = prefix + "."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}

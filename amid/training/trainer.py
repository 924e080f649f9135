"""The training loop of one run: epochs, steps, validation, and the choice of the best epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from amid.core.checkpoint import read_checkpoint, write_checkpoint
from amid.core.distributed import world_of
from amid.core.reproducible import derive_seed
from amid.core.types import Batch, Representations, RunRecord
from amid.core.video_clips import Clips
from amid.errors import AmidError, Stopped
from amid.losses import UNLABELLED
from amid.methods import METHODS
from amid.methods.base import Sizes
from amid.networks.crossmodal import CrossModal
from amid.networks.normalise import synchronize_statistics
from amid.selection.rules import Selector
from amid.training.augmentation import ModalityDropout, augmenter_of
from amid.training.batches import used_samples
from amid.training.ema import WeightAverage, average_of
from amid.training.evaluation import (
    attach_teacher_outputs,
    evaluate,
    retrieval_metrics,
    validation_metrics,
)
from amid.training.run_state import (
    CheckpointPolicy,
    OptimizerState,
    RunState,
    StateRegistry,
    generator_states,
    restore_generators,
)
from amid.training.schedule import build_optimiser, forget_gradients, learning_rate

if TYPE_CHECKING:
    from amid.core.types import RunSpec
    from amid.data.splits import Splits
    from amid.methods.base import Method

NO_CHECKPOINTS = CheckpointPolicy(Path("nowhere"), epochs=1)


class Trainer:
    """Trains one run: its networks, the method's own parameters, and their optimisers.

    When several processes share the batches (`amid.core.distributed`), each has a trainer in the
    same state. Nothing here changes settings of the process: call
    `amid.core.reproducible.use_deterministic_kernels` before.

    Args:
        spec: specification of the run.
        data: splits to train on and to evaluate.
        teacher: networks of a fixed teacher, for methods that distil one.

    Attributes:
        weights: the networks and the method, whose best state is kept.
        registry: all objects whose state a checkpoint holds.
        state: progress of the run.
    """

    def __init__(self, spec: RunSpec, data: Splits, teacher: CrossModal | None = None) -> None:
        training, everything = spec.training, len(data.train)
        self.spec = spec
        train, self._draw_batches = used_samples(data.train, spec)
        data = replace(data, train=train)
        self.world = world_of(training.get("processes", 1))
        self.device = torch.device(training.get("device", "cpu"))
        self.precision = getattr(torch, training.get("precision", "float32"))
        self.smoothing = training.get("label_smoothing", 0.0)
        if teacher is not None:
            data = attach_teacher_outputs(data, teacher.to(self.device), self.device, self.world)
        self.data = data
        auxiliary_dims = {m: data.train.auxiliary[m].shape[1] for m in spec.auxiliary}
        complete, _ = data.train.split_complete()  # methods see complete samples only
        self.method = self._build_method(complete, auxiliary_dims, teacher)
        self.networks = self._build_networks(auxiliary_dims)
        self.weights = StateRegistry(networks=self.networks, method=self.method)
        self.world.broadcast(self.weights.state_dict().values())
        self.state = RunState()
        self.registry = StateRegistry(networks=self.networks, method=self.method)
        adversary = list(self.method.adversary_parameters())
        known = set(map(id, adversary))
        own = [p for p in self.method.parameters() if id(p) not in known]
        self.optimiser = build_optimiser(training, [*self.networks.parameters(), *own])
        self.registry.register("optimiser", OptimizerState(self.optimiser))
        self.adversary: torch.optim.Optimizer | None = None
        if adversary:
            self.adversary = build_optimiser(self.method.adversary_optimiser(), adversary)
            self.registry.register("adversary", OptimizerState(self.adversary))
        self.selector: Selector | None = None
        if spec.selection:
            self.selector = Selector(spec.selection, len(complete)).to(self.device)
            self.registry.register("selection", self.selector)
        self.augmenter = augmenter_of(spec, data.train, teacher)
        self.modality_dropout = ModalityDropout(training.get("modality_dropout", 0.0), spec.seed)
        self.average = average_of(training, self.networks, self.method, everything)
        self.registry.register("average", self.average)

    def _build_method(
        self, complete: Batch, auxiliary_dims: dict[str, int], teacher: CrossModal | None
    ) -> Method:
        spec = self.spec
        sizes = Sizes(
            dim=spec.network["dim"],
            slope=spec.network["slope"],
            classes=len(self.data.classes),
            samples=len(complete),
            auxiliary=auxiliary_dims,
            seed=spec.seed,
        )
        method: Method = import_module(METHODS[spec.method]).build(spec.options, sizes)
        method.prepare(complete.to(self.device), teacher)
        return method.to(self.device)

    def _build_networks(self, auxiliary_dims: dict[str, int]) -> CrossModal:
        target = self.data.train.target
        networks = CrossModal(
            trains=self.method.trains,
            normalize_representations=self.method.normalize_representations,
            classes=len(self.data.classes),
            target_shape=tuple(target.shape[1:]),
            auxiliary_dims=auxiliary_dims,
            network=self.spec.network,
            seed=self.spec.seed,
            parts=self.spec.training.get("activation_chunks", 1),
        )
        networks.student.prepare(target)
        synchronize_statistics(networks.student, self.world.size)
        return networks.to(self.device)

    def fit(
        self, *, on_epoch: Callable[[int, dict[str, float]], None], policy: CheckpointPolicy
    ) -> RunRecord:
        """Trains from the current state to the last epoch and returns the record of the run.

        The test split is first read when training is over.

        Raises:
            Stopped: `policy.stop` returned True; the state is saved.
            AmidError: the loss is not finite, or processes no longer hold the same weights.
        """
        epochs = self.spec.training["epochs"]
        while self.state.epoch < epochs:
            metrics = self.train_epoch(self.state.epoch, policy) | self.validate()
            place = f"run {self.spec.key}, epoch {self.state.epoch + 1}"
            facts = [repr(metrics), self.state.steps]
            self.world.check_identical(self.weights.state_dict(), facts, place)
            self.record_epoch(metrics)
            on_epoch(self.state.epoch, metrics)
            self.state.epoch += 1
            if self.state.epoch % policy.epochs == 0 or self.state.epoch == epochs:
                self.save(policy.path)
        predictions, retrieval = {}, {}
        predictions["last"], retrieval["last"] = self.test()
        self.weights.load_state_dict(self.state.best)
        self.average = WeightAverage({}, 1)  # the chosen weights are averages already
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

    def train_epoch(
        self, epoch: int, policy: CheckpointPolicy = NO_CHECKPOINTS
    ) -> dict[str, float]:
        """Trains on every training sample once, or on the rest of an epoch that was interrupted.

        Returns:
            The mean of every loss term over the batches of the epoch, as `train_<term>`, and the
            method's own metrics.
        """
        state = self.state
        self.networks.train()
        self.method.train()
        if not state.position:
            self._begin_epoch(epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.spec.training, epoch)
        # Seeded by (seed, epoch): a new epoch needs no saved state of a generator.
        torch.manual_seed(derive_seed(self.spec.seed, "epoch", epoch))
        batches = self._draw_batches()
        if state.position:
            restore_generators(state.random, self.device)
        saved = time.monotonic()
        for batch in self._load(epoch, batches[state.position :]):
            for name, value in self.step(batch).items():
                state.sums[name] = state.sums[name] + value if name in state.sums else value
            state.position += 1
            stopped = self.world.any(policy.stop())
            if stopped or time.monotonic() - saved > 60 * policy.minutes:
                self.save(policy.path)
                saved = time.monotonic()
                if stopped:
                    raise Stopped
        means = {f"train_{n}": float(value) / len(batches) for n, value in state.sums.items()}
        state.position, state.sums = 0, {}
        return means | self.method.end_epoch()

    def _begin_epoch(self, epoch: int) -> None:
        self.method.begin_epoch(epoch)
        if self.selector is not None:
            self.selector.begin_epoch(epoch)

    def _load(self, epoch: int, batches: Sequence[Tensor]) -> Iterator[Batch]:
        """Yields the training samples of one batch after another, on the device.

        Frames of videos are read in a thread while the batch before is trained on, and augmented by
        numbers drawn for (seed, epoch). Each of several processes reads its own share.
        """
        train = self.data.train
        if not isinstance(train.target, Clips):
            for batch in map(train.take, batches):
                if self.augmenter is not None:
                    batch = self.augmenter(batch, epoch)
                yield self.modality_dropout(batch, epoch).to(self.device)
            return
        seed = derive_seed(self.spec.seed, "augmentation", epoch)
        drawn = train.target.drawn(torch.Generator().manual_seed(seed))
        train = replace(train, target=drawn)

        def frames(rows: Tensor) -> Batch:
            batch = self.modality_dropout(train.take(rows), epoch)
            read = self.networks.student.read
            return replace(batch, target=self.world.slice_batch(batch.target, read))

        with ThreadPoolExecutor(1) as pool:
            ahead = None
            for rows in batches:
                following, ahead = ahead, pool.submit(frames, rows)
                if following is not None:
                    yield following.result().to(self.device)
            if ahead is not None:
                yield ahead.result().to(self.device)

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One step of the adversary, if there is one, and one of everything else.

        These are the steps (1) to (3) of the paper's second phase; without an adversary (1) and
        (3). The loss is the mean over the samples: complete samples have the method's loss, samples
        that lack an auxiliary modality the student's cross-entropy alone, as the term `incomplete`.

        Returns:
            The loss terms and their sum `loss`, detached scalars.
        """
        batch, incomplete = batch.split_complete()
        if self.selector is not None and len(batch):
            self.state.steps["scored"] += len(batch) * self.selector.scores
            chosen = self.selector.choose(self.method, self.networks, batch)
            batch = batch.take(chosen.to(self.device))
        self.state.steps["steps"] += 1
        self.state.steps["samples"] += len(batch)
        if count := int((batch.labels == UNLABELLED).sum()):
            self.state.steps["unlabelled"] = self.state.steps.get("unlabelled", 0) + count
        terms: dict[str, Tensor] = {}
        adversary_terms: dict[str, Tensor] = {}
        if len(batch):
            reps = self.represent(batch)
            for _ in range(self.method.adversary_steps):
                adversary_terms = self.method.adversary_losses(reps, batch.labels)
                if adversary_terms:
                    forget_gradients(self.adversary)
                    sum(adversary_terms.values()).backward()
                    self.adversary.step()
            terms = self.method.losses(reps, batch.labels)
            terms |= self.method.smoothing(reps, batch.labels, self.smoothing)
            terms |= self.method.mixing(reps, batch, self.smoothing)
        if incomplete is not None:
            terms = self._add_incomplete(terms, len(batch), incomplete)
        loss = sum(terms.values())
        forget_gradients(self.optimiser)
        loss.backward()
        self.world.sum_gradients(self.networks.student.parameters())
        self.optimiser.step()
        self.average.update(self.state.steps["steps"])
        if len(batch):
            self.method.end_step()
        return {k: v.detach() for k, v in {**terms, **adversary_terms, "loss": loss}.items()}

    def _add_incomplete(
        self, terms: dict[str, Tensor], complete: int, incomplete: Batch
    ) -> dict[str, Tensor]:
        """Adds the student's cross-entropy on incomplete samples to `terms`, the means over
        `complete` samples, so that the sum is the mean over all."""
        count = len(incomplete)
        self.state.steps["samples"] += count
        self.state.steps["incomplete"] = self.state.steps.get("incomplete", 0) + count
        logits = self.represent(incomplete).student_logits  # (M, C)
        alone = cross_entropy(logits, incomplete.labels, label_smoothing=self.smoothing)
        scaled = {name: value * (complete / (complete + count)) for name, value in terms.items()}
        return {**scaled, "incomplete": alone * (count / (complete + count))}

    def represent(self, batch: Batch) -> Representations:
        """Representations of a batch on the device, as float32 whatever the run's precision is."""
        if self.precision == torch.float32:
            return self.method(self.networks, batch)
        with torch.autocast(self.device.type, self.precision):
            return self.method(self.networks, batch).as_float32()

    def evaluate(self, batch: Batch) -> dict[str, Tensor]:
        """Representations and logits of a whole split, as `<head>` and `<head>_logits`."""
        self.networks.eval()
        self.method.eval()
        names = [name for head in self.method.heads for name in (head, f"{head}_logits")]
        with self.average.applied():
            return evaluate(self.represent, names, batch, self.networks, self.device, self.world)

    def validate(self) -> dict[str, float]:
        """Metrics on the validation split (`validation_metrics`); none if it is empty."""
        batch = self.data.validation
        if not len(batch):
            return {}
        return validation_metrics(self.evaluate(batch), batch.labels, self.method.heads)

    def test(self) -> tuple[dict[str, list[int]], dict[str, float]]:
        """Predictions of each head on the test split, and retrieval metrics of the student with the
        training samples as the gallery (`RunRecord.predictions`, `RunRecord.retrieval`)."""
        train, batch = self.data.train.labelled(), self.data.test
        if not len(batch):
            return {}, {}
        found = self.evaluate(batch)
        predictions = {h: found[f"{h}_logits"].argmax(1).tolist() for h in self.method.heads}
        if "student" not in self.method.heads:
            return predictions, {}
        gallery = self.evaluate(train)["student"]
        retrieval = retrieval_metrics(found["student"], batch.labels, gallery, train.labels)
        return predictions, retrieval

    def record_epoch(self, metrics: dict[str, float]) -> None:
        """Adds an epoch's metrics to the history, and keeps its weights if it is the best one so
        far on validation. Metrics that are not finite are left out.

        Raises:
            AmidError: the training loss is not finite.
        """
        if not math.isfinite(metrics["train_loss"]):
            raise AmidError(
                f"run {self.spec.key} ({self.spec.method} on {self.spec.dataset}, seed "
                f"{self.spec.seed}) diverged: the loss of epoch {self.state.epoch + 1} is "
                f"{metrics['train_loss']}; lower the learning rate or the weights."
            )
        metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}
        history, state = self.state.history, self.state
        history.append(metrics)
        accuracy = f"validation_{self.method.heads[0]}"
        best = history[state.best_epoch].get(accuracy, 0.0) if state.best_epoch >= 0 else -1.0
        # Without validation samples the last epoch is the best one: never select on test.
        chosen = self.spec.training.get("choose") == "last" or accuracy not in metrics
        if chosen or metrics[accuracy] > best:
            state.best_epoch = state.epoch
            with self.average.applied():
                state.best = {n: value.clone() for n, value in self.weights.state_dict().items()}

    def save(self, path: Path) -> None:
        """Writes a checkpoint from which `load` resumes with identical results. Only the first of
        several processes writes."""
        if self.world.rank:
            return
        state = self.state
        state.random = generator_states(self.device) if state.position else {}
        tensors = self.registry.state_dict() | state.tensors()
        numbers = state.numbers() | {"schedule": self.method.schedule_state()}
        write_checkpoint(path, tensors, numbers, keep=True)

    def load(self, path: Path) -> None:
        """Resumes from a checkpoint of this run, or from the last one of its warm-up."""
        self.resume(*self.world.broadcast_object(lambda: read_checkpoint(path)))

    def resume(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Resumes from the content of a checkpoint."""
        if numbers["position"]:
            self._begin_epoch(numbers["epoch"])
        self.registry.load_state_dict(tensors)
        if numbers["schedule"]:
            self.method.load_schedule_state(numbers["schedule"])
        self.state = RunState.restore(tensors, numbers, self.device)

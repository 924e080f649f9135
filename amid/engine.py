"""The training loop: fit, evaluate and resume in one place."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from amid.batches import load_splits
from amid.checkpoint import previous, read_checkpoint, read_newest, write_checkpoint
from amid.clips import Clips, per_clip
from amid.distributed import ALONE, World, started, world_of
from amid.errors import AmidError, Stopped
from amid.methods import METHODS
from amid.methods.base import Sizes
from amid.metrics import mean_average_precision, retrieval_recall, within_class_similarity
from amid.networks.crossmodal import CrossModal, deployed
from amid.networks.normalise import share_statistics
from amid.reproducible import derive_seed
from amid.selection.rules import Selector
from amid.types import Batch, Representations, RunRecord

if TYPE_CHECKING:
    from amid.batches import Splits
    from amid.methods.base import Method
    from amid.types import RunSpec

EVALUATION_BATCH = 256  # small enough for the processor's cache: a third faster than one batch
WINDOWS = 16  # of videos at once
RECALL_AT = (1, 5, 10)
# Share of the validation clips, one of them in any case, that a fixed teacher may be right about
# more or fewer than when it was trained. On the same processor it is none; sums in another order
# (another processor, a GPU) move last bits, and so single clips between two classes. What a teacher
# said in bfloat16 it says in float32 now, which moves more. A wrong teacher is further off.
MOVED = {"float32": 0.005, "bfloat16": 0.02}


@dataclass(frozen=True)
class Saving:
    """When a run writes its state: after so many `epochs`, after so many `minutes` in the middle of
    one, and when `stop` says that it has to end."""

    path: Path
    epochs: int
    minutes: float = math.inf
    stop: Callable[[], bool] = lambda: False


NEVER = Saving(Path("nowhere"), epochs=1)


@dataclass
class State:
    """Where a run stands after `epoch` epochs and `position` batches of the next; all that a
    checkpoint holds beside the weights.

    sums: of the loss terms over these batches. random: the generators' states after them.
    best: networks and method as of the best validation epoch. steps: as in RunRecord.
    """

    epoch: int = 0
    position: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    random: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best: dict[str, Tensor] = field(default_factory=dict)
    steps: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("steps", "samples", "scored"), 0)
    )


class Trainer:
    """Everything one run trains: networks, the method's own parameters, and their optimisers.

    teacher: the networks of a fixed teacher, for methods that distil one. Of several processes that
    share the batches (amid.distributed) each has a trainer, in the same state.
    """

    def __init__(self, spec: RunSpec, data: Splits, teacher: CrossModal | None = None) -> None:
        torch.set_num_threads(1)  # the count of threads changes bits
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # a GPU's fixed order of sums
        # The same as use_deterministic_algorithms(True), which imports the compiler: 3 s a worker.
        torch.set_deterministic_debug_mode("error")
        network, training = spec.network, spec.training
        self.world = world_of(training.get("devices", 1))
        self.device = torch.device(training.get("device", "cpu"))
        self.precision = getattr(torch, training.get("precision", "float32"))
        if teacher is not None:
            data = _taught(data, teacher.to(self.device), self.device, self.world)
        self.spec, self.data = spec, data
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
        self.method.prepare(whole.to(self.device), teacher)
        self.networks = CrossModal(
            trains=self.method.trains,
            directions=self.method.directions,
            classes=len(data.classes),
            target_shape=tuple(data.train.target.shape[1:]),
            auxiliary_dims=auxiliary_dims,
            network=network,
            seed=spec.seed,
            parts=training.get("parts", 1),
        )
        self.networks.student.prepare(data.train.target)
        self.networks.to(self.device)
        self.method.to(self.device)
        share_statistics(self.networks.student, self.world.size)
        self.world.spread(self._tensors().values())
        adversary = list(self.method.adversary_parameters())
        known = set(map(id, adversary))
        own = [p for p in self.method.parameters() if id(p) not in known]
        self.optimiser = _optimiser(training, [*self.networks.parameters(), *own])
        self.adversary: torch.optim.Optimizer | None = None
        if adversary:
            self.adversary = _optimiser(self.method.adversary_optimiser(), adversary)
        self.selector: Selector | None = None
        if spec.selection:
            self.selector = Selector(spec.selection, len(whole)).to(self.device)
        self.state = State()

    def fit(
        self, *, on_epoch: Callable[[int, dict[str, float]], None], saving: Saving
    ) -> RunRecord:
        """Trains on from where the state stands to the last epoch; the record of the whole run.

        The test split is looked at when the training is over, and never before. Raises Stopped,
        the state saved, when `saving.stop` says so.
        """
        epochs = self.spec.training["epochs"]
        while self.state.epoch < epochs:
            metrics = self.train_epoch(self.state.epoch, saving) | self.validate()
            place = f"run {self.spec.key}, epoch {self.state.epoch + 1}"
            self.world.check_alike(self._tensors(), [repr(metrics), self.state.steps], place)
            self._judge(metrics)
            on_epoch(self.state.epoch, metrics)
            self.state.epoch += 1
            if self.state.epoch % saving.epochs == 0 or self.state.epoch == epochs:
                self.save(saving.path)
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

    def train_epoch(self, epoch: int, saving: Saving = NEVER) -> dict[str, float]:
        """One pass over the training samples, or the rest of one that was broken off; the mean of
        every loss term over its batches."""
        state = self.state
        self.networks.train()
        self.method.train()
        if not state.position:
            self._begin(epoch)
        self._set_learning_rate(epoch)
        # Drawn anew from (seed, epoch): a resumed epoch needs no generator's state to begin.
        torch.manual_seed(derive_seed(self.spec.seed, "epoch", epoch))
        order = torch.randperm(len(self.data.train))
        batches = order.split(self.spec.training["batch_size"])
        if state.position:
            self._restore_random(state.random)
        saved = time.monotonic()
        for batch in self._read(epoch, batches[state.position :]):
            for name, value in self.step(batch).items():
                state.sums[name] = state.sums[name] + value if name in state.sums else value
            state.position += 1
            if (
                stopped := self.world.any(saving.stop())
            ) or time.monotonic() - saved > 60 * saving.minutes:
                self.save(saving.path)
                saved = time.monotonic()
                if stopped:
                    raise Stopped
        means = {f"train_{n}": float(value) / len(batches) for n, value in state.sums.items()}
        state.position, state.sums = 0, {}
        return means | self.method.end_epoch()

    def _begin(self, epoch: int) -> None:
        self.method.begin_epoch(epoch)
        if self.selector is not None:
            self.selector.begin_epoch(epoch)

    def _read(self, epoch: int, batches: Sequence[Tensor]) -> Iterator[Batch]:
        """The training samples of one batch after another, on the device. The frames of videos,
        augmented by numbers drawn for (seed, epoch), are read while the batch before is trained on;
        of several processes each reads its share.
        """
        train = self.data.train
        if not isinstance(train.target, Clips):
            yield from (train.take(rows).to(self.device) for rows in batches)
            return
        seed = derive_seed(self.spec.seed, "augmentation", epoch)
        drawn = train.target.drawn(torch.Generator().manual_seed(seed))
        train = replace(train, target=drawn)

        def frames(rows: Tensor) -> Batch:
            batch = train.take(rows)
            read = self.networks.student.read
            return replace(batch, target=self.world.share(batch.target, read))

        with ThreadPoolExecutor(1) as pool:
            ahead = None
            for rows in batches:
                following, ahead = ahead, pool.submit(frames, rows)
                if following is not None:
                    yield following.result().to(self.device)
            if ahead is not None:
                yield ahead.result().to(self.device)

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Steps (1) to (3) of the paper's second phase; without an adversary, (1) and (3).

        The loss is the mean of the samples' losses: the method's for whole samples; for those that
        lack an auxiliary modality the student's cross-entropy alone, the term `incomplete`.
        """
        batch, incomplete = batch.parted()
        if self.selector is not None and len(batch):
            self.state.steps["scored"] += len(batch) * self.selector.scores
            chosen = self.selector.choose(self.method, self.networks, batch)
            batch = batch.take(chosen.to(self.device))
        self.state.steps["steps"] += 1
        self.state.steps["samples"] += len(batch)
        terms: dict[str, Tensor] = {}
        against: dict[str, Tensor] = {}
        if len(batch):
            reps = self.represent(batch)
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
        self.world.sum_gradients(self.networks.student.parameters())
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
        logits = self.represent(incomplete).student_logits  # (M, C)
        alone = cross_entropy(logits, incomplete.labels)
        scaled = {name: value * (whole / (whole + count)) for name, value in terms.items()}
        return {**scaled, "incomplete": alone * (count / (whole + count))}

    def represent(self, batch: Batch) -> Representations:
        """What the networks say of a batch on the device, in float32 whatever they compute in."""
        if self.precision == torch.float32:
            return self.method(self.networks, batch)
        with torch.autocast(self.device.type, self.precision):
            reps = self.method(self.networks, batch)
        names = ("student", "student_logits", "auxiliary", "teacher", "teacher_logits")
        found = {name: getattr(reps, name) for name in names}
        return replace(reps, **{n: None if v is None else v.float() for n, v in found.items()})

    def evaluate(self, batch: Batch) -> dict[str, Tensor]:
        """What the networks say of a whole split: a tensor for each head and each head's logits."""
        self.networks.eval()
        self.method.eval()
        names = [name for head in self.method.heads for name in (head, f"{head}_logits")]
        return _evaluated(self.represent, names, batch, self.networks, self.device, self.world)

    def validate(self) -> dict[str, float]:
        """Accuracies of the validation split, and how alike student and teacher are there."""
        batch, metrics = self.data.validation, {}
        if not len(batch):
            return metrics
        found = self.evaluate(batch)
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
        found = self.evaluate(batch)
        predictions = {h: found[f"{h}_logits"].argmax(1).tolist() for h in self.method.heads}
        if "student" not in self.method.heads:
            return predictions, {}
        queries, gallery = found["student"], self.evaluate(train)["student"]
        recalls = retrieval_recall(queries, batch.labels, gallery, train.labels, RECALL_AT)
        retrieval = {f"r@{k}": value for k, value in zip(RECALL_AT, recalls, strict=True)}
        precision = mean_average_precision(queries, batch.labels, gallery, train.labels)
        return predictions, {**retrieval, "map": precision}

    def card(self, heads: tuple[str, ...]) -> dict[str, Any]:
        """All that `load_model` needs beside the weights that serve `heads`, and how often these
        were right on validation at the best epoch.

        It is written as JSON with its keys sorted: what has an order stands in a list.
        """
        widths = self.networks.widths if "teacher" in heads else {}
        best = self.state.history[self.state.best_epoch] if self.state.best_epoch >= 0 else {}
        right = {head: best.get(f"validation_{head}") for head in heads}
        return {
            "auxiliary": [{"modality": name, "width": width} for name, width in widths.items()],
            "classes": self.data.classes,
            "directions": self.method.directions,
            "heads": list(heads),
            "network": self.spec.network,
            "precision": self.spec.training.get("precision", "float32"),
            "run": self.spec.key,
            "shape": list(self.data.train.target.shape[1:]),
            "target": self.spec.target,
            "validation": {head: share for head, share in right.items() if share is not None},
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
        """Writes everything `load` needs to go on as if nothing had happened; of several processes
        the first does."""
        if self.world.rank:
            return
        tensors = self._tensors() | {f"best.{k}": v for k, v in self.state.best.items()}
        if self.selector is not None:
            tensors |= {f"selection.{k}": v for k, v in self.selector.state_dict().items()}
        for name, optimiser in self._optimisers().items():
            for number, values in optimiser.state_dict()["state"].items():
                for key, value in values.items():
                    if value is not None:
                        tensors[f"{name}.{number}.{key}"] = value
        tensors |= {f"sums.{k}": v for k, v in self.state.sums.items()}
        if self.state.position:
            tensors |= {f"random.{k}": v for k, v in self._random().items()}
        meta = {
            "epoch": self.state.epoch,
            "position": self.state.position,
            "history": self.state.history,
            "best_epoch": self.state.best_epoch,
            "schedule": self.method.schedule_state(),
            "steps": self.state.steps,
        }
        write_checkpoint(path, tensors, meta, keep=True)

    def load(self, path: Path) -> None:
        """Takes up a checkpoint of this run, or the last one of its warm-up."""
        self.resume(*self.world.agreed(lambda: read_checkpoint(path)))

    def resume(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Takes up what `save` wrote."""
        self._restore(tensors)
        if meta["position"]:
            self._begin(meta["epoch"])
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
            position=meta["position"],
            sums={k: v.to(self.device) for k, v in _below("sums", tensors).items()},
            random=_below("random", tensors),
            history=meta["history"],
            best_epoch=meta["best_epoch"],
            best=_below("best", tensors),
            steps=meta["steps"],
        )

    def _random(self) -> dict[str, Tensor]:
        """The states of the generators that dropout and the methods draw from."""
        states = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        return states

    def _restore_random(self, states: dict[str, Tensor]) -> None:
        torch.set_rng_state(states["cpu"])
        if "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"], self.device)

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
    checkpoint_minutes: float = math.inf,
    stop: Callable[[], bool] = lambda: False,
    on_epoch: Callable[[int, dict[str, float]], None],
    on_start: Callable[[int, list[dict[str, float]]], None],
) -> RunRecord:
    """Trains one run, from its own checkpoint if it has one, else from its warm-up's, else anew.

    parent: the warm-up's checkpoint. teacher: a fixed teacher's model.safetensors. on_start gets
    the epochs already done and their metrics. Leaves checkpoint.safetensors and model.safetensors
    (the best epoch's student; of a run without a student, its teacher) in `run_folder`.
    Raises Stopped when `stop` says so; the run then goes on from the batch it was at. AmidError for
    a fixed teacher that is another run's, or says of the validation clips what it never said.
    With `training.devices` above 1 it starts as many processes, or is one of them: then the first
    alone reads and writes below `run_folder`, and the callbacks are called in each.
    """
    devices = spec.training.get("devices", 1)
    if devices > 1 and not started():
        launch = import_module("amid.runs.launch")  # by name, as it changes no result
        return launch.train(
            spec,
            data_folder,
            run_folder,
            parent=parent,
            teacher=teacher,
            checkpoint_every=checkpoint_every,
            checkpoint_minutes=checkpoint_minutes,
            stop=stop,
            on_epoch=on_epoch,
            on_start=on_start,
        )
    world = world_of(devices)
    if teacher is None:
        trainer = Trainer(spec, load_splits(data_folder, spec))
    else:
        weights, card = world.agreed(lambda: read_checkpoint(teacher))
        _check_run(spec, card, teacher)
        fixed = load_model(card, weights, teacher)
        trainer = Trainer(spec, load_splits(data_folder, spec), fixed)
        _check_taught(spec, card, teacher, trainer.data.validation)
    checkpoint = run_folder / "checkpoint.safetensors"
    if (found := world.agreed(lambda: read_newest(checkpoint))) is not None:
        trainer.resume(*found)
    elif parent is not None:
        trainer.load(parent)
    on_start(trainer.state.epoch, trainer.state.history)
    saving = Saving(checkpoint, checkpoint_every, checkpoint_minutes, stop)
    record = trainer.fit(on_epoch=on_epoch, saving=saving)
    if world.rank == 0:
        card = trainer.card(trainer.deployed_heads())
        write_checkpoint(run_folder / "model.safetensors", trainer.deployed_state(), card)
        previous(checkpoint).unlink(missing_ok=True)
    return record


def load_model(
    card: dict[str, Any], weights: dict[str, Tensor], path: Path | None = None
) -> CrossModal:
    """A trained student or teacher, ready to classify; card and weights as in a model file, which
    is named by `path` where there is one. AmidError where the card does not tell in which order a
    teacher joins its auxiliary modalities: a wrong one is not to be seen, only to be measured."""
    networks = CrossModal(
        trains=("student", *card["heads"]),
        directions=card["directions"],
        classes=len(card["classes"]),
        target_shape=tuple(card["shape"]),
        auxiliary_dims=_joined(card, path),
        network=card["network"],
        seed=0,
    )
    networks.load_state_dict(weights)
    return networks.eval()


def _joined(card: dict[str, Any], path: Path | None) -> dict[str, int]:
    """Width of each auxiliary modality that a model joins, in its order."""
    auxiliary = card["auxiliary"]
    if isinstance(auxiliary, list):
        return {entry["modality"]: entry["width"] for entry in auxiliary}
    # Earlier versions wrote an object, whose keys JSON sorts: only of one there is no doubt.
    if len(auxiliary) > 1:
        place = "The model" if path is None else path
        raise AmidError(
            f"{place} (run {card['run']}) does not tell in which order its teacher joins the "
            f"auxiliary modalities ({', '.join(sorted(auxiliary))}), as an earlier version of amid "
            "wrote it: delete it and train that run again."
        )
    return auxiliary


def _check_run(spec: RunSpec, card: dict[str, Any], path: Path) -> None:
    """AmidError where a teacher's file is of another run than the one to be distilled."""
    if card["run"] != spec.teacher:
        raise _wrong_teacher(
            spec,
            f"its fixed teacher is run {spec.teacher}, but {path} is the model of run "
            f"{card['run']}",
            path,
        )


def _check_taught(spec: RunSpec, card: dict[str, Any], path: Path, validation: Batch) -> None:
    """AmidError where a fixed teacher is not as often right about the validation clips as when it
    was trained: its weights, or what they are given, are not what they were. The clips are the same
    ones, as the teacher's run has the data set, the target and the fold of this one."""
    clips = len(validation)
    if not clips:
        return
    right = int((validation.teacher_logits.argmax(1) == validation.labels).sum())
    told = card.get("validation", {}).get("teacher")
    allowed = max(1, int(MOVED[card.get("precision", "float32")] * clips))
    if told is None or abs(right - round(told * clips)) > allowed:
        before = "tells of none" if told is None else f"tells of {100 * told:.2f} %"
        raise _wrong_teacher(
            spec,
            f"its fixed teacher, run {card['run']}, is right about {100 * right / clips:.2f} % of "
            f"the validation clips, but its model {path} {before}",
            path,
        )


def _wrong_teacher(spec: RunSpec, why: str, path: Path) -> AmidError:
    return AmidError(
        f"run {spec.key} ({spec.method} on {spec.dataset}, seed {spec.seed}) cannot be trained: "
        f"{why}; delete the folder {path.parent} (of a store with a URL, there as well) and run "
        "again: the teacher is then trained anew."
    )


@torch.no_grad()
def _evaluated(
    represent: Callable[[Batch], Representations],
    names: Sequence[str],
    batch: Batch,
    networks: CrossModal,
    device: torch.device,
    world: World = ALONE,
) -> dict[str, Tensor]:
    """The fields `names` of a whole split's representations, on the CPU; of videos what all their
    windows say together."""
    owner = None
    if isinstance(batch.target, Clips):
        windows, owner = networks.student.windows(batch.target)
        batch = replace(batch.take(owner), target=windows)
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    size = EVALUATION_BATCH if owner is None else WINDOWS * world.size
    for rows in torch.arange(len(batch)).split(size):
        part = batch.take(rows)
        if owner is not None:
            part = replace(part, target=world.share(part.target, networks.student.read))
        reps = represent(part.to(device))
        for name, values in found.items():
            values.append(getattr(reps, name).cpu())
    joined = {name: torch.cat(values) for name, values in found.items()}
    return joined if owner is None else per_clip(joined, owner)


def embedded(networks: CrossModal, samples: Tensor | Clips) -> Tensor:
    """What the encoder itself makes of samples, (N, D): not brought to the length that the
    classifier may see."""
    if not isinstance(samples, Clips):
        return networks.student(samples)

    def encoded(batch: Batch) -> Representations:
        rows = networks.student(batch.target)
        return Representations(rows, rows, batch.samples)

    places = torch.arange(len(samples))
    batch = Batch(samples, {}, places, places)
    return _evaluated(encoded, ["student"], batch, networks, torch.device("cpu"))["student"]


def _taught(data: Splits, teacher: CrossModal, device: torch.device, world: World) -> Splits:
    """The splits with what a fixed teacher says of every sample, which never changes: of a video
    that is the mean over its windows, however the student's is augmented."""

    def taught(batch: Batch) -> Batch:
        if not len(batch):
            return batch
        names = ("teacher", "teacher_logits")
        return replace(batch, **_evaluated(teacher, names, batch, teacher, device, world))

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

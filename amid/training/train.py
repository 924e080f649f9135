"""Trains one run: reads its data, warm-up and teacher, writes its checkpoint and its model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from amid.core.checkpoint import previous, read_checkpoint, read_newest
from amid.core.distributed import world_of
from amid.core.reproducible import use_deterministic_kernels
from amid.data.splits import load_splits
from amid.errors import AmidError
from amid.training.job import CHECKPOINT, MODEL, TrainingJob
from amid.training.model_file import load_model, write_model
from amid.training.run_state import CheckpointPolicy
from amid.training.trainer import Trainer

if TYPE_CHECKING:
    from amid.core.types import Batch, RunRecord, RunSpec

# Largest difference between a fixed teacher's validation accuracy now and when it was trained, by
# the precision it was trained in; one clip is always allowed. On the same processor there is no
# difference. Another processor or a GPU sums in another order, which changes last bits and so
# single clips between two classes; a teacher trained in bfloat16 is evaluated in float32, which
# changes more. A wrong teacher differs by more than this.
TEACHER_TOLERANCE = {"float32": 0.005, "bfloat16": 0.02}


def train(job: TrainingJob) -> RunRecord:
    """Trains one run in this process and writes its checkpoint and its model to `job.folder`.

    Training resumes from the run's own checkpoint; without one it starts from its warm-up's, or
    from the beginning. Where `training.processes` is above 1, this process must be one of as many
    in a process group (`amid.core.distributed`): only the first reads and writes files of runs,
    and the callbacks are called in each.

    Returns:
        The record of the whole run.

    Raises:
        Stopped: `job.stop` returned True. The next call resumes at the batch after the last one.
        AmidError: the run diverged, or the fixed teacher is the model of another run or does not
            have the validation accuracy that its file states.
    """
    use_deterministic_kernels()
    spec = job.spec
    world = world_of(spec.training.get("processes", 1))
    trainer = (
        _trainer_with_teacher(job) if job.teacher else Trainer(spec, load_splits(job.data, spec))
    )
    checkpoint = job.folder / CHECKPOINT
    if (found := world.broadcast_object(lambda: read_newest(checkpoint))) is not None:
        trainer.resume(*found)
    elif job.parent is not None:
        trainer.load(job.parent)
    job.on_start(trainer.state.epoch, trainer.state.history)
    policy = CheckpointPolicy(checkpoint, job.checkpoint_every, job.checkpoint_minutes, job.stop)
    record = trainer.fit(on_epoch=job.on_epoch, policy=policy)
    if world.rank == 0:
        write_model(job.folder / MODEL, trainer)
        previous(checkpoint).unlink(missing_ok=True)
    return record


def _trainer_with_teacher(job: TrainingJob) -> Trainer:
    """A trainer that distils the fixed teacher in the file `job.teacher`, once it is checked."""
    spec, path = job.spec, job.teacher
    world = world_of(spec.training.get("processes", 1))
    weights, card = world.broadcast_object(lambda: read_checkpoint(path))
    _check_run(spec, card, path)
    trainer = Trainer(spec, load_splits(job.data, spec), load_model(card, weights, path))
    _check_accuracy(spec, card, path, trainer.data.validation)
    return trainer


def _check_run(spec: RunSpec, card: dict[str, Any], path: Path) -> None:
    """Raises AmidError if the teacher's file is the model of another run than `spec.teacher`."""
    if card["run"] != spec.teacher:
        raise _wrong_teacher(
            spec,
            f"its fixed teacher is run {spec.teacher}, but {path} is the model of run "
            f"{card['run']}",
            path,
        )


def _check_accuracy(spec: RunSpec, card: dict[str, Any], path: Path, validation: Batch) -> None:
    """Raises AmidError if the teacher's accuracy on validation is not the one stated in its file.

    Its weights or its inputs have then changed: the clips are the same ones, as the teacher's run
    has the data set, the target and the fold of this run.
    """
    clips = len(validation)
    if not clips:
        return
    correct = int((validation.teacher_logits.argmax(1) == validation.labels).sum())
    stated = card.get("validation", {}).get("teacher")
    allowed = max(1, int(TEACHER_TOLERANCE[card.get("precision", "float32")] * clips))
    if stated is None or abs(correct - round(stated * clips)) > allowed:
        before = "tells of none" if stated is None else f"tells of {100 * stated:.2f} %"
        raise _wrong_teacher(
            spec,
            f"its fixed teacher, run {card['run']}, is right about {100 * correct / clips:.2f} % "
            f"of the validation clips, but its model {path} {before}",
            path,
        )


def _wrong_teacher(spec: RunSpec, why: str, path: Path) -> AmidError:
    return AmidError(
        f"run {spec.key} ({spec.method} on {spec.dataset}, seed {spec.seed}) cannot be trained: "
        f"{why}; delete the folder {path.parent} (of a store with a URL, there as well) and run "
        "again: the teacher is then trained again."
    )

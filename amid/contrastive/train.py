"""Trains one run on pairs: reads its data, writes its checkpoint and its model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amid.contrastive.pairs import load_pairs
from amid.contrastive.trainer import PairTrainer
from amid.core.checkpoint import previous, read_newest, write_checkpoint
from amid.core.reproducible import use_deterministic_kernels
from amid.training.job import CHECKPOINT, MODEL
from amid.training.run_state import CheckpointPolicy

if TYPE_CHECKING:
    from amid.core.types import RunRecord
    from amid.training.job import TrainingJob


def train(job: TrainingJob) -> RunRecord:
    """Trains one run in this process and writes its checkpoint and its model to `job.folder`.

    Training resumes from the run's own checkpoint, if there is one.

    The model file holds the weights of the best epoch as `networks.encoders.<modality>.<weight>`,
    the method's, and a card: run, method, network, and the modalities with the shape of their
    features, as a list of {"modality", "shape"}.

    Raises:
        Stopped: `job.stop` returned True. The next call resumes at the batch after the last one.
        AmidError: the data cannot be paired, or the run diverged.
    """
    use_deterministic_kernels()
    spec = job.spec
    data = load_pairs(job.data, spec)
    trainer = PairTrainer(spec, data)
    checkpoint = job.folder / CHECKPOINT
    if (found := read_newest(checkpoint)) is not None:
        trainer.resume(*found)
    job.on_start(trainer.state.epoch, trainer.state.history)
    policy = CheckpointPolicy(checkpoint, job.checkpoint_every, job.checkpoint_minutes, job.stop)
    record = trainer.fit(on_epoch=job.on_epoch, policy=policy)
    card = {
        "run": spec.key,
        "method": spec.method,
        "network": spec.network,
        "modalities": [
            {"modality": name, "shape": list(values.shape[1:])}
            for name, values in data.train.features.items()
        ],
    }
    write_checkpoint(job.folder / MODEL, trainer.weights.state_dict(), card)
    previous(checkpoint).unlink(missing_ok=True)
    return record

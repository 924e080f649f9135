"""Runs whose trainers are stepped in one process, and the same in one of several:

    python -m tests.sharing FOLDER RANK CASE ...

as process RANK of two leaves what `pieces` gives in FOLDER/pieces<RANK>.safetensors, and, the
first, what `stepped` gives in FOLDER/<case>.safetensors.
"""

from __future__ import annotations

import amid.core.reproducible  # isort: skip  # noqa: F401  pins kernels before torch is imported

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor

from amid.core.distributed import SINGLE_PROCESS, process_group, world_of
from amid.core.types import Batch, RunSpec
from amid.data.splits import Splits, load_splits
from amid.networks.crossmodal import deployed
from amid.networks.normalise import BatchNorm, synchronize_statistics
from amid.training.model_file import load_model, model_card
from amid.training.trainer import Trainer
from tests.small import small_run, sum_all, write_data

NETWORK = {"blocks": 1, "width": 4, "window": 3, "size": 17}  # the last maps 2 x 2
# With large gradients, or a batch of one clip, a ReLU that rounding turns on or off moves the later
# losses of float32 by 1e-3, as any rounding does: it gets small weights and other batches. CRD's
# bank is of float32.
BATCH = 13  # of 40 samples: 13, 13 and 14, the last one alone joined to the batch before
# Name -> configuration, parts of a batch, type, share of the samples that lack their sound, size of
# a batch, epochs, how near all numbers have to be.
CASES = {
    "amid": ("amid", 1, torch.float64, 0.0, BATCH, 5, 1e-12),
    "parts": ("amid", 2, torch.float64, 0.0, BATCH, 5, 1e-12),
    "single": ("amid", 1, torch.float32, 0.0, 11, 5, 1e-6),
    "incomplete": ("amid", 2, torch.float64, 0.3, BATCH, 1, 1e-12),
    "crd": ("crd", 1, torch.float32, 0.0, 21, 1, 1e-4),
}


def write_films(folder: Path) -> Path:
    """As `write_data` leaves it, with films of 3 to 9 frames, of one hue a class, as the target."""
    write_data(folder)
    path = folder / "features" / "index.parquet"
    index = pd.read_parquet(path)
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 10, len(index))
    index["video_start"], index["video_length"] = np.cumsum(lengths) - lengths, lengths
    hues = np.array([[200, 90, 90], [90, 200, 90], [90, 90, 200], [190, 190, 60]])
    of_frames = np.repeat(hues[index["label_index"]], lengths, axis=0)[:, None, None]
    films = of_frames + rng.integers(-60, 55, (lengths.sum(), 20, 24, 3))
    np.save(folder / "features" / "video.npy", films.astype(np.uint8))
    index.to_parquet(path, index=False)
    sum_all(folder / "features")
    return folder


def film_spec(
    data: Path, configuration: str = "amid", *, mild: bool = False, **training
) -> RunSpec:
    """A run of the video student on the films, with discriminators from the first epoch on; mild:
    with small gradients."""
    spec = small_run(data, configuration).spec
    network = {**spec.network, "encoder": "r2plus1d", "r2plus1d": NETWORK}
    numbers = {
        **{"epochs": 5, "milestones": [], "batch_size": BATCH, "optimiser": "sgd"},
        **{"learning_rate": 1e-5, "momentum": 0.9, "weight_decay": 5e-4},
        **training,
    }
    options = {**spec.options}
    if "warmup_epochs" in options:
        options |= {"warmup_epochs": 0}
        if mild:
            options |= {"alpha": 0.05, "beta": 0.02, "temperature": 0.5}
    return dataclasses.replace(spec, network=network, training=numbers, options=options)


def stepped(data: Path, case: str, devices: int) -> dict[str, Tensor]:
    """Losses of every step, what the method tells of an epoch, weights, and test logits."""
    configuration, parts, dtype, lacking, size, epochs, _ = CASES[case]
    shared = {"batch_size": size, **({"processes": devices} if devices > 1 else {})}
    if parts > 1:
        shared["activation_chunks"] = parts
    spec = film_spec(data, configuration, mild=dtype == torch.float32, **shared)
    splits, teacher = load_splits(data, spec), None
    if spec.teacher is not None:
        other = Trainer(film_spec(data, "teacher_alone"), splits)
        state = deployed(other.networks.state_dict(), ("teacher",))
        teacher = load_model(model_card(other, ("teacher",)), state)
    one = Trainer(spec, _as(splits, torch.float32, lacking), teacher)
    one.data = _as(one.data, dtype, 0.0)
    one.networks.to(dtype)
    one.method.to(dtype)
    first = [p.detach().clone() for p in one.networks.parameters()]
    losses = []
    take_step = one.step

    def step(batch: Batch) -> dict[str, Tensor]:
        losses.append(take_step(batch))
        return losses[-1]

    one.step = step
    found = {}
    for epoch in range(epochs):
        for name, value in one.train_epoch(epoch).items():
            found[f"metrics.{epoch}.{name}"] = torch.tensor(value, dtype=torch.float64)
    for number, terms in enumerate(losses):
        found |= {f"losses.{number}.{name}": value for name, value in terms.items()}
    tensors = {f"weights.{n}": value for n, value in one.weights.state_dict().items()}
    moves = [(p - q).abs().max() for p, q in zip(one.networks.parameters(), first, strict=True)]
    tensors["moved"] = torch.stack(moves).detach()
    said = {f"test.{name}": value for name, value in one.evaluate(one.data.test).items()}
    steps = {f"steps.{name}": torch.tensor(value) for name, value in one.state.steps.items()}
    return {**found, **tensors, **said, **steps}


def _as(splits: Splits, dtype: torch.dtype, lacking: float) -> Splits:
    def of(batch: Batch, lacking: float = 0.0) -> Batch:
        whole = batch.complete
        if lacking:
            count = len(batch) - round(lacking * len(batch))
            whole = batch.samples < count  # whole samples have the lower positions
        wide = {name: values.to(dtype) for name, values in batch.auxiliary.items()}
        said = (None if v is None else v.to(dtype) for v in (batch.teacher, batch.teacher_logits))
        names = ("teacher", "teacher_logits")
        told = dict(zip(names, said, strict=True))
        return dataclasses.replace(batch, auxiliary=wide, complete=whole, **told)

    train = of(splits.train, lacking)
    return dataclasses.replace(
        splits, train=train, validation=of(splits.validation), test=of(splits.test)
    )


def pieces(size: int) -> dict[str, Tensor]:
    """Normalised maps of 3 samples, a loss that compares all pairs, and its gradients: of one
    process that has all, or of two, of which the second has one. The same of one sample with a
    single value a channel, of which the second process has nothing."""
    many = {f"many.{name}": value for name, value in _pieces(size, 3, (2, 3, 3)).items()}
    return many | {f"one.{name}": value for name, value in _pieces(size, 1, (1, 1, 1)).items()}


def _pieces(size: int, samples: int, shape: tuple[int, ...]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    joint = torch.randn(samples, 4, *shape, generator=generator, dtype=torch.float64)
    norm = BatchNorm(4).double()
    synchronize_statistics(norm, size)
    world = SINGLE_PROCESS if size == 1 else world_of(size)
    target = world.slice_batch(joint, lambda samples: samples.clone().requires_grad_())
    own = target if size == 1 else target.own
    rows = norm(own).square().mean((2, 3, 4))  # (b, 4)
    gathered = rows if size == 1 else target.gather(rows)  # (samples, 4)
    (gathered @ gathered.T).exp().sum().backward()
    world.sum_gradients(norm.parameters())
    slopes = own.grad if size == 1 else target.gather(own.grad.flatten(1)).view_as(joint)
    found = {"rows": gathered.detach(), "slopes": slopes, **norm.state_dict()}
    return {**found, **{f"slope.{n}": p.grad for n, p in norm.named_parameters()}}


def main(folder: Path, rank: int, cases: list[str]) -> None:
    with process_group("cpu", place=f"file://{folder / 'meeting'}", rank=rank, size=2):
        save_file(pieces(2), folder / f"pieces{rank}.safetensors")
        for case in cases:
            found = stepped(folder / "data", case, devices=2)
            if rank == 0:
                save_file(
                    {k: v.contiguous().clone() for k, v in found.items()},
                    folder / f"{case}.safetensors",
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])

"""params.yaml -> the training runs a stage needs, as specifications."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amid.config import DataSet, Params, Selection, Training, check
from amid.core.reproducible import code_fingerprint
from amid.core.types import RunSpec
from amid.errors import ConfigError
from amid.methods import METHODS
from amid.networks import ENCODERS

# (target, auxiliary modalities) -> fingerprint of the arrays a run reads
Fingerprint = Callable[[str, tuple[str, ...]], str]
SHARED = "r2plus1d"  # the encoder that is dear enough for a GPU, or for several processes
GPUS = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class PlannedRun:
    """A run with the place a table finds it at.

    folder: below the section's outs. parent: the warm-up it goes on from; its last checkpoint is
    where an unbroken run would be. teacher: the run whose teacher it distils.
    """

    configuration: str
    folder: str
    spec: RunSpec
    parent: RunSpec | None = None
    teacher: RunSpec | None = None


def section_runs(
    section: str, params: Params, dataset: str, fingerprint: Fingerprint
) -> list[PlannedRun]:
    """All runs of one section of params.yaml: its configurations times the seeds."""
    if section not in params.sections:
        raise ConfigError(f"params.yaml: 'sections' has no entry '{section}'.")
    return [
        configured_run(params, dataset, configuration, seed, fingerprint)
        for configuration in params.sections[section]
        for seed in params.seeds
    ]


def warmup_runs(params: Params, dataset: str, fingerprint: Fingerprint) -> list[PlannedRun]:
    """The distinct warm-ups of all sections, each under the first configuration that needs it."""
    found: dict[str, PlannedRun] = {}
    names = {name: None for section in params.sections.values() for name in section}
    for configuration in names:
        for seed in params.seeds:
            run = configured_run(params, dataset, configuration, seed, fingerprint)
            if run.parent is not None:
                warmup = PlannedRun(configuration, run.folder, run.parent, teacher=run.teacher)
                found.setdefault(run.parent.key, warmup)
    return list(found.values())


def with_teachers(runs: Iterable[PlannedRun]) -> list[PlannedRun]:
    """The runs, after the fixed teachers they need: no worker then waits for another's teacher."""
    runs = list(runs)
    teachers = {
        run.teacher.key: PlannedRun("teacher", f"teacher/{run.teacher.key}", run.teacher)
        for run in runs
        if run.teacher is not None
    }
    return [*teachers.values(), *runs]


def auxiliary_runs(
    params: Params, dataset: str, corpus: str, fingerprint: Fingerprint
) -> list[PlannedRun]:
    """The frozen extractors' pre-training: a classifier of each modality but the target, trained
    on the split `corpus`: "auxiliary", or "train" where a data set has no separate corpus. None for
    a modality whose encoder is "none": its features are used as they are."""
    block = params.dataset(dataset)
    training = params.training_of(dataset, auxiliary=True)
    return [
        PlannedRun(
            modality,
            modality,
            RunSpec(
                dataset=dataset,
                method="baseline",
                options={},
                target=modality,
                auxiliary=(),
                network=_network(params, block, modality, fusion=False),
                training=_training(training, training.epochs, block.encoders[modality]),
                seed=training.auxiliary_seed,
                fold=None,
                corpus=corpus,
                features=fingerprint(modality, ()),
                code=code_of("baseline", block.encoders[modality]),
            ),
        )
        for modality in block.extract
        if modality != block.target and block.encoders[modality] != "none"
    ]


def configured_run(
    params: Params,
    dataset: str,
    configuration: str,
    seed: int,
    fingerprint: Fingerprint,
    *,
    folder: str | None = None,
    overrides: dict[str, Any] | None = None,
    fold: int | None = None,
    auxiliary: tuple[str, ...] | None = None,
    training: dict[str, Any] | None = None,
    unbroken: bool = False,
) -> PlannedRun:
    """One configuration on one data set with one seed, with its warm-up and its fixed teacher.

    overrides: on top of the configuration's numbers. auxiliary: in place of the data set's.
    training: numbers of the protocol, for the fixed teacher as well. unbroken: without a parent.
    """
    block = params.dataset(dataset)
    method, options, override, selection, mismatch_ratio = params.resolved(configuration, overrides)
    protocol = {**params.training_of(dataset).model_dump(), **(training or {})}
    where = f"configurations.{configuration}.training"
    numbers = check(Training, {**protocol, **override}, where)
    if numbers.processes > 1 and block.encoders[block.target] != SHARED:
        raise ConfigError(
            f"params.yaml: 'training.processes' is {numbers.processes}, but the target of "
            f"'{dataset}' has the encoder '{block.encoders[block.target]}', and only a '{SHARED}' "
            "can be shared by several processes: set it to 1."
        )
    mismatch_ratio = block.mismatch_ratio if mismatch_ratio is None else mismatch_ratio
    chosen = tuple(block.auxiliary if auxiliary is None else auxiliary)

    def spec(
        method: str, of: Any, training: Training, epochs: int, teacher: RunSpec | None = None
    ) -> RunSpec:
        seen = chosen if of.sees_auxiliary else ()
        return RunSpec(
            dataset=dataset,
            method=method,
            options=of.canonical(training.warmup_epochs),
            target=block.target,
            auxiliary=seen,
            network=_network(
                params, block, block.target, fusion=bool(seen) and not of.fixed_teacher
            ),
            training=_training(training, epochs, block.encoders[block.target]),
            seed=seed,
            fold=fold,
            corpus="train",
            features=fingerprint(block.target, seen),
            code=code_of(method, block.encoders[block.target]),
            teacher=None if teacher is None else teacher.key,
            selection=_selection(selection) if of.compares_pairs else None,
            mismatch_ratio=mismatch_ratio if seen else 0.0,
        )

    teacher = None
    if options.fixed_teacher:  # the data set's numbers: configurations of one seed share it
        alone = check(Training, protocol, f"data.{dataset}.training")
        teacher = spec("teacher", params.options("teacher"), alone, alone.epochs)
    before = None if unbroken else options.warmup()
    parent = None
    if before and numbers.warmup_epochs:
        parent = spec(method, before, numbers, numbers.warmup_epochs, teacher)
    return PlannedRun(
        configuration,
        folder or f"{configuration}/seed{seed}",
        spec(method, options, numbers, numbers.epochs, teacher),
        parent,
        teacher,
    )


def _selection(selection: Selection) -> dict[str, Any] | None:
    """The numbers of a selection that have an effect, None when all samples are trained on."""
    if selection.name == "all" or selection.ratio == 1:
        return None
    values = {"name": selection.name, "ratio": selection.ratio}
    if selection.name == "dissect":
        values |= {"version": selection.version, "between": selection.between}
        own = "warmup_epochs" if selection.version == "warmup" else "momentum"
        values[own] = getattr(selection, own)
    return values


def _network(params: Params, block: DataSet, target: str, *, fusion: bool) -> dict:
    """The numbers of the networks that the run builds, and no others."""
    values = params.network.model_dump()
    encoder = block.encoders[target]
    chosen = {"dim": values["dim"], "slope": values["slope"], "encoder": encoder}
    chosen[encoder] = {n: v for n, v in values[encoder].items() if v is not None}
    return {**chosen, "fusion": values["fusion"]} if fusion else chosen


def _training(training: Training, epochs: int, encoder: str) -> dict:
    """The numbers that change the result of the first `epochs` epochs."""
    idle = {"warmup_epochs", "checkpoint_every", "checkpoint_minutes", "auxiliary_seed"}
    values = training.model_dump(exclude={*idle, "epochs", "milestones"})
    if values["optimiser"] == "adam":
        del values["momentum"]
    milestones = [m for m in training.milestones if m < epochs]
    if not milestones:
        del values["decay"]
    values["device"] = _device(training.device, encoder)
    if encoder != SHARED:  # of an extractor beside a shared student; of a student it is an error
        values["processes"] = 1
    usual = {"device": "cpu", "precision": "float32", "activation_chunks": 1, "processes": 1}
    values = {name: value for name, value in values.items() if usual.get(name) != value}
    if "device" in values:  # whose bits are its own: unlike the processor's, they are in the key
        values["gpu"] = _gpu_models()
    return {**values, "epochs": epochs, "milestones": milestones}


def _device(wanted: str, encoder: str) -> str:
    """ "cpu" or "cuda". On its own choice a GPU trains only what is made for one: small networks
    stay on the processor, whose results are the committed ones."""
    if wanted == "cpu" or (wanted == "auto" and encoder != SHARED):
        return "cpu"
    import torch

    # Asked of the driver: torch's own initialisation would not survive the workers' fork.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise ConfigError(
            "params.yaml: 'training.device' is 'cuda', but this machine's torch finds no GPU: use "
            "auto or cpu, or install a build of torch for CUDA."
        )
    return "cpu"


def _gpu_models() -> str:
    """The models of this machine's GPUs, as its driver tells them."""
    texts = [path.read_text() for path in sorted(GPUS.glob("*/information"))]
    found = {
        line[6:].strip() for text in texts for line in text.splitlines() if line[:6] == "Model:"
    }
    return ", ".join(sorted(found)) or "unknown"


def code_of(method: str, encoder: str) -> str:
    """Fingerprint of the code that a run of a method with an encoder depends on."""
    module, _ = ENCODERS[encoder].split(":")
    return code_fingerprint("amid.training.train", METHODS[method], module)

"""params.yaml -> the training runs a stage needs, as specifications."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from amid.augmentations import AUGMENTATIONS, load_augmentation
from amid.config import DataSet, Params, Selection, Training, block_file, check
from amid.core.reproducible import code_fingerprint
from amid.core.types import RunSpec
from amid.errors import ConfigError
from amid.methods import METHODS, PAIR_METHODS
from amid.networks import ENCODERS, load_encoder

# (target, auxiliary modalities) -> fingerprint of the arrays a run reads
Fingerprint = Callable[[str, tuple[str, ...]], str]
PAIR_TRAINER = "amid.contrastive.train"  # by name: no other training depends on its code
SHARED = "r2plus1d"  # the encoder that is dear enough for a GPU, or for several processes
WARMED_UP = "amid"  # the section whose warm-ups a stage of their own trains
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
    return configuration_runs(params.sections[section], params, dataset, fingerprint)


def configuration_runs(
    configurations: Iterable[str], params: Params, dataset: str, fingerprint: Fingerprint
) -> list[PlannedRun]:
    """The configurations times the seeds."""
    return [
        configured_run(params, dataset, configuration, seed, fingerprint)
        for configuration in configurations
        for seed in params.seeds
    ]


def warmup_runs(params: Params, dataset: str, fingerprint: Fingerprint) -> list[PlannedRun]:
    """The distinct warm-ups of the section `amid`, each under the first configuration that needs
    it. Other stages train theirs themselves: a table of methods does not wait for the ablation's.
    """
    found: dict[str, PlannedRun] = {}
    for run in section_runs(WARMED_UP, params, dataset, fingerprint):
        if run.parent is not None:
            warmup = PlannedRun(run.configuration, run.folder, run.parent, teacher=run.teacher)
            found.setdefault(run.parent.key, warmup)
    return list(found.values())


def with_needed(runs: Iterable[PlannedRun], shared: Collection[str] = ()) -> list[PlannedRun]:
    """The runs, after the fixed teachers and the warm-ups they need: no worker then waits for
    another's. shared: keys of the warm-ups that an earlier stage has trained."""
    runs = list(runs)
    teachers = {
        run.teacher.key: PlannedRun("teacher", f"teacher/{run.teacher.key}", run.teacher)
        for run in runs
        if run.teacher is not None
    }
    warmups = {
        run.parent.key: PlannedRun(
            "warmup", f"warmup/{run.parent.key}", run.parent, teacher=run.teacher
        )
        for run in runs
        if run.parent is not None and run.parent.key not in shared
    }
    return [*teachers.values(), *warmups.values(), *runs]


def auxiliary_runs(
    params: Params, dataset: str, corpus: str, fingerprint: Fingerprint
) -> list[PlannedRun]:
    """The frozen extractors' pre-training: a classifier of each modality but the target, trained
    on the split `corpus`: "auxiliary", or "train" where a data set has no separate corpus. None for
    a modality whose encoder is "none": its features are used as they are."""
    return [
        PlannedRun(modality, modality, _alone(params, dataset, modality, corpus, None, fingerprint))
        for modality, encoder in params.dataset(dataset).encoders.items()
        if modality != params.dataset(dataset).target and encoder != "none"
    ]


def modality_runs(params: Params, dataset: str, fingerprint: Fingerprint) -> list[PlannedRun]:
    """Classifiers of each of the data set's auxiliary modalities alone, one a seed, trained on the
    clips and with the numbers that the student is trained on. A modality whose encoder is "none"
    has an `mlp` on its features."""
    return [
        PlannedRun(
            modality,
            f"auxiliary/{modality}/seed{seed}",
            _alone(params, dataset, modality, "train", seed, fingerprint),
        )
        for modality in params.dataset(dataset).auxiliary
        for seed in params.seeds
    ]


def _alone(
    params: Params,
    dataset: str,
    modality: str,
    corpus: str,
    seed: int | None,
    fingerprint: Fingerprint,
) -> RunSpec:
    """A classifier of one modality; seed: None for a frozen extractor, with its own numbers."""
    block = params.dataset(dataset)
    if block.encoders[modality] == "none":
        block = block.model_copy(update={"encoders": {**block.encoders, modality: "mlp"}})
    training = params.training_of(dataset, auxiliary=seed is None)
    numbers = _training(training, training.epochs, block, modality, teacher=False)
    return RunSpec(
        dataset=dataset,
        method="baseline",
        options={},
        target=modality,
        auxiliary=(),
        network=_network(params, block, modality, fusion=False),
        training=numbers,
        seed=training.auxiliary_seed if seed is None else seed,
        fold=None,
        corpus=corpus,
        features=fingerprint(modality, ()),
        code=code_of("baseline", [block.encoders[modality]], numbers.get("augmentation", ())),
    )


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
    training: numbers of a study's protocol, for the fixed teacher as well; those of the data set's
    block come on top of them, the configuration's on top of both. unbroken: without a parent.
    """
    block = params.dataset(dataset)
    method, options, override, selection, mismatch_ratio = params.resolved(configuration, overrides)
    protocol = params.training_of(dataset, study=training).model_dump()
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
        fusion = bool(seen) and not of.fixed_teacher
        trained = _training(training, epochs, block, block.target, teacher=fusion)
        return RunSpec(
            dataset=dataset,
            method=method,
            options=_unsigned(of.canonical(training.warmup)),
            target=block.target,
            auxiliary=seen,
            network=_network(params, block, block.target, fusion=fusion),
            training=trained,
            seed=seed,
            fold=fold,
            corpus="train",
            features=fingerprint(block.target, seen),
            code=code_of(method, [block.encoders[block.target]], trained.get("augmentation", ())),
            teacher=None if teacher is None else teacher.key,
            selection=_selection(selection) if of.compares_pairs else None,
            mismatch_ratio=_unsigned(mismatch_ratio) if seen else 0.0,
        )

    teacher = None
    if options.fixed_teacher:  # the data set's numbers: configurations of one seed share it
        alone = check(Training, protocol, f"{block_file(dataset)}:training")
        by = getattr(options, "teacher_method", "teacher")
        teacher = spec(by, params.options(by), alone, alone.epochs)
    before = None if unbroken else options.warmup()
    parent = None
    if before and numbers.warmup:
        parent = spec(method, before, numbers, numbers.warmup, teacher)
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
    return _unsigned(values)


def _network(params: Params, block: DataSet, target: str, *, fusion: bool) -> dict:
    """The numbers of the networks that the run builds, and no others."""
    values = params.network.model_dump()
    encoder = block.encoders[target]
    chosen = {"dim": values["dim"], "slope": values["slope"], "encoder": encoder}
    chosen[encoder] = {n: v for n, v in values[encoder].items() if v is not None}
    return _unsigned({**chosen, "fusion": values["fusion"]} if fusion else chosen)


def _training(
    training: Training, epochs: int, block: DataSet, target: str, *, teacher: bool
) -> dict:
    """The numbers that change the result of the first `epochs` epochs. target: the modality that is
    trained on. teacher: whether the run trains one."""
    encoder = block.encoders[target]
    idle = {"warmup_epochs", "checkpoint_every", "checkpoint_minutes", "auxiliary_seed"}
    idle |= {"protocol", "strong", "epochs", "milestones", "schedule", "rate_warmup"}
    values = training.model_dump(exclude=idle)
    if values["optimiser"] != "sgd":
        del values["momentum"]
    milestones = training.milestones_before(epochs)
    if training.schedule == "step":
        values["milestones"] = milestones
    else:  # whose length is the whole training's, also of a warm-up
        values["schedule"] = {"epochs": training.epochs, "warmup": training.rate_warmup}
    if training.schedule != "step" or not milestones:
        del values["decay"]
    values["ema"] *= training.epochs  # a share, as epochs
    values["augmentation"] = _augmentation(training, encoder, *block.extract[target])
    if not teacher:
        values["modality_dropout"] = 0.0
    values["device"] = _device(training.device, encoder)
    if encoder != SHARED:  # of an extractor beside a shared student; of a student it is an error
        values["processes"] = 1
    usual = {"device": "cpu", "precision": "float32", "activation_chunks": 1, "processes": 1}
    usual |= {"label_smoothing": 0.0, "ema": 0.0, "choose": "validation", "augmentation": {}}
    usual["modality_dropout"] = 0.0
    values = {name: value for name, value in values.items() if usual.get(name) != value}
    if "device" in values:  # whose bits are its own: unlike the processor's, they are in the key
        values["gpu"] = _gpu_models()
    return _unsigned({**values, "epochs": epochs})


def _augmentation(
    training: Training, encoder: str, extractor: str, extracted: BaseModel
) -> dict[str, dict[str, Any]]:
    """The augmentations that features of this extractor for this encoder have."""
    found = {}
    for name, numbers in training.augmentation.items():
        module = load_augmentation(name)
        if load_encoder(encoder).axes not in module.AXES:
            continue
        if of_extractor := getattr(module, "EXTRACTOR", None):
            if of_extractor != extractor:
                continue
            own = extracted.model_dump(mode="json", include=set(module.EXTRACTED))
            numbers = {**numbers, **own}
        found[name] = numbers
    return found


def _unsigned(value: Any) -> Any:
    """The same numbers, -0.0 as 0.0: the key of a run is made of how they are written. (0 is 0.0
    already: every number of params.yaml is checked by its type.)"""
    if isinstance(value, dict):
        return {name: _unsigned(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_unsigned(one) for one in value]
    return value + 0.0 if isinstance(value, float) else value


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


def code_of(method: str, encoders: Sequence[str], augmentations: Iterable[str] = ()) -> str:
    """Fingerprint of the code that a run of a method depends on, with its augmentations and the
    encoder of its target, or those of all its modalities for a method of `PAIR_METHODS`."""
    modules = sorted({ENCODERS[encoder].split(":")[0] for encoder in encoders})
    modules += (AUGMENTATIONS[name] for name in augmentations)
    if method in PAIR_METHODS:
        return code_fingerprint(PAIR_TRAINER, PAIR_METHODS[method], *modules)
    return code_fingerprint("amid.training.train", METHODS[method], *modules)


def code_of_run(spec: RunSpec) -> str:
    """`code_of` of a run: its encoders and augmentations are in its specification."""
    network = spec.network
    encoders = network["encoders"].values() if "encoders" in network else [network["encoder"]]
    return code_of(spec.method, list(encoders), spec.training.get("augmentation", ()))

"""params.yaml -> the training runs a stage needs, as specifications."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from amid.config import DataSet, Params, Selection, Training, check
from amid.errors import ConfigError
from amid.methods import METHODS
from amid.networks import ENCODERS
from amid.reproducible import code_fingerprint
from amid.types import RunSpec

# (target, auxiliary modalities) -> fingerprint of the arrays a run reads
Fingerprint = Callable[[str, tuple[str, ...]], str]
SHARED = "r2plus1d"  # the encoder that is dear enough for a GPU, or for several processes


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


def fold_runs(params: Params, dataset: str, fingerprint: Fingerprint) -> list[PlannedRun]:
    """Table 3: the baseline, and each setup of the data set x configurations, x folds x seeds.

    Nothing when the data set has no setups. Unbroken runs: no other shares their warm-ups.
    """
    table, setups = params.table3, params.dataset(dataset).setups
    places = [("V", table.baseline, None)] if setups else []
    places += [(s, c, tuple(m)) for s, m in setups.items() for c in table.configurations]
    return [
        configured_run(
            params,
            dataset,
            configuration,
            seed,
            fingerprint,
            folder=f"{setup}/{configuration}/fold{fold}/seed{seed}",
            fold=fold,
            auxiliary=auxiliary,
            training=table.training,
            unbroken=True,
        )
        for setup, configuration, auxiliary in places
        for fold in table.folds
        for seed in table.seeds
    ]


def selection_name(rule: str, ratio: float, mismatched: float) -> str:
    """Folder of the runs of one rule of sample selection, with both shares in per cent."""
    return f"{rule}_r{100 * ratio:g}_m{100 * mismatched:g}"


def selection_grid(params: Params) -> list[tuple[str, float, float]]:
    """(rule, ratio, share of mismatched pairs) of every row of the table; rule "all" at 1.0."""
    table = params.table_selection
    return [
        (rule, ratio, mismatched)
        for mismatched in table.mismatched
        for ratio in table.ratios
        for rule in (["all"] if ratio == 1 else table.rules)
    ]


def selection_runs(params: Params, dataset: str, fingerprint: Fingerprint) -> list[PlannedRun]:
    """The table of sample selection: one configuration under every rule, ratio and share."""
    table = params.table_selection
    runs = []
    for rule, ratio, mismatched in selection_grid(params):
        chosen = {"name": "all"} if rule == "all" else {**table.rules[rule], "ratio": ratio}
        name = selection_name(rule, ratio, mismatched)
        runs += [
            configured_run(
                params,
                dataset,
                table.configuration,
                seed,
                fingerprint,
                folder=f"{name}/seed{seed}",
                overrides={"selection": chosen, "mismatched": mismatched},
                unbroken=True,
            )
            for seed in params.seeds
        ]
    return runs


def sensitivity_name(weight: str, value: float) -> str:
    """Folder of the runs with one weight at one value."""
    return f"{weight}_{value:g}"


def sensitivity_grid(params: Params) -> list[tuple[str, float]]:
    """(weight, value) of every row of Table 6, the wide values among them, ascending."""
    table = params.table6
    return [
        (weight, value)
        for weight in ("alpha", "beta", "gamma")
        for value in sorted({float(v) for v in (*getattr(table, weight), *table.wide)})
    ]


def sensitivity_runs(params: Params, dataset: str, fingerprint: Fingerprint) -> list[PlannedRun]:
    """Table 6: one configuration with one weight changed. It goes on from the warm-up that the
    sections have, where it is theirs (gamma has no part in one), else it is an unbroken run."""
    shared = {run.spec.key for run in warmup_runs(params, dataset, fingerprint)}
    runs = [
        configured_run(
            params,
            dataset,
            params.table6.configuration,
            seed,
            fingerprint,
            folder=f"{sensitivity_name(weight, value)}/seed{seed}",
            overrides={weight: value},
        )
        for weight, value in sensitivity_grid(params)
        for seed in params.seeds
    ]
    return [
        run if run.parent and run.parent.key in shared else replace(run, parent=None)
        for run in runs
    ]


def adversarial_grid(params: Params) -> dict[str, tuple[str, dict[str, Any]]]:
    """Name of a reading -> (configuration, what it changes); the one without the term first."""
    study = params.table_adversarial
    readings = {name: (study.configuration, changes) for name, changes in study.readings.items()}
    return {"without": (study.without, {}), **readings}


def adversarial_runs(params: Params, dataset: str, fingerprint: Fingerprint) -> list[PlannedRun]:
    """The study of the adversarial term: every reading with the study's own seeds."""
    return [
        configured_run(
            params,
            dataset,
            configuration,
            seed,
            fingerprint,
            folder=f"{name}/seed{seed}",
            overrides=changes,
        )
        for name, (configuration, changes) in adversarial_grid(params).items()
        for seed in params.table_adversarial.seeds
    ]


def tune_runs(params: Params, dataset: str, fingerprint: Fingerprint) -> list[PlannedRun]:
    """The search of each method's numbers, with seeds apart from the reported ones."""
    return [
        configured_run(
            params,
            dataset,
            configuration,
            seed,
            fingerprint,
            folder=f"{configuration}/trial{number}/seed{seed}",
            overrides=trial,
            unbroken=True,
        )
        for configuration, trials in params.tune.trials.items()
        for number, trial in enumerate(trials)
        for seed in params.tune.seeds
    ]


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
    method, options, override, selection, mismatched = params.resolved(configuration, overrides)
    protocol = {**params.training_of(dataset).model_dump(), **(training or {})}
    where = f"configurations.{configuration}.training"
    numbers = check(Training, {**protocol, **override}, where)
    if numbers.devices > 1 and block.encoders[block.target] != SHARED:
        raise ConfigError(
            f"params.yaml: 'training.devices' is {numbers.devices}, but the target of "
            f"'{dataset}' has the encoder '{block.encoders[block.target]}', and only a '{SHARED}' "
            "can be shared by several processes: set it to 1."
        )
    mismatched = block.mismatched if mismatched is None else mismatched
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
            mismatched=mismatched if seen else 0.0,
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
        values["devices"] = 1
    usual = {"device": "cpu", "precision": "float32", "parts": 1, "devices": 1}
    values = {name: value for name, value in values.items() if usual.get(name) != value}
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


def code_of(method: str, encoder: str) -> str:
    """Fingerprint of the code that a run of a method with an encoder depends on."""
    return code_fingerprint("amid.engine", METHODS[method], ENCODERS[encoder][0])

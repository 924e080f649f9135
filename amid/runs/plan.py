"""params.yaml -> the training runs a stage needs, as specifications."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from amid.config import DataSet, Params, Training, check
from amid.errors import ConfigError
from amid.methods import METHODS
from amid.reproducible import code_fingerprint
from amid.types import RunSpec

# (target, auxiliary modalities) -> fingerprint of the arrays a run reads
Fingerprint = Callable[[str, tuple[str, ...]], str]


@dataclass(frozen=True)
class PlannedRun:
    """A run with the place a table finds it at.

    parent: the warm-up it goes on from; its last checkpoint is where an unbroken run would be.
    """

    configuration: str
    spec: RunSpec
    parent: RunSpec | None = None

    @property
    def folder(self) -> str:
        """Below the section's outs: configuration/seed<n>."""
        return f"{self.configuration}/seed{self.spec.seed}"


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
                found.setdefault(run.parent.key, PlannedRun(configuration, run.parent))
    return list(found.values())


def auxiliary_runs(
    params: Params, dataset: str, corpus: str, fingerprint: Fingerprint
) -> list[PlannedRun]:
    """The frozen extractors' pre-training: a classifier of each modality but the target, trained
    on the split `corpus`: "auxiliary", or "train" where a data set has no separate corpus."""
    block = params.dataset(dataset)
    training = params.training_of(dataset, auxiliary=True)
    return [
        PlannedRun(
            modality,
            RunSpec(
                dataset=dataset,
                method="baseline",
                options={},
                target=modality,
                auxiliary=(),
                network=_network(params, block, modality, fusion=False),
                training=_training(training, training.epochs),
                seed=training.auxiliary_seed,
                fold=None,
                corpus=corpus,
                features=fingerprint(modality, ()),
                code=_code("baseline"),
            ),
        )
        for modality in block.extract
        if modality != block.target
    ]


def configured_run(
    params: Params,
    dataset: str,
    configuration: str,
    seed: int,
    fingerprint: Fingerprint,
    fold: int | None = None,
) -> PlannedRun:
    """One configuration on one data set with one seed, and its warm-up if it has one."""
    block = params.dataset(dataset)
    method, options, override = params.method_options(configuration)
    numbers = {**params.training_of(dataset).model_dump(), **override}
    training = check(Training, numbers, f"configurations.{configuration}.training")
    # The student alone neither sees the auxiliary modalities nor depends on them.
    auxiliary = () if method == "baseline" else tuple(block.auxiliary)

    def spec(of: object, epochs: int) -> RunSpec:
        return RunSpec(
            dataset=dataset,
            method=method,
            options=of.canonical(training.warmup_epochs),
            target=block.target,
            auxiliary=auxiliary,
            network=_network(params, block, block.target, fusion=bool(auxiliary)),
            training=_training(training, epochs),
            seed=seed,
            fold=fold,
            corpus="train",
            features=fingerprint(block.target, auxiliary),
            code=_code(method),
        )

    before = options.warmup()
    parent = spec(before, training.warmup_epochs) if before and training.warmup_epochs else None
    return PlannedRun(configuration, spec(options, training.epochs), parent)


def _network(params: Params, block: DataSet, target: str, *, fusion: bool) -> dict:
    """The numbers of the networks that the run builds, and no others."""
    values = params.network.model_dump()
    encoder = block.encoders[target]
    chosen = {"dim": values["dim"], "slope": values["slope"], "encoder": encoder}
    chosen[encoder] = values[encoder]
    return {**chosen, "fusion": values["fusion"]} if fusion else chosen


def _training(training: Training, epochs: int) -> dict:
    """The numbers that change the result of the first `epochs` epochs."""
    values = training.model_dump(
        exclude={"warmup_epochs", "checkpoint_every", "auxiliary_seed", "epochs", "milestones"}
    )
    if values["optimiser"] == "adam":
        del values["momentum"]
    milestones = [m for m in training.milestones if m < epochs]
    if not milestones:
        del values["decay"]
    return {**values, "epochs": epochs, "milestones": milestones}


def _code(method: str) -> str:
    return code_fingerprint("amid.engine", METHODS[method])

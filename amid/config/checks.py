"""Whether the parts of params.yaml fit together: what a record cannot tell by itself."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from amid.config.messages import check, unknown
from amid.config.records import DataSet, Params, Training, check_frame
from amid.datasets import DATASETS
from amid.errors import ConfigError
from amid.extractors import EXTRACTORS
from amid.methods import METHODS
from amid.networks import load_encoder

# The encoder of a modality whose block names none, by the axes of its features.
USUAL_ENCODERS = {
    "target": {1: "mlp", 2: "gru", 4: "r2plus1d"},
    "auxiliary": {1: "mlp", 2: "cnn", 4: "r2plus1d"},
}
_AXES = {1: "one vector", 2: "a sequence of vectors", 4: "frames"}


def check_extractors(params: Params) -> None:
    """The numbers of `extractors`, each by itself: they hold for every block."""
    for kind, numbers in params.extractors.items():
        if kind not in EXTRACTORS:
            raise ConfigError(unknown(f"extractor '{kind}'", kind, EXTRACTORS, "extractors"))
        check(import_module(EXTRACTORS[kind]).Options, numbers, f"extractors.{kind}")


def checked_block(params: Params, name: str, block: DataSet) -> DataSet:
    where = f"data.{name}"
    options = check(
        import_module(DATASETS[block.source]).Options, block.options, f"{where}.options"
    )
    extract = {}
    for modality, values in block.extract.items():
        place = f"{where}.extract.{modality}"
        if not isinstance(values, dict) or "extractor" not in values:
            raise ConfigError(f"params.yaml: '{place}' must name its `extractor`.")
        numbers = dict(values)
        kind = numbers.pop("extractor")
        if kind not in EXTRACTORS:
            raise ConfigError(unknown(f"extractor '{kind}'", str(kind), EXTRACTORS, place))
        numbers = {**params.extractors.get(kind, {}), **numbers}
        extract[modality] = (kind, check(import_module(EXTRACTORS[kind]).Options, numbers, place))
    in_setups = [modality for chosen in block.setups.values() for modality in chosen]
    for modality in (block.target, *block.auxiliary, *in_setups, *block.encoders):
        if modality not in extract:
            raise ConfigError(f"params.yaml: '{where}.extract' lacks the modality '{modality}'.")
    encoders = {}
    for modality, (kind, numbers) in extract.items():
        shape = import_module(EXTRACTORS[kind]).shape(numbers)
        usual = USUAL_ENCODERS["target" if modality == block.target else "auxiliary"]
        encoder = encoders[modality] = block.encoders.get(modality, usual[len(shape)])
        axes = 1 if encoder == "none" else load_encoder(encoder).axes
        if len(shape) != axes:
            raise ConfigError(
                f"params.yaml: '{where}.encoders.{modality}' is '{encoder}', which takes "
                f"{_AXES[axes]} a clip, but '{kind}' gives {_AXES[len(shape)]}."
            )
    if encoders[block.target] == "none":
        raise ConfigError(
            f"params.yaml: '{where}.encoders.{block.target}' is 'none', but '{block.target}' is "
            "the target: the student needs an encoder to train."
        )
    source = import_module(DATASETS[block.source])
    if hasattr(source, "informed"):  # a data set that has to know what its block says beside
        options = source.informed(options, block.folder, extract, block.target, where)
    named = {f"setups.{setup}": chosen for setup, chosen in block.setups.items()}
    for key, chosen in {"auxiliary": block.auxiliary, **named}.items():
        if block.target in chosen:
            raise ConfigError(
                f"params.yaml: '{where}.{key}' names the target modality '{block.target}'."
            )
    return block.model_copy(update={"options": options, "extract": extract, "encoders": encoders})


def check_names(params: Params) -> None:
    """Names and seeds stand once, and what lists of names refer to is there."""
    for key, values in {
        "datasets": params.datasets,
        "seeds": params.seeds,
        "student.configurations": params.student.configurations,
    }.items():
        if len(set(values)) < len(values):
            raise ConfigError(f"params.yaml: '{key}' names a value twice: {values}.")
    for name in params.datasets:
        if not getattr(params.dataset(name).options, "labels", True):
            raise ConfigError(
                f"params.yaml: 'datasets' names '{name}', which has no labels "
                f"('data.{name}.options.labels'): only contrastive pre-training can use it "
                "(docs/contrastive.md)."
            )
    for method in params.methods:
        if method not in METHODS:
            raise ConfigError(unknown(f"method '{method}'", method, METHODS, "methods"))
    for configuration, values in params.configurations.items():
        check_frame(values, f"configurations.{configuration}")
    lists = {f"sections.{name}": rows for name, rows in params.sections.items()}
    lists |= {"student.configurations": params.student.configurations}
    for key, rows in lists.items():
        for row in rows:
            if row not in params.configurations:
                what = f"configuration '{row}'"
                raise ConfigError(unknown(what, row, params.configurations, key))


def check_training_numbers(params: Params) -> None:
    """The numbers that data sets and configurations train with fit together."""
    for name in params.data:
        _check_warmup(params.training_of(name), "training", name)
        params.training_of(name, auxiliary=True)
        _check_warmup(params.training_of(name, study={"protocol": "strong"}), "training", name)
    for configuration in params.configurations:
        override = params.resolved(configuration).training
        where = f"configurations.{configuration}.training"
        for name in params.data:
            check_training(params, name, override, where)
    for section in ("baselines", "compared"):
        for row in params.sections.get(section, []):
            if params.resolved(row).options.warmup() is not None:
                raise ConfigError(
                    f"params.yaml: 'sections.{section}' names '{row}', whose method has a warm-up; "
                    "that stage reads neither warm-ups nor alpha, beta, gamma: use another section."
                )


def check_training(params: Params, dataset: str, override: dict[str, Any], where: str) -> None:
    """Raises ConfigError unless the numbers at `where` fit the data set's training."""
    if "protocol" in override or "strong" in override:
        raise ConfigError(
            f"params.yaml: '{where}' may not set the protocol, which all rows of a table share: "
            "set 'training.protocol', or 'training.protocol' of a data set's block."
        )
    values = {**params.training_of(dataset).model_dump(), **override}
    _check_warmup(check(Training, values, where), where, dataset)


def check_protocol(params: Params, protocol: dict[str, Any], where: str) -> None:
    """Raises ConfigError unless a study's numbers at `where` fit the training of every data set."""
    check(Training, {**params.training.model_dump(), **protocol}, where)
    for dataset in params.data:
        _check_warmup(params.training_of(dataset, study=protocol), where, dataset)


def _check_warmup(training: Training, where: str, dataset: str) -> None:
    if training.warmup >= training.epochs:
        raise ConfigError(
            f"params.yaml: '{where}' has {training.warmup} warm-up epochs "
            f"(warmup_epochs) of {training.epochs} epochs in all on the data set '{dataset}'; "
            "the warm-up must be shorter."
        )

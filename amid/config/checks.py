"""Whether the parts of params.yaml fit together: what a record cannot tell by itself."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from typing import Any

from amid.config.messages import block_file, check, sentence, unknown
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
    """The block with its options and extractors as records, and the encoder of each modality.
    Raises ConfigError where its parts do not fit each other."""
    file = block_file(name)
    source = import_module(DATASETS[block.source])
    options = check(source.Options, block.options, f"{file}:options")
    extract = {}
    for modality, values in block.extract.items():
        place = f"{file}:extract.{modality}"
        if not isinstance(values, dict) or "extractor" not in values:
            raise ConfigError(sentence(place, "must name its `extractor`."))
        numbers = dict(values)
        kind = numbers.pop("extractor")
        if kind not in EXTRACTORS:
            raise ConfigError(unknown(f"extractor '{kind}'", str(kind), EXTRACTORS, place))
        numbers = {**params.extractors.get(kind, {}), **numbers}
        extract[modality] = (kind, check(import_module(EXTRACTORS[kind]).Options, numbers, place))
    in_setups = [modality for chosen in block.setups.values() for modality in chosen]
    for modality in (block.target, *block.auxiliary, *in_setups, *block.encoders):
        if modality not in extract:
            raise ConfigError(f"{file}: 'extract' lacks the modality '{modality}'.")
    encoders = {}
    for modality, (kind, numbers) in extract.items():
        shape = import_module(EXTRACTORS[kind]).shape(numbers)
        usual = USUAL_ENCODERS["target" if modality == block.target else "auxiliary"]
        encoder = encoders[modality] = block.encoders.get(modality, usual[len(shape)])
        axes = 1 if encoder == "none" else load_encoder(encoder).axes
        if len(shape) != axes:
            raise ConfigError(
                f"{file}: 'encoders.{modality}' is '{encoder}', which takes "
                f"{_AXES[axes]} a clip, but '{kind}' gives {_AXES[len(shape)]}."
            )
    if encoders[block.target] == "none":
        raise ConfigError(
            f"{file}: 'encoders.{block.target}' is 'none', but '{block.target}' is the target: the "
            "student needs an encoder to train."
        )
    if hasattr(source, "informed"):  # a data set that has to know what its block says beside
        options = source.informed(options, block.folder, extract, block.target, file)
    named = {f"setups.{setup}": chosen for setup, chosen in block.setups.items()}
    for key, chosen in {"auxiliary": block.auxiliary, **named}.items():
        if block.target in chosen:
            raise ConfigError(f"{file}: '{key}' names the target modality '{block.target}'.")
    return block.model_copy(update={"options": options, "extract": extract, "encoders": encoders})


def check_names(params: Params, used: Collection[str]) -> None:
    """Names and seeds stand once, and what lists of names refer to is there, as are the data sets
    that are used."""
    for key, values in {
        "datasets": params.datasets,
        "seeds": params.seeds,
        "student.configurations": params.student.configurations,
    }.items():
        if len(set(values)) < len(values):
            raise ConfigError(f"params.yaml: '{key}' names a value twice: {values}.")
    for name in used:
        if not getattr(params.dataset(name).options, "labels", True):
            raise ConfigError(
                f"params.yaml: 'datasets' names '{name}', which has no labels ('options.labels' in "
                f"{block_file(name)}): only contrastive pre-training can use it "
                "(docs/contrastive.md)."
            )
    for method in params.methods:
        if method not in METHODS:
            place = params.place(f"methods.{method}")
            raise ConfigError(unknown(f"method '{method}'", method, METHODS, place))
    for configuration, values in params.configurations.items():
        check_frame(values, params.place(f"configurations.{configuration}"))
    lists = {f"sections.{name}": rows for name, rows in params.sections.items()}
    lists |= {"student.configurations": params.student.configurations}
    for key, rows in lists.items():
        for row in rows:
            if row not in params.configurations:
                what = f"configuration '{row}'"
                raise ConfigError(unknown(what, row, params.configurations, key))


def trained(params: Params) -> dict[str, dict[str, Any]]:
    """Configuration -> what it overrides of the training, of those that do. Raises ConfigError
    where one is wrong."""
    found = {name: params.resolved(name).training for name in params.configurations}
    return {name: override for name, override in found.items() if override}


def check_data_set(params: Params, name: str, overrides: dict[str, dict[str, Any]]) -> None:
    """The numbers that a data set and the configurations train with fit together.

    overrides: `trained`.
    """
    own = params.dataset(name).training
    for study in (None, {"protocol": "strong"}):
        strong = own.get("strong") if study else None
        inside = {*own, *(strong if isinstance(strong, dict) else ())}
        at_home = {"epochs", "warmup_epochs"} & inside
        where = f"{block_file(name)}:training" if at_home else "training"
        _check_warmup(params.training_of(name, study=study), where, name)
    params.training_of(name, auxiliary=True)
    for configuration, override in overrides.items():
        where = params.place(f"configurations.{configuration}")
        check_training(params, name, override, f"{where}.training")


def check_sections(params: Params) -> None:
    """Sections whose stage reads no warm-ups train nothing that has one."""
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
            sentence(
                where,
                "may not set the protocol, which all rows of a table share: set "
                "'training.protocol', there or in a data set's file.",
            )
        )
    values = {**params.training_of(dataset).model_dump(), **override}
    _check_warmup(check(Training, values, where), where, dataset)


def check_protocol(params: Params, protocol: dict[str, Any], where: str) -> None:
    """Raises ConfigError unless a study's numbers at `where` fit the training of the data sets that
    `datasets` names."""
    check(Training, {**params.training.model_dump(), **protocol}, where)
    for dataset in params.datasets:
        _check_warmup(params.training_of(dataset, study=protocol), where, dataset)


def _check_warmup(training: Training, where: str, dataset: str) -> None:
    if training.warmup >= training.epochs:
        raise ConfigError(
            sentence(
                where,
                f"has {training.warmup} warm-up epochs (warmup_epochs) of {training.epochs} epochs "
                f"in all on the data set '{dataset}'; the warm-up must be shorter.",
            )
        )

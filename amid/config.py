"""params.yaml as checked records: a wrong key or value is one sentence that names it."""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from amid.datasets import DATASETS
from amid.errors import ConfigError
from amid.extractors import EXTRACTORS
from amid.methods import METHODS

Positive = Annotated[int, Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Encoder = Literal["gru", "cnn", "mlp"]
ENCODER_AXES = {"gru": 2, "cnn": 2, "mlp": 1}  # axes of one clip's features
_AXES = {1: "one vector", 2: "a sequence of vectors"}


class Model(BaseModel):
    """Strict: no unknown key, no number given as text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Gru(Model):
    hidden: Annotated[list[Positive], Field(min_length=1)]
    state: Positive


class Cnn(Model):
    channels: Annotated[list[Positive], Field(min_length=1)]
    kernel: Positive
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Mlp(Model):
    hidden: Positive
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Fusion(Model):
    hidden: Positive


class Network(Model):
    dim: Positive
    slope: Share
    gru: Gru
    cnn: Cnn
    mlp: Mlp
    fusion: Fusion


class Training(Model):
    epochs: Positive
    warmup_epochs: Annotated[int, Field(ge=0)]
    batch_size: Positive
    optimiser: Literal["adam", "sgd"]
    learning_rate: PositiveFloat
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: NonNegative
    milestones: list[Positive]
    decay: PositiveFloat
    auxiliary_seed: Annotated[int, Field(ge=0)]
    checkpoint_every: Positive


class DataSet(Model):
    """One data set; `options` and the numbers in `extract` belong to its files in amid/."""

    source: Literal[tuple(DATASETS)]
    options: Any
    target: Name
    auxiliary: Annotated[list[Name], Field(min_length=1)]
    quarantine_limit: Share
    extract: dict[Name, Any]
    encoders: dict[Name, Encoder]
    training: dict[str, Any]
    auxiliary_training: dict[str, Any]


class Params(Model):
    alpha: NonNegative
    beta: NonNegative
    gamma: NonNegative
    datasets: Annotated[list[Name], Field(min_length=1)]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    mirror: str | None
    workers: Annotated[int, Field(ge=0)]
    data: dict[Name, DataSet]
    network: Network
    training: Training
    methods: dict[Name, dict[str, Any]]
    configurations: dict[Name, dict[str, Any]]
    sections: dict[Name, list[Name]]
    table4: Annotated[list[Name], Field(min_length=1)]
    figure4: Annotated[list[Name], Field(min_length=1, max_length=4)]

    def dataset(self, name: str) -> DataSet:
        """The block of one data set; ConfigError names the choices when there is none."""
        if name not in self.data:
            raise ConfigError(_unknown(f"data set '{name}'", name, self.data, "data"))
        return self.data[name]

    def training_of(self, dataset: str, *, auxiliary: bool = False) -> Training:
        """The training numbers of a data set, its own overrides applied."""
        block = self.dataset(dataset)
        values = {**self.training.model_dump(), **block.training}
        where = f"data.{dataset}.training"
        if auxiliary:
            values |= block.auxiliary_training
            where = f"data.{dataset}.auxiliary_training"
        return check(Training, values, where)

    def method_options(self, configuration: str) -> tuple[str, Any, dict[str, Any]]:
        """(method, its options, overrides of `training`) of a configuration."""
        values = dict(self.configurations[configuration])
        where = f"configurations.{configuration}"
        if "method" not in values:
            raise ConfigError(f"params.yaml: '{where}' must name its `method`.")
        method = values.pop("method")
        if method not in METHODS:
            raise ConfigError(_unknown(f"method '{method}'", str(method), METHODS, where))
        training = values.pop("training", {})
        options_model = import_module(METHODS[method]).Options
        weights = {
            name: getattr(self, name)
            for name in ("alpha", "beta", "gamma")
            if name in options_model.model_fields
        }
        given = {**weights, **self.methods.get(method, {})}
        check(options_model, given, f"methods.{method}")
        return method, check(options_model, {**given, **values}, where), training


def load(path: Path) -> Params:
    """Reads and checks params.yaml; ConfigError says in one sentence which key is wrong and why."""
    from ruamel.yaml import YAML, YAMLError  # YAML 1.2, as DVC reads it: 1e-3 is a number

    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing: run from the root of the project.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        line = " ".join(str(error).split())
        raise ConfigError(f"{path.name} is not valid YAML: {line}.") from None
    params = check(Params, values, "")
    data = {name: _checked_block(name, block) for name, block in params.data.items()}
    params = params.model_copy(update={"data": data})
    _check_references(params)
    return params


def check(model: type[BaseModel], values: Any, where: str) -> Any:
    """`values` as a `model`; its first problem as a ConfigError naming the key below `where`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = error.errors()  # a misspelt key shows as a missing one as well: name the first
        problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
        place = [str(part) for part in problem["loc"]]
        key = ".".join(filter(None, [where, *place]))
        if problem["type"] == "extra_forbidden":
            known = _fields_at(model, place[:-1])
            raise ConfigError(_unknown(f"key '{key}'", place[-1], known, where)) from None
        if problem["type"] == "missing":
            raise ConfigError(f"params.yaml: '{key}' is missing.") from None
        reason = problem["msg"].removeprefix("Value error, ")
        reason = reason[0].lower() + reason[1:]
        got = problem["input"]
        raise ConfigError(f"params.yaml: '{key}' is {got!r}, but {reason}.") from None


def _checked_block(name: str, block: DataSet) -> DataSet:
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
            raise ConfigError(_unknown(f"extractor '{kind}'", str(kind), EXTRACTORS, place))
        extract[modality] = (kind, check(import_module(EXTRACTORS[kind]).Options, numbers, place))
    for modality in (block.target, *block.auxiliary, *extract):
        for known, key in ((extract, "extract"), (block.encoders, "encoders")):
            if modality not in known:
                raise ConfigError(f"params.yaml: '{where}.{key}' lacks the modality '{modality}'.")
    for modality, (kind, numbers) in extract.items():
        shape = import_module(EXTRACTORS[kind]).shape(numbers)
        encoder = block.encoders[modality]
        if len(shape) != ENCODER_AXES[encoder]:
            raise ConfigError(
                f"params.yaml: '{where}.encoders.{modality}' is '{encoder}', which takes "
                f"{_AXES[ENCODER_AXES[encoder]]} a clip, but '{kind}' gives {_AXES[len(shape)]}."
            )
    if block.target in block.auxiliary:
        raise ConfigError(
            f"params.yaml: '{where}.auxiliary' names the target modality '{block.target}'."
        )
    return block.model_copy(update={"options": options, "extract": extract})


def _check_references(params: Params) -> None:
    for key in ("datasets", "seeds"):
        values = getattr(params, key)
        if len(set(values)) < len(values):
            raise ConfigError(f"params.yaml: '{key}' names a value twice: {values}.")
    for name in params.datasets:
        params.dataset(name)
    for name in params.data:
        _check_warmup(params.training_of(name), "training", name)
        params.training_of(name, auxiliary=True)
    for method in params.methods:
        if method not in METHODS:
            raise ConfigError(_unknown(f"method '{method}'", method, METHODS, "methods"))
    for configuration in params.configurations:
        _, _, override = params.method_options(configuration)
        where = f"configurations.{configuration}.training"
        for name in params.data:
            values = {**params.training_of(name).model_dump(), **override}
            _check_warmup(check(Training, values, where), where, name)
    lists = {f"sections.{name}": rows for name, rows in params.sections.items()}
    for key, rows in {**lists, "table4": params.table4, "figure4": params.figure4}.items():
        for row in rows:
            if row not in params.configurations:
                what = f"configuration '{row}'"
                raise ConfigError(_unknown(what, row, params.configurations, key))
    for row in params.sections.get("baselines", []):
        if params.method_options(row)[1].warmup() is not None:
            raise ConfigError(
                f"params.yaml: 'sections.baselines' names '{row}', whose method has a warm-up; "
                "that stage reads neither warm-ups nor alpha, beta, gamma: use another section."
            )


def _check_warmup(training: Training, where: str, dataset: str) -> None:
    if training.warmup_epochs >= training.epochs:
        raise ConfigError(
            f"params.yaml: '{where}' has {training.warmup_epochs} warm-up epochs "
            f"(warmup_epochs) of {training.epochs} epochs in all on the data set '{dataset}'; "
            "the warm-up must be shorter."
        )


def _fields_at(model: type[BaseModel], place: list[str]) -> list[str]:
    """Names of the fields of the model nested at `place` inside `model`."""
    current: Any = model
    for part in place:
        fields = getattr(current, "model_fields", {})
        if part in fields:
            current = fields[part].annotation
        else:  # the key of a dict of models
            current = getattr(current, "__args__", (None, None))[-1]
    return list(getattr(current, "model_fields", {}))


def _unknown(what: str, given: str, known: Any, where: str) -> str:
    close = difflib.get_close_matches(given, list(known), n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(sorted(known))}."
    at = f" (in '{where}')" if where and where not in what else ""
    return f"params.yaml: unknown {what}{at}; {hint}"

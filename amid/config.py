"""params.yaml as checked records: a wrong key or value is one sentence that names it."""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from amid.datasets import DATASETS
from amid.errors import ConfigError
from amid.extractors import EXTRACTORS
from amid.methods import METHODS
from amid.shown import printable

if TYPE_CHECKING:
    from amid.methods.base import MethodOptions

Positive = Annotated[int, Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
SetupName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
ReadingName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Encoder = Literal["gru", "cnn", "mlp", "r2plus1d", "none"]
# Axes of one clip's features.
ENCODER_AXES = {"gru": 2, "cnn": 2, "mlp": 1, "r2plus1d": 4, "none": 1}
_AXES = {1: "one vector", 2: "a sequence of vectors", 4: "frames"}


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


class R2Plus1d(Model):
    """Of the video student that is trained end to end: amid.networks.r2plus1d has the meanings."""

    blocks: Positive
    width: Positive
    window: Annotated[int, Field(ge=2)]
    size: Annotated[int, Field(ge=16)]
    weights: Annotated[str, Field(min_length=1)] | None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None

    @model_validator(mode="after")
    def _named_weights_have_a_sum(self) -> R2Plus1d:
        if self.weights not in (None, "kinetics400") and self.sha256 is None:
            raise ValueError(
                f"the weights {self.weights} need their sha256 beside them, as results depend on "
                "it: `sha256sum` prints it"
            )
        return self


class Fusion(Model):
    hidden: Positive


class Network(Model):
    dim: Positive
    slope: Share
    gru: Gru
    cnn: Cnn
    mlp: Mlp
    r2plus1d: R2Plus1d
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
    checkpoint_minutes: PositiveFloat
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["float32", "bfloat16"]
    parts: Positive
    devices: Positive

    @model_validator(mode="after")
    def _every_device_has_a_sample(self) -> Training:
        if self.devices > self.batch_size:
            raise ValueError(
                f"{self.devices} 'devices' share each batch, so 'batch_size' {self.batch_size} "
                "leaves some without a sample: raise it, or lower 'devices'"
            )
        return self


class Selection(Model):
    """Which samples of a batch are trained on; `amid.selection` has the rules."""

    name: Literal["all", "dissect", "random", "small_loss"]
    ratio: Annotated[float, Field(gt=0, le=1)]
    version: Literal["warmup", "momentum"]
    warmup_epochs: Annotated[int, Field(ge=1)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    between: Literal["teacher", "auxiliary"]


class DataSet(Model):
    """One data set; `options` and the numbers in `extract` belong to its files in amid/.

    watch: file or folder whose change makes DVC run the data set's `download` again.
    """

    source: Literal[tuple(DATASETS)]
    watch: Annotated[str, Field(min_length=1)]
    options: Any
    target: Name
    auxiliary: Annotated[list[Name], Field(min_length=1)]
    mismatched: Annotated[float, Field(ge=0, lt=1)]
    setups: dict[SetupName, Annotated[list[Name], Field(min_length=1)]]
    quarantine_limit: Share
    extract: dict[Name, Any]
    encoders: dict[Name, Encoder]
    training: dict[str, Any]
    auxiliary_training: dict[str, Any]


class Table3(Model):
    """Cross-validation: every setup of a data set x configurations x folds x seeds."""

    baseline: Name
    configurations: Annotated[list[Name], Field(min_length=1)]
    folds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    training: dict[str, Any]


Values = list[NonNegative]


class Table6(Model):
    """Sensitivity: the values that each weight takes while the other two keep theirs."""

    configuration: Name
    alpha: Values
    beta: Values
    gamma: Values
    wide: Values


class TableSeeds(Model):
    """Power analysis: how many seeds a difference between two configurations needs."""

    configurations: Annotated[list[Name], Field(min_length=2)]
    differences: Annotated[list[PositiveFloat], Field(min_length=1)]
    power: Annotated[float, Field(gt=0, lt=1)]
    level: Annotated[float, Field(gt=0, lt=1)]


class TableAdversarial(Model):
    """Readings of the adversarial term: changes of one configuration, against one without it."""

    configuration: Name
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    without: Name
    readings: Annotated[dict[ReadingName, dict[str, Any]], Field(min_length=1)]


class TableSelection(Model):
    """Sample selection: rules x ratios x shares of mismatched pairs, on one configuration."""

    configuration: Name
    rules: dict[Name, dict[str, Any]]
    ratios: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)]
    mismatched: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=1)]


class StudentChoice(Model):
    """The configurations among whose runs a student to be used is chosen."""

    configurations: Annotated[list[Name], Field(min_length=1)]


class Report(Model):
    """What of the test clips reports/index.html shows, drawn by a seed of its own.

    points: clips whose T and F t-SNE lays out in the plane. samples: clips shown with a prediction.
    """

    seed: Annotated[int, Field(ge=0)]
    points: Annotated[int, Field(ge=8, le=1000)]
    perplexity: Annotated[float, Field(ge=2)]
    samples: Annotated[int, Field(ge=2, le=60)]


class Tune(Model):
    """The search of each method's numbers: the same count of trials for all, on validation."""

    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    trials: dict[Name, Annotated[list[dict[str, Any]], Field(min_length=1)]]


class Configured(NamedTuple):
    """A configuration of params.yaml: a method with its numbers, and what it overrides."""

    method: str
    options: MethodOptions
    training: dict[str, Any]
    selection: Selection
    mismatched: float | None


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
    selection: Selection
    methods: dict[Name, dict[str, Any]]
    configurations: dict[Name, dict[str, Any]]
    sections: dict[Name, list[Name]]
    table1: Annotated[list[Name], Field(min_length=1)]
    figure3: Annotated[list[Name], Field(min_length=2, max_length=2)]
    table3: Table3
    table4: Annotated[list[Name], Field(min_length=1)]
    figure4: Annotated[list[Name], Field(min_length=1, max_length=4)]
    table5: Annotated[list[Name], Field(min_length=1)]
    figure5: Annotated[list[Name], Field(min_length=1, max_length=4)]
    table6: Table6
    table_seeds: TableSeeds
    table_adversarial: TableAdversarial
    table_selection: TableSelection
    student: StudentChoice
    report: Report
    tune: Tune

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

    def options(self, method: str) -> MethodOptions:
        """A method's own numbers, alpha, beta and gamma among them where it has such."""
        model = import_module(METHODS[method]).Options
        weights = ("alpha", "beta", "gamma")
        given = {name: getattr(self, name) for name in weights if name in model.model_fields}
        return check(model, {**given, **self.methods.get(method, {})}, f"methods.{method}")

    def resolved(self, configuration: str, overrides: dict[str, Any] | None = None) -> Configured:
        """A configuration, `overrides` on top of its own numbers, as checked records."""
        values = {**self.configurations[configuration]}
        for name, value in (overrides or {}).items():
            both = isinstance(value, dict) and isinstance(values.get(name), dict)
            values[name] = {**values[name], **value} if both else value
        where = f"configurations.{configuration}"
        if "method" not in values:
            raise ConfigError(f"params.yaml: '{where}' must name its `method`.")
        method = values.pop("method")
        if method not in METHODS:
            raise ConfigError(_unknown(f"method '{method}'", str(method), METHODS, where))
        training = values.pop("training", {})
        mismatched = values.pop("mismatched", None)
        chosen = values.pop("selection", {})
        numbers = {**self.selection.model_dump(), **chosen}
        selection = check(Selection, numbers, f"{where}.selection")
        options_model = import_module(METHODS[method]).Options
        if chosen and not options_model.compares_pairs:
            raise ConfigError(
                f"params.yaml: '{where}' has a selection, but '{method}' compares no pairs: there "
                "is nothing to choose samples by."
            )
        given = self.options(method).model_dump()
        options = check(options_model, {**given, **values}, where)
        return Configured(method, options, training, selection, mismatched)


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
        key = printable(".".join(filter(None, [where, *place])))
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
    in_setups = [modality for chosen in block.setups.values() for modality in chosen]
    for modality in (block.target, *block.auxiliary, *in_setups, *extract):
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
    if block.encoders[block.target] == "none":
        raise ConfigError(
            f"params.yaml: '{where}.encoders.{block.target}' is 'none', but '{block.target}' is "
            "the target: the student needs an encoder to train."
        )
    source = import_module(DATASETS[block.source])
    if hasattr(source, "informed"):  # a data set that has to know what its block says beside
        options = source.informed(options, block.watch, extract, block.target, where)
    named = {f"setups.{setup}": chosen for setup, chosen in block.setups.items()}
    for key, chosen in {"auxiliary": block.auxiliary, **named}.items():
        if block.target in chosen:
            raise ConfigError(
                f"params.yaml: '{where}.{key}' names the target modality '{block.target}'."
            )
    return block.model_copy(update={"options": options, "extract": extract})


def _check_references(params: Params) -> None:
    for key, values in {
        "datasets": params.datasets,
        "seeds": params.seeds,
        "table3.folds": params.table3.folds,
        "table3.seeds": params.table3.seeds,
        "student.configurations": params.student.configurations,
        "tune.seeds": params.tune.seeds,
        "table_adversarial.seeds": params.table_adversarial.seeds,
        **{f"table6.{w}": getattr(params.table6, w) for w in ("alpha", "beta", "gamma", "wide")},
    }.items():
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
        override = params.resolved(configuration).training
        where = f"configurations.{configuration}.training"
        for name in params.data:
            _check_training(params, name, override, where)
    lists = {f"sections.{name}": rows for name, rows in params.sections.items()}
    lists |= {"table1": params.table1, "figure3": params.figure3}
    lists |= {"table4": params.table4, "figure4": params.figure4}
    lists |= {"table5": params.table5, "figure5": params.figure5}
    lists |= {"table6.configuration": [params.table6.configuration]}
    lists |= {"table_seeds.configurations": params.table_seeds.configurations}
    study = params.table_adversarial
    lists |= {"table_adversarial.configuration": [study.configuration]}
    lists |= {"table_adversarial.without": [study.without]}
    table3 = params.table3
    lists |= {"table3.baseline": [table3.baseline], "table3.configurations": table3.configurations}
    lists |= {"table_selection.configuration": [params.table_selection.configuration]}
    lists |= {"student.configurations": params.student.configurations}
    lists |= {"tune.trials": list(params.tune.trials)}
    for key, rows in lists.items():
        for row in rows:
            if row not in params.configurations:
                what = f"configuration '{row}'"
                raise ConfigError(_unknown(what, row, params.configurations, key))
    for section in ("baselines", "compared"):
        for row in params.sections.get(section, []):
            if params.resolved(row).options.warmup() is not None:
                raise ConfigError(
                    f"params.yaml: 'sections.{section}' names '{row}', whose method has a warm-up; "
                    "that stage reads neither warm-ups nor alpha, beta, gamma: use another section."
                )
    for name in params.data:
        _check_training(params, name, table3.training, "table3.training")
    if 1.0 not in params.table_selection.ratios:
        raise ConfigError(
            "params.yaml: 'table_selection.ratios' lacks 1.0, the run that the others are compared "
            "with: add it."
        )
    for rule in params.table_selection.rules.values():
        params.resolved(params.table_selection.configuration, {"selection": rule})
    for reading in study.readings.values():
        params.resolved(study.configuration, reading)
    for weight in ("alpha", "beta", "gamma"):
        params.resolved(params.table6.configuration, {weight: 1.0})
    for configuration, trials in params.tune.trials.items():
        for trial in trials:
            params.resolved(configuration, trial)
    counts = {name: len(trials) for name, trials in params.tune.trials.items()}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise ConfigError(
            f"params.yaml: 'tune.trials' gives some more trials than others ({shown}); one tuning "
            "budget for all: give each the same number."
        )


def _check_training(params: Params, dataset: str, override: dict[str, Any], where: str) -> None:
    values = {**params.training_of(dataset).model_dump(), **override}
    _check_warmup(check(Training, values, where), where, dataset)


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

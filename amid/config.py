"""params.yaml as checked records: a wrong key or value is one sentence that names it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from amid.augmentations import AUGMENTATIONS, load_augmentation
from amid.datasets import DATASETS
from amid.errors import ConfigError
from amid.extractors import EXTRACTORS
from amid.io.redact import escape_control
from amid.methods import METHODS
from amid.networks import ENCODERS, load_encoder

if TYPE_CHECKING:
    from amid.methods.base import MethodOptions

Positive = Annotated[int, Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
SetupName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
MismatchRatio = Annotated[float, Field(ge=0, lt=1)]
Encoder = Literal[(*ENCODERS, "none")]
# The encoder of a modality whose block names none, by the axes of its features.
USUAL_ENCODERS = {
    "target": {1: "mlp", 2: "gru", 4: "r2plus1d"},
    "auxiliary": {1: "mlp", 2: "cnn", 4: "r2plus1d"},
}
_AXES = {1: "one vector", 2: "a sequence of vectors", 4: "frames"}


def _span(least: int) -> Any:
    """The type of a length of training: a whole number of epochs from `least` on, or a share."""

    def checked(value: Any) -> int | float:
        whole = type(value) is int and value >= least
        if not whole and not (type(value) is float and 0 < value < 1):
            raise ValueError(
                f"it should be a whole number of epochs, {least} or more, or a share of the epochs "
                "between 0 and 1, such as 0.75"
            )
        return value

    return Annotated[int | float, PlainValidator(checked)]


def epochs_of(span: int | float, epochs: int) -> int:
    """A whole number of epochs as it is, a share of `epochs` rounded (halves up)."""
    return span if isinstance(span, int) else math.floor(span * epochs + 0.5)


class Model(BaseModel):
    """Strict: no unknown key, no number given as text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Fusion(Model):
    hidden: Positive


class Network(Model):
    """A field more for the options of each encoder (amid.networks.ENCODERS)."""

    dim: Positive
    slope: Share
    fusion: Fusion


class Training(Model):
    """The numbers of a training; docs/training.md says what each does. `warmup_epochs` and each of
    `milestones` is a number of epochs or a share of them, which moves along with `epochs`.

    strong: what the protocol `strong` has in place of these (Params.training_of).
    """

    protocol: Literal["paper", "strong"]
    epochs: Positive
    warmup_epochs: _span(0)
    batch_size: Positive
    optimiser: Literal["adam", "adamw", "sgd"]
    learning_rate: PositiveFloat
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: NonNegative
    milestones: list[_span(1)]
    decay: PositiveFloat
    schedule: Literal["step", "cosine"]
    rate_warmup: Annotated[float, Field(ge=0, lt=1)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    ema: Share
    choose: Literal["validation", "last"]
    augmentation: dict[Name, dict[str, Any]]
    strong: dict[str, Any]
    auxiliary_seed: Annotated[int, Field(ge=0)]
    checkpoint_every: Positive
    checkpoint_minutes: PositiveFloat
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["float32", "bfloat16"]
    activation_chunks: Positive
    processes: Positive

    @field_validator("augmentation")
    @classmethod
    def _augmentations_are_known(cls, chosen: dict[str, Any]) -> dict[str, Any]:
        for name, numbers in chosen.items():
            if name not in AUGMENTATIONS:
                what = f"augmentation '{escape_control(name)}'"
                raise ConfigError(unknown(what, name, AUGMENTATIONS, "augmentation"))
            check(load_augmentation(name).Options, numbers, f"augmentation.{name}")
        return chosen

    @property
    def warmup(self) -> int:
        """Epochs of the warm-up."""
        return epochs_of(self.warmup_epochs, self.epochs)

    def milestones_before(self, epoch: int) -> list[int]:
        """The epochs before `epoch` at which the learning rate falls."""
        found = (epochs_of(milestone, self.epochs) for milestone in self.milestones)
        return [milestone for milestone in found if milestone < epoch]

    @model_validator(mode="after")
    def _every_device_has_a_sample(self) -> Training:
        if self.processes > self.batch_size:
            raise ValueError(
                f"{self.processes} 'processes' share each batch, so 'batch_size' {self.batch_size} "
                "leaves some without a sample: raise it, or lower 'processes'"
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

    folder: folder or file whose change makes DVC run the data set's `download` again: the clips of
    own data, else the code that makes or fetches them. extract: extractor and its numbers of each
    modality, on top of those in `extractors`. setups: of Table 3, what the teacher sees in each.
    mismatch_ratio: share of training clips that get another clip's auxiliary modalities.
    quarantine_limit: share of clips that may be damaged before `extract` fails. encoders: of
    modalities that are not to have the usual one for the shape of their features.
    """

    source: Literal[tuple(DATASETS)]
    folder: Annotated[str, Field(min_length=1)]
    options: Any
    target: Name
    auxiliary: Annotated[list[Name], Field(min_length=1)]
    extract: dict[Name, Any]
    setups: dict[SetupName, Annotated[list[Name], Field(min_length=1)]] = {}
    mismatch_ratio: MismatchRatio = 0.0
    quarantine_limit: Share = 0.01
    encoders: dict[Name, Encoder] = {}
    training: dict[str, Any] = {}
    auxiliary_training: dict[str, Any] = {}


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


class Frame(Model):
    """What every configuration may say beside the numbers of its method.

    training: on top of the data set's. mismatch_ratio: in place of the data set's.
    """

    method: str
    training: dict[str, Any] = {}
    selection: dict[str, Any] = {}
    mismatch_ratio: MismatchRatio | None = None


class Configured(NamedTuple):
    """A configuration of params.yaml: a method with its numbers, and what it overrides."""

    method: str
    options: MethodOptions
    training: dict[str, Any]
    selection: Selection
    mismatch_ratio: float | None


class Params(Model):
    """params.yaml. A field more for the block of each study (amid.studies.load_params), and for
    each number that a method takes from the top level (MethodOptions.top_level)."""

    datasets: Annotated[list[Name], Field(min_length=1)]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    mirror: str | None
    workers: Annotated[int, Field(ge=0)]
    data: dict[Name, DataSet]
    extractors: dict[Name, dict[str, Any]]
    network: Network
    training: Training
    selection: Selection
    methods: dict[Name, dict[str, Any]]
    configurations: dict[Name, dict[str, Any]]
    sections: dict[Name, list[Name]]
    student: StudentChoice
    report: Report

    @property
    def top_level(self) -> dict[str, float]:
        """The numbers that methods take from the top level of params.yaml."""
        return {name: getattr(self, name) for name in _top_level()}

    def dataset(self, name: str) -> DataSet:
        """The block of one data set; ConfigError names the choices when there is none."""
        if name not in self.data:
            raise ConfigError(unknown(f"data set '{name}'", name, self.data, "data"))
        return self.data[name]

    def training_of(
        self, dataset: str, *, auxiliary: bool = False, study: dict[str, Any] | None = None
    ) -> Training:
        """The training numbers of a data set: `training`, on top of it a study's own, on top of
        both the protocol's, and on top of all what the data set's block says."""
        block = self.dataset(dataset)
        override, where = block.training, f"data.{dataset}.training"
        if auxiliary:
            override = {**override, **block.auxiliary_training}
            where = f"data.{dataset}.auxiliary_training"
        values = self.training.model_dump() | (study or {})
        if override.get("protocol", values["protocol"]) == "strong":
            values |= self.training.strong
        return check(Training, {**values, **override}, where)

    def options(self, method: str) -> MethodOptions:
        """A method's numbers, those from the top level among them."""
        model = import_module(METHODS[method]).Options
        given = {name: getattr(self, name) for name in model.top_level}
        return check(model, {**given, **self.methods.get(method, {})}, f"methods.{method}")

    def resolved(self, configuration: str, overrides: dict[str, Any] | None = None) -> Configured:
        """A configuration, `overrides` on top of its own numbers, as checked records."""
        values = {**self.configurations[configuration]}
        for name, value in (overrides or {}).items():
            both = isinstance(value, dict) and isinstance(values.get(name), dict)
            values[name] = {**values[name], **value} if both else value
        where = f"configurations.{configuration}"
        frame = _check_frame(values, where)
        numbers = {**self.selection.model_dump(), **frame.selection}
        selection = check(Selection, numbers, f"{where}.selection")
        options_model = import_module(METHODS[frame.method]).Options
        if frame.selection and not options_model.compares_pairs:
            raise ConfigError(
                f"params.yaml: '{where}' has a selection, but '{frame.method}' compares no pairs: "
                "there is nothing to choose samples by."
            )
        given = self.options(frame.method).model_dump()
        own = {name: value for name, value in values.items() if name not in Frame.model_fields}
        options = check(options_model, {**given, **own}, where)
        return Configured(frame.method, options, frame.training, selection, frame.mismatch_ratio)


# Field of Params: (its type, its default or ..., the file it stands in if not params.yaml itself)
Extra = Mapping[str, tuple[Any, Any, Path | None]]


def load(path: Path, extra: Extra | None = None) -> Params:
    """Reads and checks params.yaml; ConfigError says in one sentence which key is wrong and why.

    extra: the fields of the studies; amid.studies.load_params calls this with all of them. None:
    keys of studies, and misspelt ones, are passed over. That is for stages which make data: they
    must not depend on the studies, and come after the stage `check`, which looks at every key.
    """
    values = _read(path)
    if extra is None:
        known = {*Params.model_fields, *_top_level()}
        _refuse_misspelt(values, known)
        values = {name: value for name, value in values.items() if name in known}
        extra = {}
    values |= _read_extra(values, extra)
    fields = _top_level() | _fields(extra) | {"network": (network_model(), ...)}
    params = check(create_model("Params", __base__=Params, **fields), values, "")
    _check_extractors(params)
    data = {name: _checked_block(params, name, block) for name, block in params.data.items()}
    params = params.model_copy(update={"data": data})
    _check_names(params)
    check(Training, {**params.training.model_dump(), **params.training.strong}, "training.strong")
    _check_training_numbers(params)
    _check_student(params)
    return params


def load_results(path: Path, extra: Extra) -> Params:
    """Reads params.yaml for stages that read results alone; ConfigError as by `load`.

    Numbers of methods, networks, extractors and data sets stay as they stand there. Their modules
    import torch, for seconds, and the stages that made the results have checked them.
    """
    values = _read(path)
    values |= _read_extra(values, extra)
    fields = _fields(extra) | {"network": (Any, ...)}
    known = {*Params.model_fields, *fields}
    _refuse_misspelt(values, known)
    fields |= {name: (Any, ...) for name in values if name not in known}
    params = check(create_model("Params", __base__=Params, **fields), values, "")
    _check_names(params)
    _check_student(params)
    return params


def _fields(extra: Extra) -> dict[str, tuple[Any, Any]]:
    return {name: (kind, default) for name, (kind, default, _) in extra.items()}


def _read_extra(values: dict[str, Any], extra: Extra) -> dict[str, Any]:
    """The values of the fields that stand in files of their own."""
    found = {}
    for name, (_, _, file) in extra.items():
        if file is not None:
            if name in values:
                raise ConfigError(f"params.yaml: '{name}' stands in {_short(file)}: edit it there.")
            found |= {key: value for key, value in _read(file).items() if key == name}
    return found


def _refuse_misspelt(values: dict[str, Any], known: set[str]) -> None:
    """Raises ConfigError for a key that is not known but close to a known one that is missing."""
    missing = known - values.keys()
    for name in values.keys() - known:
        if difflib.get_close_matches(str(name), missing, n=1):
            raise ConfigError(unknown(f"key '{escape_control(name)}'", name, missing, ""))


def _read(path: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML, YAMLError  # YAML 1.2, as DVC reads it: 1e-3 is a number

    try:
        values = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing: run from the root of the project.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        line = " ".join(str(error).split())
        raise ConfigError(f"{path.name} is not valid YAML: {line}.") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path.name} holds no keys: it must be a mapping of names to values.")
    return values


def _short(path: Path) -> str:
    return Path(*path.parts[-3:]).as_posix()


def _top_level() -> dict[str, tuple[Any, Any]]:
    """Name -> (type, ...) of the numbers that methods take from the top level."""
    fields = {}
    for module in METHODS.values():
        options = import_module(module).Options
        for name in options.top_level:
            field = options.model_fields[name]
            fields[name] = (Annotated[field.annotation, *field.metadata], ...)
    return fields


def network_model() -> type[Network]:
    """Network, with a field for the options of each encoder."""
    encoders = {name: (load_encoder(name).Options, ...) for name in ENCODERS}
    return create_model("Network", __base__=Network, **encoders)


def check(model: type[BaseModel], values: Any, where: str) -> Any:
    """`values` as a `model`; its first problem as a ConfigError naming the key below `where`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = error.errors()  # a misspelt key shows as a missing one as well: name the first
        problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
        place = [str(part) for part in problem["loc"]]
        key = escape_control(".".join(filter(None, [where, *place])))
        if problem["type"] == "extra_forbidden":
            known = _fields_at(model, place[:-1])
            raise ConfigError(unknown(f"key '{key}'", place[-1], known, where)) from None
        if problem["type"] == "missing":
            raise ConfigError(f"params.yaml: '{key}' is missing.") from None
        reason = problem["msg"].removeprefix("Value error, ")
        reason = reason[0].lower() + reason[1:]
        got = problem["input"]
        raise ConfigError(f"params.yaml: '{key}' is {got!r}, but {reason}.") from None


def _check_frame(values: dict[str, Any], where: str) -> Frame:
    """The part of a configuration that does not depend on its method, which is one there is."""
    if "method" not in values:
        raise ConfigError(f"params.yaml: '{where}' must name its `method`.")
    frame = check(Frame, {n: v for n, v in values.items() if n in Frame.model_fields}, where)
    if frame.method not in METHODS:
        raise ConfigError(unknown(f"method '{frame.method}'", frame.method, METHODS, where))
    return frame


def _check_extractors(params: Params) -> None:
    """The numbers of `extractors`, each by itself: they hold for every block."""
    for kind, numbers in params.extractors.items():
        if kind not in EXTRACTORS:
            raise ConfigError(unknown(f"extractor '{kind}'", kind, EXTRACTORS, "extractors"))
        check(import_module(EXTRACTORS[kind]).Options, numbers, f"extractors.{kind}")


def _checked_block(params: Params, name: str, block: DataSet) -> DataSet:
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


def _check_names(params: Params) -> None:
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
        _check_frame(values, f"configurations.{configuration}")
    lists = {f"sections.{name}": rows for name, rows in params.sections.items()}
    lists |= {"student.configurations": params.student.configurations}
    for key, rows in lists.items():
        for row in rows:
            if row not in params.configurations:
                what = f"configuration '{row}'"
                raise ConfigError(unknown(what, row, params.configurations, key))


def _check_student(params: Params) -> None:
    """A section trains what the student is chosen among."""
    trained = {row for rows in params.sections.values() for row in rows}
    for row in params.student.configurations:
        if row not in trained:
            raise ConfigError(
                f"params.yaml: 'student.configurations' names '{row}', which no entry of "
                "'sections' trains: add it to one, or take it out of 'student.configurations'."
            )


def _check_training_numbers(params: Params) -> None:
    """The numbers that data sets and configurations train with fit together."""
    for name in params.data:
        _check_warmup(params.training_of(name), "training", name)
        params.training_of(name, auxiliary=True)
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


def unknown(what: str, given: str, known: Any, where: str) -> str:
    """A sentence about a name that is not among the known ones, with the nearest of them."""
    close = difflib.get_close_matches(given, list(known), n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(sorted(known))}."
    at = f" (in '{where}')" if where and where not in what else ""
    return f"params.yaml: unknown {what}{at}; {hint}"

"""The records that params.yaml and the blocks of data sets are checked as."""

from __future__ import annotations

import math
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    field_validator,
    model_validator,
)

from amid.augmentations import AUGMENTATIONS, load_augmentation
from amid.config.messages import PARAMS, block_file, check, sentence, unknown
from amid.datasets import DATASETS
from amid.errors import ConfigError
from amid.io.redact import escape_control
from amid.methods import METHODS
from amid.networks import ENCODERS

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
    modality_dropout: Annotated[float, Field(ge=0, lt=1)]
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
        mixing = [name for name in chosen if hasattr(load_augmentation(name), "mix")]
        if len(mixing) > 1:
            both = " and ".join(f"'{name}'" for name in mixing)
            raise ConfigError(
                f"{PARAMS}: 'augmentation' has {both}, but a clip is mixed in one way only: leave "
                "one of them out."
            )
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
    """One data set, dataset/<name>.yaml; `options` and the numbers in `extract` belong to its
    files in amid/.

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
    """params.yaml, with the blocks of data sets beside it in `data`. A field more for the block of
    each study (amid.studies.load_params), and for each number that a method takes from the top
    level (MethodOptions.top_level)."""

    datasets: Annotated[list[Name], Field(min_length=1)]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    mirror: str | None
    workers: Annotated[int, Field(ge=0)]
    data: dict[Name, DataSet] = {}
    extractors: dict[Name, dict[str, Any]]
    network: Network
    training: Training
    selection: Selection
    methods: dict[Name, dict[str, Any]]
    configurations: dict[Name, dict[str, Any]]
    sections: dict[Name, list[Name]]
    student: StudentChoice
    report: Report
    # Name -> what is wrong with the block, of data sets that `datasets` does not name.
    _unusable: dict[str, str] = PrivateAttr(default_factory=dict)
    # Keys of methods and configurations that stand in another file -> their place.
    _elsewhere: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def unusable(self) -> dict[str, str]:
        """Name of a data set that cannot be used -> what is wrong with its block, one sentence."""
        return self._unusable

    def with_data(self, data: dict[str, DataSet], unusable: dict[str, str]) -> Params:
        """The parameters with these data sets, and with those that cannot be used."""
        params = self.model_copy(update={"data": data})
        params._unusable = unusable
        return params

    def stand_elsewhere(self, places: dict[str, str]) -> None:
        """Makes messages name these places of keys, of which params.yaml has none."""
        self._elsewhere.update(places)

    def place(self, key: str) -> str:
        """Where a method or a configuration stands, as messages name it."""
        return self._elsewhere.get(key, key)

    @property
    def top_level(self) -> dict[str, float]:
        """The numbers that methods take from the top level of params.yaml."""
        return {name: getattr(self, name) for name in top_level_fields()}

    def dataset(self, name: str) -> DataSet:
        """The block of one data set; ConfigError says what is wrong with it, or names the choices
        when there is none."""
        if name in self._unusable:
            raise ConfigError(self._unusable[name])
        if name not in self.data:
            raise ConfigError(
                f"{block_file(name)} is missing, so there is no data set '{escape_control(name)}'; "
                f"there are: {', '.join(sorted({*self.data, *self._unusable})) or 'none'}."
            )
        return self.data[name]

    def training_of(
        self, dataset: str, *, auxiliary: bool = False, study: dict[str, Any] | None = None
    ) -> Training:
        """The training numbers of a data set: `training`, on top of it a study's own, on top of
        both the protocol's, and on top of all what the data set's block says; its `strong` changes
        that protocol alone."""
        block = self.dataset(dataset)
        file = block_file(dataset)
        override, where = block.training, f"{file}:training"
        if auxiliary:
            override = {**override, **block.auxiliary_training}
            where = f"{file}:auxiliary_training"
        values = self.training.model_dump() | (study or {})
        of_strong = {}
        if isinstance(override.get("strong"), dict):  # anything else is told by `check`
            override = {**override}
            of_strong = override.pop("strong")
        if override.get("protocol", values["protocol"]) == "strong":
            values |= self.training.strong | of_strong
        return check(Training, {**values, **override}, where)

    def options(self, method: str) -> MethodOptions:
        """A method's numbers, those from the top level among them."""
        model = import_module(METHODS[method]).Options
        given = {name: getattr(self, name) for name in model.top_level}
        numbers = self.methods.get(method, {})
        return check(model, {**given, **numbers}, self.place(f"methods.{method}"))

    def resolved(self, configuration: str, overrides: dict[str, Any] | None = None) -> Configured:
        """A configuration, `overrides` on top of its own numbers, as checked records."""
        values = {**self.configurations[configuration]}
        for name, value in (overrides or {}).items():
            both = isinstance(value, dict) and isinstance(values.get(name), dict)
            values[name] = {**values[name], **value} if both else value
        where = self.place(f"configurations.{configuration}")
        frame = check_frame(values, where)
        numbers = {**self.selection.model_dump(), **frame.selection}
        selection = check(Selection, numbers, f"{where}.selection")
        options_model = import_module(METHODS[frame.method]).Options
        if frame.selection and not options_model.compares_pairs:
            raise ConfigError(
                sentence(
                    where,
                    f"has a selection, but '{frame.method}' compares no pairs: there is nothing to "
                    "choose samples by.",
                )
            )
        given = self.options(frame.method).model_dump()
        own = {name: value for name, value in values.items() if name not in Frame.model_fields}
        options = check(options_model, {**given, **own}, where)
        return Configured(frame.method, options, frame.training, selection, frame.mismatch_ratio)


def top_level_fields() -> dict[str, tuple[Any, Any]]:
    """Name -> (type, ...) of the numbers that methods take from the top level."""
    fields = {}
    for module in METHODS.values():
        options = import_module(module).Options
        for name in options.top_level:
            field = options.model_fields[name]
            fields[name] = (Annotated[field.annotation, *field.metadata], ...)
    return fields


def check_frame(values: dict[str, Any], where: str) -> Frame:
    """The part of a configuration that does not depend on its method, which is one there is."""
    if "method" not in values:
        raise ConfigError(sentence(where, "must name its `method`."))
    frame = check(Frame, {n: v for n, v in values.items() if n in Frame.model_fields}, where)
    if frame.method not in METHODS:
        raise ConfigError(unknown(f"method '{frame.method}'", frame.method, METHODS, where))
    return frame

"""The block of contrastive pre-training in params.yaml -> its runs, as specifications."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from amid.config import (
    Model,
    Name,
    NonNegative,
    Params,
    Positive,
    PositiveFloat,
    block_file,
    check,
    unknown,
)
from amid.core.types import RunSpec
from amid.errors import ConfigError
from amid.methods import PAIR_METHODS
from amid.runs.plan import SHARED, Fingerprint, PlannedRun, code_of
from amid.selection.pair_rules import NUMBERS, RULES, kept_count


class PairTraining(Model):
    """epochs of warm-up: over which the learning rate grows from 0. gradient_clip: largest norm of
    all gradients together, null for none."""

    epochs: Positive
    warmup_epochs: Annotated[int, Field(ge=0)]
    batch_size: Positive
    learning_rate: PositiveFloat
    weight_decay: NonNegative
    schedule: Literal["cosine", "constant"]
    gradient_clip: PositiveFloat | None

    @model_validator(mode="after")
    def _warms_up_before_the_end(self) -> PairTraining:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"'warmup_epochs' {self.warmup_epochs} leaves none of {self.epochs} epochs: lower "
                "it"
            )
        return self

    @field_validator("batch_size")
    @classmethod
    def _has_negatives(cls, size: int) -> int:
        if size < 2:
            raise ValueError(
                "a batch of one has no other pair to be compared with: take 2 or more, better 64"
            )
        return size


class Rule(Model):
    """A rule of selection with its numbers; those of other rules have no effect."""

    name: Literal[RULES]
    warmup_epochs: Annotated[int, Field(ge=1)] = 5
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9


class PairBlock(Model):
    """What is trained on which pairs, and how.

    modalities: by data set; without an entry its target and auxiliary modalities.
    """

    datasets: Annotated[list[Name], Field(min_length=1)]
    modalities: dict[Name, list[Name]] = Field(default_factory=dict)
    method: Name
    options: dict[str, Any]
    training: PairTraining

    def of(self, params: Params, dataset: str) -> list[str]:
        """The modalities paired of a data set."""
        block = params.dataset(dataset)
        return self.modalities.get(dataset, [block.target, *block.auxiliary])


def check_block(params: Params, block: PairBlock, key: str) -> None:
    """Raises ConfigError unless the block at `key` fits the rest of params.yaml."""
    if block.method not in PAIR_METHODS:
        raise ConfigError(unknown(f"method '{block.method}'", block.method, PAIR_METHODS, key))
    check(_options(block), block.options, f"{key}.options")
    for name in [*block.datasets, *block.modalities]:
        params.dataset(name)
    for name in block.datasets:
        chosen, where = block.of(params, name), f"{key}.modalities.{name}"
        if len(set(chosen)) < 2 or len(set(chosen)) < len(chosen):
            raise ConfigError(
                f"params.yaml: '{where}' is {chosen}: a pair needs two different modalities or "
                "more."
            )
        extracted = params.dataset(name).extract
        for modality in chosen:
            if modality not in extracted:
                raise ConfigError(unknown(f"modality '{modality}'", modality, extracted, where))


def check_ratio(block: PairBlock, ratio: float, key: str) -> None:
    """Raises ConfigError if a rule would keep a single pair of a batch."""
    size = block.training.batch_size
    if kept_count(size, ratio) < 2:
        raise ConfigError(
            f"params.yaml: '{key}' keeps {ratio:g} of a batch of {size}, which is one pair, "
            "without another to be compared with: raise it or 'batch_size'."
        )


def check_mismatch(shares: Sequence[float], key: str) -> None:
    """Raises ConfigError if all pairs would be wrong."""
    for share in shares:
        if share >= 1:
            raise ConfigError(
                f"params.yaml: '{key}' is {share:g}: with all pairs wrong there is nothing to "
                "learn; stay below 1."
            )


def pair_run(
    params: Params,
    block: PairBlock,
    dataset: str,
    seed: int,
    fingerprint: Fingerprint,
    *,
    folder: str,
    rule: Rule | None = None,
    ratio: float = 1.0,
    mismatch_ratio: float = 0.0,
) -> PlannedRun:
    """One run on a data set's pairs. rule: None, or any at ratio 1, trains on all pairs."""
    modalities = block.of(params, dataset)
    own = params.dataset(dataset).encoders
    encoders = {modality: own[modality] for modality in modalities}
    for modality, encoder in encoders.items():
        if encoder in ("none", SHARED):
            raise ConfigError(
                f"{block_file(dataset)}: 'encoders.{modality}' is '{encoder}', but contrastive "
                "pre-training needs an encoder of features that it can train: choose mlp, cnn or "
                "gru."
            )
    values = params.network.model_dump()
    network = {"dim": values["dim"], "slope": values["slope"], "encoders": encoders}
    network |= {kind: values[kind] for kind in encoders.values()}
    first, *others = modalities
    features = "\n".join(fingerprint(modality, ()) for modality in modalities)
    selection = None
    if rule is not None and ratio < 1:
        numbers = {name: getattr(rule, name) for name in NUMBERS.get(rule.name, ())}
        selection = {"name": rule.name, "ratio": ratio, **numbers}
    spec = RunSpec(
        dataset=dataset,
        method=block.method,
        options=_options(block)(**block.options).model_dump(),
        target=first,
        auxiliary=tuple(others),
        network=network,
        training=block.training.model_dump(),
        seed=seed,
        fold=None,
        corpus="train",
        features=hashlib.sha256(features.encode()).hexdigest(),
        code=code_of(block.method, list(encoders.values())),
        selection=selection,
        mismatch_ratio=mismatch_ratio,
    )
    name = "all" if rule is None else rule.name
    return PlannedRun(name, folder, spec)


def _options(block: PairBlock) -> Any:
    return import_module(PAIR_METHODS[block.method]).Options

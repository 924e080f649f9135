"""The numbers of GRID's block."""

from __future__ import annotations

import math
import re
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from amid.datasets.grid.sentences import CLASSES

ALIGNMENTS = "alignments.zip"

Count = Annotated[int, Field(strict=True, ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Shares(BaseModel):
    """Shares of the sentences of each talker; they sum to 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: Annotated[float, Field(gt=0, le=1)] = 0.7
    validation: Share = 0.1
    test: Share = 0.2

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train + self.validation + self.test
        if not math.isclose(total, 1.0, abs_tol=1e-9):
            raise ValueError(f"train, validation and test add up to {total:g}, not to 1")
        return self


class Options(BaseModel):
    """The numbers of the GRID data set. `train_words` None: every training word is labelled.

    test_talkers: of `talkers`, whose sentences all test, so that no talker is both trained and
    tested on; (): sentences of every talker test. validation_talkers: whose sentences all validate;
    (): sentences of the talkers that train. With test_talkers, folds are of whole talkers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    record: Annotated[str, Field(pattern=r"^[0-9]+$")] = "3625687"
    talkers: Annotated[tuple[str, ...], Field(min_length=1)] = ("s1",)
    test_talkers: tuple[str, ...] = ()
    validation_talkers: tuple[str, ...] = ()
    sha256: dict[str, str | None] = {}
    seed: Count = 0
    shares: Shares = Shares()
    train_words: Annotated[int, Field(strict=True, ge=len(CLASSES))] | None = 1500
    folds: Annotated[int, Field(strict=True, ge=2)] = 5

    @field_validator("talkers")
    @classmethod
    def _known(cls, talkers: tuple[str, ...]) -> tuple[str, ...]:
        for talker in talkers:
            if not is_talker(talker):
                raise ValueError(f"'{talker}' is no talker: they are called s1 to s34")
            if talker == "s21":
                raise ValueError("talker s21 has no videos in the corpus")
        if len(set(talkers)) < len(talkers):
            raise ValueError("a talker stands there twice")
        return talkers

    @model_validator(mode="after")
    def _apart(self) -> Self:
        held = (*self.test_talkers, *self.validation_talkers)
        if self.validation_talkers and not self.test_talkers:
            raise ValueError("validation_talkers are for a split by talker: name test_talkers, too")
        if len(set(held)) < len(held):
            raise ValueError("a talker stands twice in test_talkers and validation_talkers")
        if absent := [talker for talker in held if talker not in self.talkers]:
            raise ValueError(f"'{absent[0]}' is held out but not among `talkers`: add it there")
        if len(held) == len(self.talkers):
            raise ValueError("all talkers are held out, and none is left to train on")
        return self

    @field_validator("sha256")
    @classmethod
    def _sums(cls, sums: dict[str, str | None]) -> dict[str, str | None]:
        for name, value in sums.items():
            if name != ALIGNMENTS and not (name.endswith(".zip") and is_talker(name[:-4])):
                raise ValueError(f"'{name}' is none of the files: {ALIGNMENTS}, s1.zip to s34.zip")
            if value is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
                raise ValueError(f"the sum of {name} is not 64 hexadecimal digits")
        return sums


def is_talker(text: str) -> bool:
    return re.fullmatch(r"s([1-9]|[12][0-9]|3[0-4])", text) is not None

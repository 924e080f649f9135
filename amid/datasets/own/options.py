"""The options in a block of own data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from amid.datasets.own.sheet import KINDS
from amid.errors import ConfigError

Share = Annotated[float, Field(ge=0, lt=1)]


class Shares(BaseModel):
    """Shares of the clips to draw for validation and test; the rest is for training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    validation: Share = 0.1
    test: Share = 0.2

    @model_validator(mode="after")
    def _leaves_some(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must leave a share to train on")
        return self


class Options(BaseModel):
    """`manifest` and `root`, the folder that its paths start from, are relative to the folder
    `folder`; without a root it is the manifest's folder. modalities: None = those of the block's
    `extract`. labels: False for a data set for contrastive pre-training alone, whose manifest
    needs no column `label`. seed, shares, folds: of what the manifest leaves to be drawn. quoting:
    whether quotes enclose cells; None: in a .csv, not in a .tsv. follow_links: whether symbolic
    links to files may lead anywhere (amid.datasets.own.links)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    manifest: Annotated[str, Field(min_length=1)]
    root: str | None = None
    modalities: Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    labels: Annotated[bool, Field(strict=True)] = True
    seed: Annotated[int, Field(strict=True, ge=0)] = 0
    shares: Shares = Shares()
    folds: Annotated[int, Field(strict=True, ge=3)] = 5
    quoting: Annotated[bool, Field(strict=True)] | None = None
    follow_links: Annotated[bool, Field(strict=True)] = False


class Informed(Options):
    """The options with what else the data set's block says: folder, extractors, target."""

    folder: Path = Field(exclude=True)
    extract: dict[str, tuple[str, Any]] = Field(exclude=True)
    target: str = Field(exclude=True)

    @property
    def manifest_path(self) -> Path:
        return self.folder / self.manifest

    @property
    def root_path(self) -> Path:
        """The folder that the manifest's paths start from."""
        if self.root is not None:
            return self.folder / self.root
        # a manifest of parts may be the folder itself
        whole = os.path.abspath(self.manifest_path) == os.path.abspath(self.folder)
        return self.folder if whole else self.manifest_path.parent


def informed(options: Options, folder: str, extract: dict, target: str, where: str) -> Informed:
    """Called when the data set's block is read, with the rest of it; where: its file."""
    if options.modalities is not None and set(options.modalities) != set(extract):
        raise ConfigError(
            f"{where}: 'options.modalities' names {', '.join(options.modalities)}, but 'extract' "
            f"{', '.join(extract)}: name the same ones."
        )
    kind = Path(options.manifest).suffix.lower()
    if kind and kind not in KINDS:
        raise ConfigError(
            f"{where}: 'options.manifest' is '{options.manifest}', but must end in one "
            f"of {', '.join(KINDS)}, or be a folder of .parquet files without an ending."
        )
    for key in ("manifest", "root"):
        value = getattr(options, key)
        if value is not None and not lies_inside(Path(folder) / value, Path(folder)):
            raise ConfigError(
                f"{where}: 'options.{key}' is '{value}', which lies outside the folder '{folder}' "
                "of 'folder': DVC would not see its changes."
            )
    # Fields as they are: model_dump would turn the shares into a dict.
    given = {name: getattr(options, name) for name in Options.model_fields}
    given["modalities"] = options.modalities or tuple(extract)
    return Informed(**given, folder=Path(folder), extract=extract, target=target)


def lies_inside(path: Path, folder: Path) -> bool:
    """Whether a path is below the folder or is it, links left out of account."""
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))

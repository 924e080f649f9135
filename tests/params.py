"""Copies of the project's numbers: params.yaml and what stands in files of its own beside it."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from amid.config.reading import REQUESTED
from tests.small import ROOT


def read_params() -> dict[str, Any]:
    """The values of params.yaml, with the data sets' blocks as `data` among them."""
    return copy.deepcopy(_project_values())


@cache
def _project_values() -> dict[str, Any]:
    yaml = YAML()
    values = yaml.load((ROOT / "params.yaml").read_text())
    blocks = sorted((ROOT / "dataset").glob("*.yaml"))
    return {**values, "data": {path.stem: yaml.load(path.read_text()) for path in blocks}}


def write_params(place: Path, edit: Callable[[dict[str, Any]], None] = lambda values: None) -> Path:
    """Writes the values of `read_params` after an edit, as `put_params` does."""
    values = read_params()
    edit(values)
    return put_params(place, values)


def put_params(place: Path, values: dict[str, Any]) -> Path:
    """Writes such values to the files of a project at `place`; the path of params.yaml there."""
    values, unchanged = {**values}, _project_values()["data"]
    for name, block in values.pop("data").items():
        written = Path("dataset", f"{name}.yaml")
        if block == unchanged.get(name):
            (place / written).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / written, place / written)
        else:
            dump(place / written, block)
    dump(place / "params.yaml", values)
    (place / REQUESTED).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / REQUESTED, place / REQUESTED)
    return place / "params.yaml"


def change(path: Path, changes: dict[str, Any]) -> None:
    """Adds or replaces keys of a YAML file; mappings are merged at every level."""
    values = YAML().load(path.read_text())
    merge(values, changes)
    dump(path, values)


def merge(values: dict[str, Any], changes: dict[str, Any]) -> None:
    """`change` of values."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            merge(values[key], value)
        else:
            values[key] = value


def dump(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        YAML().dump(values, file)

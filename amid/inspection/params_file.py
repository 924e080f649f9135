"""A block of a data set in the text of params.yaml, all else as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from amid.errors import ConfigError
from amid.io.atomic import write_atomic


def with_block(text: str, name: str, block: str) -> str:
    """`text` with `block` as the last one below `data:`. Raises ConfigError where there is one of
    the name already, or no place for it."""
    values = _parse(text)
    if not isinstance(values, dict) or not isinstance(values.get("data"), dict):
        raise ConfigError("params.yaml has no mapping `data`: add the block by hand.")
    if name in values["data"]:
        raise ConfigError(
            f"params.yaml: 'data.{name}' is there already: take another name, or remove it."
        )
    lines = text.splitlines(keepends=True)
    start = next((n for n, line in enumerate(lines) if re.match(r"data:\s*(#.*)?$", line)), None)
    if start is None:
        raise ConfigError("params.yaml: `data` is not a block of lines: add the block by hand.")
    end = start + 1
    for number in range(start + 1, len(lines)):
        if lines[number].strip() and not lines[number][0].isspace():
            if not lines[number].startswith("#"):
                break
        elif lines[number].strip():
            end = number + 1
    before = "" if lines[end - 1].endswith("\n") else "\n"
    made = "".join([*lines[:end], before, "\n", block, *lines[end:]])
    expected = {**values, "data": {**values["data"], **_parse(block)}}
    if _parse(made) != expected:
        raise ConfigError("params.yaml: `data` is not a block of lines: add the block by hand.")
    return made


def add_block(path: Path, name: str, block: str) -> None:
    """Writes `with_block` to the file."""
    text = with_block(path.read_text(encoding="utf-8"), name, block)
    write_atomic(path, text.encode("utf-8"))


def _parse(text: str) -> dict:
    from ruamel.yaml import YAML, YAMLError

    try:
        return YAML(typ="safe").load(text)
    except YAMLError as error:
        raise ConfigError(
            f"params.yaml is not valid YAML: {' '.join(str(error).split())}."
        ) from None

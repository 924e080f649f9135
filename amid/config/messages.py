"""What is wrong with params.yaml or a data set's block, in one sentence that names file and key.

A place is a key of params.yaml, such as `training.strong`, or a file and a key in it, as `-S` of
DVC has them: `dataset/grid.yaml:options.seed`.
"""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError

from amid.errors import ConfigError
from amid.io.redact import escape_control

PARAMS = "params.yaml"


def check(model: type[BaseModel], values: Any, where: str) -> Any:
    """`values` as a `model`; its first problem as a ConfigError naming the key below the place
    `where`."""
    file, above = _split(where)
    try:
        return model.model_validate(values)
    except ConfigError as error:  # of a validator, which does not know the file
        raise ConfigError(f"{file}{str(error).removeprefix(PARAMS)}") from None
    except ValidationError as error:
        problems = error.errors()  # a misspelt key shows as a missing one as well: name the first
        problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
        place = [str(part) for part in problem["loc"]]
        key = escape_control(".".join(filter(None, [above, *place])))
        if problem["type"] == "extra_forbidden":
            known = _fields_at(model, place[:-1])
            raise ConfigError(unknown(f"key '{key}'", place[-1], known, where)) from None
        if problem["type"] == "missing":
            raise ConfigError(f"{file}: '{key}' is missing.") from None
        reason = problem["msg"].removeprefix("Value error, ")
        reason = reason[0].lower() + reason[1:]
        got = problem["input"]
        raise ConfigError(f"{file}: '{key}' is {got!r}, but {reason}.") from None


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
    """A sentence about a name at the place `where` that is not among the known ones, with the
    nearest of them."""
    file, key = _split(where)
    close = difflib.get_close_matches(given, list(known), n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(sorted(known))}."
    at = f" (in '{key}')" if key and key not in what else ""
    return f"{file}: unknown {what}{at}; {hint}"


def sentence(where: str, text: str) -> str:
    """`text` about the key of the place `where`, after its file: "FILE: 'KEY' TEXT"."""
    file, key = _split(where)
    return f"{file}: '{key}' {text}"


def block_file(name: str) -> str:
    """The file of a data set's block, as messages name it."""
    return f"dataset/{escape_control(name)}.yaml"


def _split(where: str) -> tuple[str, str]:
    """The file of a place and the key in it."""
    file, colon, key = where.partition(":")
    return (file, key) if colon else (PARAMS, where)

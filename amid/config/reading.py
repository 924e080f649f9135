"""params.yaml -> checked records."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import create_model

from amid.config import checks
from amid.config.messages import check, unknown
from amid.config.records import Network, Params, Training, top_level_fields
from amid.errors import ConfigError
from amid.io.redact import escape_control
from amid.networks import ENCODERS, load_encoder

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
        known = {*Params.model_fields, *top_level_fields()}
        _refuse_misspelt(values, known)
        values = {name: value for name, value in values.items() if name in known}
        extra = {}
    values |= _read_extra(values, extra)
    fields = top_level_fields() | _fields(extra) | {"network": (network_model(), ...)}
    params = check(create_model("Params", __base__=Params, **fields), values, "")
    checks.check_extractors(params)
    data = {name: checks.checked_block(params, name, block) for name, block in params.data.items()}
    params = params.model_copy(update={"data": data})
    checks.check_names(params)
    check(Training, {**params.training.model_dump(), **params.training.strong}, "training.strong")
    checks.check_training_numbers(params)
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
    checks.check_names(params)
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


def network_model() -> type[Network]:
    """Network, with a field for the options of each encoder."""
    encoders = {name: (load_encoder(name).Options, ...) for name in ENCODERS}
    return create_model("Network", __base__=Network, **encoders)

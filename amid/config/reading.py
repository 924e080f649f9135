"""params.yaml, and what stands in files of its own beside it -> checked records."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError, create_model

from amid.config import checks
from amid.config.messages import block_file, check, unknown
from amid.config.records import DataSet, Model, Name, Network, Params, Training, top_level_fields
from amid.errors import ConfigError
from amid.io.project import project_home
from amid.io.redact import escape_control
from amid.networks import ENCODERS, load_encoder

# Field of Params: (its type, its default or ..., the file it stands in if not params.yaml itself)
Extra = Mapping[str, tuple[Any, Any, Path | None]]
DATA = "dataset"  # the folder of the data sets' blocks
# The methods on request: further entries of `methods` and `configurations`.
REQUESTED = "pipelines/compared/params.yaml"


class Requested(Model):
    """The methods on request, by their published numbers, and configurations of them."""

    methods: dict[Name, dict[str, Any]]
    configurations: dict[Name, dict[str, Any]]


def load(path: Path, extra: Extra | None = None, *, used: Collection[str] | None = None) -> Params:
    """Reads and checks params.yaml and the data sets' blocks in dataset/ beside it; ConfigError
    says in one sentence which key of which file is wrong and why.

    A block that is wrong is an error where `datasets` names it; else `Params.dataset` raises it, so
    that a user's own file which nobody uses stops nobody.

    extra: the fields of the studies; amid.studies.load_params calls this with all of them. None:
    keys of studies, and misspelt ones, are passed over. That is for stages which make data: they
    must not depend on the studies, and come after the stage `check`, which looks at every key.
    used: the data sets whose blocks have to be there and sound; None: those that `datasets` names.
    """
    values, requested = _read_all(path)
    if extra is None:
        known = {*Params.model_fields, *top_level_fields()}
        _refuse_misspelt(values, known)
        values = {name: value for name, value in values.items() if name in known}
        extra = {}
    values |= _read_extra(values, extra)
    fields = top_level_fields() | _fields(extra) | {"network": (network_model(), ...)}
    params = check(create_model("Params", __base__=Params, **fields), values, "")
    params.stand_elsewhere(requested)
    checks.check_extractors(params)
    used = params.datasets if used is None else used
    params = _with_blocks(params, path, used, partial(checks.checked_block, params))
    checks.check_names(params, used)
    check(Training, {**params.training.model_dump(), **params.training.strong}, "training.strong")
    checks.check_sections(params)
    overrides = checks.trained(params)
    fits = partial(checks.check_data_set, params, overrides=overrides)
    params = _without_unfit(params, used, fits)
    return params


def load_results(path: Path, extra: Extra) -> Params:
    """Reads the same files for stages that read results alone; ConfigError as by `load`.

    Numbers of methods, networks, extractors and data sets stay as they stand there. Their modules
    import torch, for seconds, and the stages that made the results have checked them.
    """
    values, requested = _read_all(path)
    values |= _read_extra(values, extra)
    fields = _fields(extra) | {"network": (Any, ...)}
    known = {*Params.model_fields, *fields}
    _refuse_misspelt(values, known)
    fields |= {name: (Any, ...) for name in values if name not in known}
    params = check(create_model("Params", __base__=Params, **fields), values, "")
    params.stand_elsewhere(requested)
    params = _with_blocks(params, path, params.datasets, lambda _name, block: block)
    checks.check_names(params, params.datasets)
    return params


def _with_blocks(
    params: Params,
    path: Path,
    used: Collection[str],
    checked: Callable[[str, DataSet], DataSet],
) -> Params:
    """The parameters with the data sets of the folder beside params.yaml, each as `checked` makes
    it of its block."""
    data, unusable = {}, {}
    for file in sorted((path.parent / DATA).glob("[!.]*.yaml")):
        name = file.stem
        try:
            data[name] = checked(name, _block(file))
        except ConfigError as error:
            if name in used:
                raise
            unusable[name] = str(error)
    for name in used:
        if name not in data and (project_home() / DATA / f"{name}.yaml").exists():
            raise ConfigError(
                f"{block_file(name)} is not in this copy of the project: an experiment of --queue "
                "or --temp has only what git tracks: `git add` the file, and run the experiment "
                "again."
            )
    return params.with_data(data, unusable)


def _without_unfit(params: Params, used: Collection[str], fits: Callable[[str], None]) -> Params:
    """The parameters without the data sets, of those that are not used, for which `fits` raises
    ConfigError."""
    unfit = {}
    for name in params.data:
        try:
            fits(name)
        except ConfigError as error:
            if name in used:
                raise
            unfit[name] = str(error)
    data = {name: block for name, block in params.data.items() if name not in unfit}
    return params.with_data(data, {**params.unusable, **unfit})


def read_block(params: Params, file: Path) -> DataSet:
    """The block in a file, as it is checked where it stands in dataset/. Raises ConfigError."""
    return checks.checked_block(params, file.stem, _block(file))


def _block(file: Path) -> DataSet:
    name = file.stem
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise ConfigError(
            f"{block_file(name)}: '{escape_control(name)}' cannot name a data set: use small "
            "letters, digits and _."
        ) from None
    return check(DataSet, _read(file, block_file(name)), f"{block_file(name)}:")


def _read_all(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The values of params.yaml with those of the methods on request, and the places of these."""
    values = _read(path)
    if "data" in values:
        blocks = values["data"] if isinstance(values["data"], dict) else {}
        names = [str(n) for n in blocks if not (path.parent / DATA / f"{n}.yaml").exists()]
        move = (
            f"move {escape_control(', '.join(names))} to dataset/<name>.yaml, without the line of "
            "the name and its indentation, and remove 'data'"
        )
        raise ConfigError(
            "params.yaml: 'data' is not read, as each data set has a file of its own in dataset/: "
            f"{move if names else 'remove it'}."
        )
    file = path.parent / REQUESTED
    if not file.exists():
        return values, {}
    requested = check(Requested, _read(file, REQUESTED), f"{REQUESTED}:").model_dump()
    for key, more in requested.items():
        if isinstance(values.get(key), dict):  # anything else is told when all is checked
            if twice := sorted(values[key].keys() & more.keys()):
                raise ConfigError(
                    f"params.yaml: '{key}.{twice[0]}' stands in {REQUESTED} as well: give one of "
                    "them another name."
                )
            values[key] = {**values[key], **more}
    places = [f"{key}.{name}" for key, more in requested.items() for name in more]
    return values, {place: f"{REQUESTED}:{place}" for place in places}


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
    missing = sorted(known - values.keys())
    for name in values:  # in the order of the file
        if name not in known and difflib.get_close_matches(str(name), missing, n=1):
            raise ConfigError(unknown(f"key '{escape_control(name)}'", name, missing, ""))


def _read(path: Path, shown: str | None = None) -> dict[str, Any]:
    """The mapping in a YAML file. shown: its name in messages."""
    from ruamel.yaml import YAML, YAMLError  # YAML 1.2, as DVC reads it: 1e-3 is a number

    shown = shown or path.name
    try:
        values = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing: run from the root of the project.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        line = " ".join(str(error).split())
        raise ConfigError(f"{shown} is not valid YAML: {line}.") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{shown} holds no keys: it must be a mapping of names to values.")
    return values


def _short(path: Path) -> str:
    return Path(*path.parts[-3:]).as_posix()


def network_model() -> type[Network]:
    """Network, with a field for the options of each encoder."""
    encoders = {name: (load_encoder(name).Options, ...) for name in ENCODERS}
    return create_model("Network", __base__=Network, **encoders)

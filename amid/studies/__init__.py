"""Tables and figures, from params.yaml to reports/.

A study is one file with the type of its block in params.yaml, its runs (if it trains any of its
own), its table, its layout and its figure; `amid.studies.base.Study` is the contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amid.config import Params
    from amid.studies.base import Study

# Name: of the block in params.yaml, of the stage and of the files in reports/.
STUDIES: dict[str, str] = {
    "table1": "amid.studies.recognition:TABLE1",
    "table2": "amid.studies.retrieval:TABLE2",
    "table3": "amid.studies.folds:TABLE3",
    "figure3": "amid.studies.class_wise:FIGURE3",
    "table4": "amid.studies.recognition:TABLE4",
    "figure4": "amid.studies.gap_and_similarity:FIGURE4",
    "table5": "amid.studies.recognition:TABLE5",
    "figure5": "amid.studies.gap_and_similarity:FIGURE5",
    "table6": "amid.studies.sensitivity:TABLE6",
    "table_seeds": "amid.studies.seeds:TABLE_SEEDS",
    "table_selection": "amid.studies.selection:TABLE_SELECTION",
    "table_adversarial": "amid.studies.adversarial:TABLE_ADVERSARIAL",
    "table_headroom": "amid.studies.headroom:TABLE_HEADROOM",
    "table_benchmark": "amid.studies.benchmark:TABLE_BENCHMARK",
    "table_modalities": "amid.studies.modalities:TABLE_MODALITIES",
    "tune": "amid.studies.tune:TUNE",
    "table7": "amid.studies.contrastive:TABLE7",
    "table7_small": "amid.studies.contrastive:TABLE7_SMALL",
}


def get_study(name: str) -> Study:
    """The study of that name; ConfigError names the choices when there is none."""
    from amid.config import unknown
    from amid.errors import ConfigError

    if name not in STUDIES:
        raise ConfigError(unknown(f"study '{name}'", name, STUDIES, ""))
    return resolve_name(STUDIES[name])


def load_params(path: Path) -> Params:
    """Reads and checks params.yaml, the blocks of all studies included.

    A study on request has its block in pipelines/<study.trains>/params.yaml, beside its stages;
    where that file is missing, the study's field is None. Raises ConfigError with one sentence
    that says which key is wrong and why.
    """
    from amid import config

    studies = {name: get_study(name) for name in STUDIES}
    params = config.load(path, _blocks(studies, path))
    _check_trained(params, studies)
    for name, study in studies.items():
        if getattr(params, name, None) is not None:
            study.check(params)
    return params


def load_results_params(path: Path) -> Params:
    """`load_params` for stages that read results alone, without an import of torch.

    Numbers of methods, networks, extractors and data sets stay as they stand in the file, and the
    blocks of studies with runs of their own may not fit them: the stages that train checked both.
    """
    from amid import config

    studies = {name: get_study(name) for name in STUDIES}
    params = config.load_results(path, _blocks(studies, path))
    _check_trained(params, studies)
    for study in studies.values():
        if study.trains is None:
            study.check(params)
    return params


def _check_trained(params: Params, studies: Mapping[str, Study]) -> None:
    """Raises ConfigError unless a section trains every row of every list of rows; one sentence
    names all that are missing, so that who shortens a section learns at once what else to change.
    """
    from amid.errors import ConfigError
    from amid.studies.sections import ELSEWHERE

    lists: dict[str, Sequence[str]] = {}
    for name, study in studies.items():
        block = getattr(params, name, None)
        if block is not None:  # else the study has the rows of another
            lists[name if isinstance(block, list | tuple) else f"{name}.configurations"] = (
                study.rows(params)
            )
    lists["student.configurations"] = params.student.configurations
    trained = {row for rows in params.sections.values() for row in rows}
    missing = {
        key: [row for row in rows if row in params.configurations and row not in trained]
        for key, rows in lists.items()
    }
    named = [f"'{key}' names {', '.join(map(repr, rows))}" for key, rows in missing.items() if rows]
    if named:
        several = len(named) > 1 or len([row for rows in missing.values() for row in rows]) > 1
        it, key = ("them", "these lists") if several else ("it", named[0].split()[0])
        raise ConfigError(
            f"params.yaml: {'; '.join(named)}, which no entry of 'sections' trains: add {it} to "
            f"one, such as 'sections.{ELSEWHERE}', or take {it} out of {key}."
        )


def _blocks(studies: Mapping[str, Study], path: Path) -> dict[str, Any]:
    """The fields of studies in Params, as amid.config takes them."""
    extra: dict[str, Any] = {}
    for name, study in studies.items():
        if study.on_request:
            file = path.parent / "pipelines" / study.trains / "params.yaml"
            extra[name] = (study.block | None, None, file if file.exists() else None)
        elif study.block is not None:
            extra[name] = (study.block, ..., None)
    return extra

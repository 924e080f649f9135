"""The run records that a table is made of, as the training stages left them.

Enumerated from the parameters, never globbed: what an earlier choice left does not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from amid.config import Params
from amid.errors import AmidError
from amid.sums import check_sum
from amid.types import RunRecord

# {data set: {row of a table: its runs}}; what a row is, its loader says.
Records = Mapping[str, Mapping[str, Sequence[RunRecord]]]
FoldRecords = Mapping[str, Mapping[tuple[str, str], Sequence[RunRecord]]]
SelectionRecords = Mapping[str, Mapping[tuple[str, float, float], Sequence[RunRecord]]]
SensitivityRecords = Mapping[str, Mapping[tuple[str, float], Sequence[RunRecord]]]
TuneRecords = Mapping[str, Mapping[tuple[str, int], Sequence[RunRecord]]]

TARGET_ALONE = "V"  # Table 3's setup of the baseline: the target modality and no other


def load_records(params: Params, runs: Path, configurations: Sequence[str]) -> Records:
    """Row: a configuration. Records in the order of the seeds."""
    section_of = {c: name for name, section in params.sections.items() for c in section}
    for configuration in configurations:
        if configuration not in section_of:
            raise AmidError(
                f"params.yaml: no entry of 'sections' trains the configuration "
                f"'{configuration}' that a table asks for."
            )
    return {
        dataset: {
            name: _read(runs / section_of[name] / dataset / name, params.seeds)
            for name in configurations
        }
        for dataset in params.datasets
    }


def load_folds(params: Params, runs: Path) -> FoldRecords:
    """Row: (setup, configuration), the baseline's first. Records by fold, then by seed.

    A data set without setups is left out.
    """
    table = params.table3
    found = {}
    for dataset in params.datasets:
        setups = params.dataset(dataset).setups
        rows = [(setup, name) for setup in setups for name in table.configurations]
        if rows:
            found[dataset] = {
                (setup, name): [
                    record
                    for fold in table.folds
                    for record in _read(
                        runs / "folds" / dataset / setup / name / f"fold{fold}", table.seeds
                    )
                ]
                for setup, name in [(TARGET_ALONE, table.baseline), *rows]
            }
    return found


def load_selection(params: Params, runs: Path) -> SelectionRecords:
    """Row: (rule, kept ratio, share of mismatched pairs). Records in the order of the seeds."""
    from amid.runs.plan import selection_grid, selection_name  # few tables read the plan

    return {
        dataset: {
            row: _read(runs / "selection" / dataset / selection_name(*row), params.seeds)
            for row in selection_grid(params)
        }
        for dataset in params.datasets
    }


def load_sensitivity(params: Params, runs: Path) -> SensitivityRecords:
    """Row: (weight, value). Records in the order of the seeds."""
    from amid.runs.plan import sensitivity_grid, sensitivity_name

    return {
        dataset: {
            row: _read(runs / "sensitivity" / dataset / sensitivity_name(*row), params.seeds)
            for row in sensitivity_grid(params)
        }
        for dataset in params.datasets
    }


def load_adversarial(params: Params, runs: Path) -> Records:
    """Row: name of a reading, "without" first. Records in the order of the study's seeds."""
    from amid.runs.plan import adversarial_grid

    return {
        dataset: {
            name: _read(runs / "adversarial" / dataset / name, params.table_adversarial.seeds)
            for name in adversarial_grid(params)
        }
        for dataset in params.datasets
    }


def load_tune(params: Params, runs: Path) -> TuneRecords:
    """Row: (configuration, number of the trial). Records in the order of the seeds."""
    return {
        dataset: {
            (name, trial): _read(
                runs / "tune" / dataset / name / f"trial{trial}", params.tune.seeds
            )
            for name, trials in params.tune.trials.items()
            for trial in range(len(trials))
        }
        for dataset in params.datasets
    }


def _read(folder: Path, seeds: Sequence[int]) -> list[RunRecord]:
    found = []
    for seed in seeds:
        path = folder / f"seed{seed}" / "record.json"
        if not path.exists():
            raise AmidError(f"{path} is missing: run `dvc repro`.")
        check_sum(path)
        found.append(RunRecord.from_json(path.read_text(encoding="utf-8")))
    return found

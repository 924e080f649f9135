"""Which folds Table 3 is trained and told of."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from amid.config import Params
from amid.data.splits import features_fingerprint
from amid.errors import ConfigError
from amid.runs.plan import PlannedRun
from amid.studies import folds
from amid.studies.runs import planned_runs, settled
from tests.recorded import put, record
from tests.small import small_params, sum_all, write_data


def params_with(**values: object):
    params = small_params()
    return params.model_copy(update={"table3": params.table3.model_copy(update=values)})


def fold_runs(params: Params, dataset: str, folder: Path) -> list[PlannedRun]:
    fingerprint = partial(features_fingerprint, folder)
    return planned_runs("folds", settled("folds", params, dataset, folder), dataset, fingerprint)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set with the modalities of avlips, whose clips are in the folds 0 to 3."""
    return write_data(tmp_path / "avlips", modalities=("audio", "text"))


def test_all_folds_of_a_data_set_are_planned(data: Path) -> None:
    runs = fold_runs(params_with(folds="all"), "avlips", data)
    assert {run.spec.fold for run in runs} == {0, 1, 2, 3}
    asked = fold_runs(params_with(folds=[0, 1, 2, 3]), "avlips", data)
    assert [run.spec.key for run in runs] == [run.spec.key for run in asked]


def test_a_fold_that_is_not_there_is_told_before_training(data: Path) -> None:
    with pytest.raises(ConfigError, match=r"'table3\.folds' is \[0, 4\].*'avlips' are 0, 1, 2, 3"):
        fold_runs(params_with(folds=[0, 4]), "avlips", data)


def test_folds_that_are_left_out_are_told(data: Path, capsys: pytest.CaptureFixture) -> None:
    runs = fold_runs(params_with(folds=[1, 2]), "avlips", data)
    assert {run.spec.fold for run in runs} == {1, 2}
    assert "table3.folds names 2 of the 4 folds of avlips" in capsys.readouterr().out


def test_two_folds_cannot_be_cross_validated(data: Path) -> None:
    path = data / "features" / "index.parquet"
    index = pd.read_parquet(path)
    index["fold"] = index["fold"].where(index["fold"] < 0, index["fold"] % 2)
    index.to_parquet(path, index=False)
    sum_all(data / "features")
    with pytest.raises(ConfigError, match="its folds are 0, 1, and three are needed"):
        fold_runs(params_with(folds="all"), "avlips", data)


def test_a_data_set_without_setups_needs_no_folds(data: Path) -> None:
    params = params_with(folds=[7])
    assert params.dataset("grid").setups == {}
    assert fold_runs(params, "grid", data) == []


def test_the_table_reads_the_folds_that_were_trained(tmp_path: Path) -> None:
    params = params_with(folds="all", seeds=[0], configurations=["amid"])
    places = [("V", "student_alone"), *((setup, "amid") for setup in ("A-V", "L-V", "AL-V"))]
    for setup, configuration in places:
        for fold in range(11):  # in the order of numbers, not of names
            where = tmp_path / "folds" / "avlips" / setup / configuration / f"fold{fold}" / "seed0"
            put(record({"student": 30}, 0, fold=fold), where)
    found = folds.load(params, tmp_path)["avlips"]
    assert list(found) == places
    assert [run.spec.fold for run in found["A-V", "amid"]] == list(range(11))

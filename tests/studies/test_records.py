"""Tables read the records that params.yaml asks for, wherever else records lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from amid.errors import AmidError
from amid.studies import folds, selection, tune
from amid.studies.base import load_records
from tests.recorded import put, record
from tests.small import small_params


def test_records_are_enumerated_from_the_parameters(tmp_path: Path) -> None:
    params = small_params(seeds=[0, 1], datasets=["avlips"])
    for seed in (0, 1, 7):  # seed 7 is what an earlier choice left
        place = tmp_path / "amid" / "avlips" / "amid" / f"seed{seed}"
        put(record({"student": 30 + seed}, seed), place)
    found = load_records(params, tmp_path, ["amid"])
    assert [run.spec.seed for run in found["avlips"]["amid"]] == [0, 1]


def test_a_missing_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(AmidError, match=r"amid/seed0/record\.json is missing"):
        load_records(small_params(), tmp_path, ["amid"])


def test_a_configuration_that_no_section_trains_is_named(tmp_path: Path) -> None:
    params = small_params(sections={"amid": ["amid"]})
    with pytest.raises(AmidError, match="'l_ft'"):
        load_records(params, tmp_path, ["l_ft"])


def test_folds_by_setup_the_baseline_first_and_only_where_there_are_setups(tmp_path: Path) -> None:
    table = small_params().table3.model_copy(
        update={"folds": [0, 2], "seeds": [0, 1], "configurations": ["ccl", "amid"]}
    )
    params = small_params(datasets=["avlips", "grid"], table3=table)
    setups = params.dataset("avlips").setups
    places = [("V", "student_alone"), *((s, c) for s in setups for c in ("ccl", "amid"))]
    for setup, configuration in places:
        for fold in (0, 2):
            for seed in (0, 1):
                where = f"folds/avlips/{setup}/{configuration}/fold{fold}/seed{seed}"
                put(record({"student": 30}, seed, fold=fold), tmp_path / where)
    found = folds.load(params, tmp_path)
    assert list(found) == ["avlips"]
    assert list(found["avlips"]) == places
    runs = found["avlips"]["A-V", "amid"]
    assert [(r.spec.fold, r.spec.seed) for r in runs] == [(0, 0), (0, 1), (2, 0), (2, 1)]


def test_selection_by_rule_ratio_and_share(tmp_path: Path) -> None:
    table = small_params().table_selection.model_copy(
        update={
            "rules": {"random": {"name": "random"}},
            "ratios": [1.0, 0.5],
            "mismatch_ratios": [0.2],
        }
    )
    rows = [("all", 1.0, 0.2), ("random", 0.5, 0.2)]
    for row in rows:
        place = tmp_path / "selection" / "avlips" / selection.folder_name(*row) / "seed0"
        put(record({"student": 30}), place)
    found = selection.load(small_params(table_selection=table, seeds=[0]), tmp_path)
    assert list(found["avlips"]) == rows


def test_trials_by_configuration_and_number(tmp_path: Path) -> None:
    block = small_params().tune.model_copy(update={"seeds": [100], "trials": {"gmc": [{}, {}]}})
    for number in (0, 1):
        where = f"tune/avlips/gmc/trial{number}/seed100"
        put(record({"student": 30 + number}, 100), tmp_path / where)
    found = tune.load(small_params(tune=block), tmp_path)
    assert list(found["avlips"]) == [("gmc", 0), ("gmc", 1)]

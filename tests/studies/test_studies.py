"""The tables that the paper has not: noise against range, seeds needed, readings of one term."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_rel

from amid import config
from amid.studies import adversarial, rendering, seeds, sensitivity
from amid.studies.statistics import pooled_std, variance_test
from tests.recorded import record, runs
from tests.small import small_params


def swept(**means: list[list[int]]) -> dict:
    """{(weight, value): runs} of one data set, right clips of 50 a seed, values 1, 2, 3 ..."""
    return {
        (weight, float(n)): runs(*({"student": count, "teacher": 45} for count in counts))
        for weight, rows in means.items()
        for n, counts in enumerate(rows, 1)
    }


def with_values(**lists: list[float]) -> config.Params:
    params = small_params()
    return params.model_copy(update={"table6": params.table6.model_copy(update=lists)})


def test_table_6_marks_the_default_and_keeps_the_papers_numbers_beside() -> None:
    places = {
        ("alpha", 4.0): runs({"student": 30}, {"student": 32}),
        ("alpha", 16.0): runs({"student": 20}, {"student": 20}),
    }
    table = sensitivity.table6({"avlips": places}, {"alpha": 4.0})
    assert table["default"].tolist() == [True, False]
    assert table["student"].tolist() == [62.0, 40.0]
    assert table["paper_student"].tolist()[0] == 73.8
    text = rendering.markdown(table.assign(dataset="ucf51"), sensitivity.LAYOUT)
    assert "| alpha | 4 | 62.0 ± 2.8 | - | 62.0 ± 2.8 | yes | 73.8 |" in text
    assert "| alpha | 16 | 40.0 ± 0.0 | - | 40.0 ± 0.0 |  | - |" in text


def test_a_range_is_compared_with_the_noise_of_the_seeds() -> None:
    noisy = [[30, 34, 32], [33, 29, 35], [31, 35, 30]]
    wide = [[30, 31, 32], [20, 21, 23], [40, 41, 42]]
    places = swept(alpha=noisy, beta=wide, gamma=noisy)
    params = with_values(alpha=[1, 2, 3], beta=[1, 2, 3], gamma=[1, 2, 3], wide=[1.0, 3.0])
    table = sensitivity.noise({"avlips": places}, params)
    assert table["values"].tolist() == ["paper"] * 3 + ["wide"] * 3
    alpha, beta, gamma = table[table["values"] == "paper"].to_dict("records")
    assert alpha["spread"] == pytest.approx(2 * (32 + 1 / 3 - 32))
    assert beta["spread"] == pytest.approx(2 * (41 - 64 / 3))
    assert beta["best"] == 3.0
    assert alpha["std"] == pytest.approx(pooled_std([[2 * x for x in row] for row in noisy]).std)
    assert alpha["p"] == pytest.approx(variance_test(2 * np.array(noisy, dtype=float)))
    assert alpha["p"] > 0.5
    assert beta["p"] < 0.001
    assert beta["p_holm"] == pytest.approx(3 * beta["p"])
    assert gamma["p_holm"] == 1.0
    far = table[(table["values"] == "wide") & (table["weight"] == "beta")].iloc[0]
    assert (far["lowest"], far["highest"], far["count"]) == (1.0, 3.0, 2)
    assert "| paper | beta | 1 | 3 | 3 |" in rendering.markdown(table, sensitivity.LAYOUT_NOISE)


def test_one_seed_says_nothing_of_noise() -> None:
    places = swept(alpha=[[30], [32]], beta=[[30]], gamma=[[30]])
    params = with_values(alpha=[1, 2], beta=[1], gamma=[1], wide=[])
    table = sensitivity.noise({"avlips": places}, params)
    assert table["p"].isna().all()
    assert table["std"].isna().all()
    assert table["spread"].tolist() == [4.0, 0.0, 0.0]


def test_the_seeds_a_difference_needs_shrink_with_it_and_with_pairing() -> None:
    # seeds move both alike: their differences are steadier than they are
    rows = {
        "amid": runs(*({"student": n} for n in (30, 34, 38))),
        "l_ft": runs(*({"student": n} for n in (28, 33, 36))),
    }
    table = seeds.seeds({"avlips": rows}, small_params())
    unpaired, paired = (table[table["design"] == d] for d in ("unpaired", "paired"))
    assert unpaired["std"].tolist()[0] == pytest.approx(
        pooled_std([[60, 68, 76], [56, 66, 72]]).std
    )
    assert paired["std"].tolist()[0] == pytest.approx(pooled_std([[-4, -2, -4]]).std)
    assert unpaired["needed"].is_monotonic_decreasing
    assert (paired["needed"].to_numpy() < unpaired["needed"].to_numpy()).all()
    assert (table["needed_upper"] >= table["needed"]).all()
    single = {name: found[:1] for name, found in rows.items()}
    alone = seeds.seeds({"avlips": single}, small_params())
    assert alone["needed"].isna().all()
    assert "| paired | 0.5 | - | - | - | - | - |" in rendering.markdown(alone, seeds.LAYOUT)


def read(validation: list[float], test: list[int]) -> list:
    """A run a seed: validation accuracy of its best epoch, right test clips of 50."""
    return [
        record({"student": right}, seed, history=[{}, {"validation_student": value}])
        for seed, (value, right) in enumerate(zip(validation, test, strict=True))
    ]


def test_the_best_reading_is_chosen_on_validation_and_it_alone_is_tested() -> None:
    records = {
        "avlips": {
            "without": read([0.60, 0.62, 0.61], [30, 31, 30]),
            "default": read([0.62, 0.64, 0.64], [31, 31, 33]),
            "raw": read([0.50, 0.51, 0.50], [49, 49, 49]),  # best on test, which has no say
        },
        "grid": {
            "without": read([0.70, 0.72, 0.71], [35, 36, 35]),
            "default": read([0.70, 0.72, 0.72], [35, 36, 36]),
            "raw": read([0.72, 0.74, 0.73], [20, 21, 20]),
        },
    }
    table = adversarial.adversarial(records)
    assert set(table[table["chosen"]]["reading"]) == {"default"}
    rows = table[table["dataset"] == "avlips"].set_index("reading")
    assert rows.loc["default", "difference"] == pytest.approx(100 * (1.90 - 1.83) / 3)
    assert rows.loc["default", "p"] == pytest.approx(ttest_rel([62, 64, 64], [60, 62, 61]).pvalue)
    assert rows.loc["default", "test"] == pytest.approx(2 * 95 / 3)
    assert rows.loc["default", "p_test"] == pytest.approx(
        ttest_rel([62, 62, 66], [60, 62, 60]).pvalue
    )
    assert np.isnan(rows.loc["raw", "test"])
    assert np.isnan(rows.loc["without", "p"])
    text = rendering.markdown(table, adversarial.LAYOUT)
    assert "| `raw` |" in text
    assert "−" in text


def test_rows_of_sections_that_a_study_does_not_read_are_refused() -> None:
    from amid.errors import ConfigError
    from amid.studies.base import check_rows
    from amid.studies.sections import OF_METHODS

    params = small_params()
    check_rows(params, "table_new", ["ccl", "fixed_teacher"])
    check_rows(params, "table_new", ["ccl", "amid"], OF_METHODS)
    with pytest.raises(ConfigError, match=r"'fixed_teacher', which none of baselines, amid, comp"):
        check_rows(params, "table_new", ["ccl", "fixed_teacher"], OF_METHODS)
    with pytest.raises(ConfigError, match="'kd', which no entry of 'sections' trains"):
        check_rows(params, "table_new", ["kd"])

"""amid.serving.mlflow_model without a server: the clips of a request in each of MLflow's forms."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

mlflow = pytest.importorskip("mlflow")

from mlflow.exceptions import MlflowException  # noqa: E402

from amid.serving.mlflow_model import records, unpadded  # noqa: E402

ONE, TWO = [[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]]  # two steps, and one


def of(given) -> list[dict]:
    return [
        {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in r.items()
        }
        for r in records(given, "video", 2)
    ]


def test_columns_and_rows_of_paths_are_the_same_clips() -> None:
    rows = [{"path": "a", "start": 0.5}, {"path": "b", "start": 1.0}]
    columns = {"path": ["a", "b"], "start": [0.5, 1.0]}
    assert of(pd.DataFrame(rows)) == of(rows) == of(columns) == rows
    assert of({name: np.array(values) for name, values in columns.items()}) == rows
    assert of({"path": ["a", "b"], "start": 0.5}) == [{"path": p, "start": 0.5} for p in "ab"]


@pytest.mark.parametrize("given", ["a", ["a"], {"path": "a"}, np.array("a"), np.array(["a"])])
def test_one_path_is_one_clip(given) -> None:
    assert of(given) == [{"path": "a"}]


@pytest.mark.parametrize("given", [{"video": ONE}, ONE, np.array(ONE), {"video": np.array([ONE])}])
def test_features_of_one_clip_are_one_clip(given) -> None:
    assert of(given) == [{"video": ONE}]


def test_several_clips_may_have_several_lengths() -> None:
    wanted = [{"video": ONE}, {"video": TWO}]
    assert of([ONE, TWO]) == of({"video": [ONE, TWO]}) == wanted
    assert of([{"video": np.array(ONE)}, {"video": np.array(TWO)}]) == wanted
    assert of(pd.DataFrame({"video": [ONE, TWO]})) == wanted
    assert of(np.array([ONE, ONE])) == [{"video": ONE}] * 2


@pytest.mark.parametrize("given", [[], {}, {"path": []}, pd.DataFrame(), np.zeros((0, 2, 2))])
def test_no_clip_is_no_clip(given) -> None:
    assert of(given) == []


def test_columns_of_unequal_length_are_named() -> None:
    with pytest.raises(MlflowException, match="3 of 'path', 2 of 'start'"):
        of({"path": ["a", "b", "c"], "start": [0.0, 1.0]})


def test_padding_is_cut_from_sequences_of_any_length() -> None:
    padded = [*TWO, [None, None]]
    assert unpadded(padded, (None, 2)).tolist() == TWO
    assert unpadded([*TWO, [math.nan, 7.0]], (None, 2)).shape == (2, 2)  # refused later
    assert unpadded(padded, (2, 2)) is padded
    assert unpadded("text", (None, 2)) == "text"
    assert unpadded([[None, None]], (None, 2)).shape == (0, 2)

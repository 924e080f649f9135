"""The figures that `dvc plots` draws: their files are committed and have the columns."""

from __future__ import annotations

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests.small import ROOT

(*PLOTS,) = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["plots"]


def test_figures_3_to_6_are_declared() -> None:
    declared = {name for plot in PLOTS for name in plot}
    assert {f"reports/figure{number}" for number in (3, 4, 5, 6)} <= declared


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: next(iter(plot)))
def test_the_columns_of_a_plot_are_there(plot: dict) -> None:
    ((place, settings),) = plot.items()
    path = ROOT / place
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    assert files
    y = settings["y"]
    wanted = {settings["x"], *([y] if isinstance(y, str) else y)}
    for file in files:
        assert wanted <= set(pd.read_csv(file).columns), file

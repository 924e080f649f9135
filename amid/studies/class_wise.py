"""Figure 3: accuracy of two configurations class by class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from amid.config import Name, Params
from amid.core.types import RunRecord
from amid.errors import AmidError
from amid.io.atomic import replace_dir
from amid.studies import rendering
from amid.studies.base import TITLES, Records, Study, check_rows, load_records
from amid.studies.plotting import STYLES, escape_dollars, save_png, subplots
from amid.studies.sections import OF_METHODS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pair = Annotated[list[Name], Field(min_length=2, max_length=2)]


def class_wise(records: Records) -> pd.DataFrame:
    """Figure 3's data: the student's test Top-1 in each class, of two configurations, in per cent.

    Columns dataset, class, clips (of the test split), <configuration> (mean over seeds at the epoch
    chosen on validation) of both, difference (first minus second, in points), <configuration>_std
    (sample deviation over seeds) of both. Classes by falling difference, equals as in the data set.
    """
    tables = []
    for dataset, configurations in records.items():
        (first, of_first), (second, of_second) = configurations.items()
        labels = np.array(of_first[0].labels)
        classes = np.unique(labels)
        recalls = {first: _recalls(of_first, first), second: _recalls(of_second, second)}
        means = {name: values.mean(0) for name, values in recalls.items()}
        table = pd.DataFrame(
            {
                "dataset": dataset,
                "class": [of_first[0].classes[index] for index in classes],
                "clips": [int((labels == index).sum()) for index in classes],
                **means,
                "difference": means[first] - means[second],
                **{
                    f"{name}_std": values.std(0, ddof=1) if len(values) > 1 else np.nan
                    for name, values in recalls.items()
                },
            }
        )
        tables.append(table.sort_values("difference", ascending=False, kind="stable"))
    return pd.concat(tables, ignore_index=True)


def _recalls(runs: Sequence[RunRecord], configuration: str) -> np.ndarray:
    """(seeds, classes that occur in the labels), in per cent, classes ascending."""
    import torch

    from amid.training.metrics import class_accuracy

    rows = []
    for run in runs:
        predicted = run.predictions["best"].get("student")
        if predicted is None:
            raise AmidError(
                f"params.yaml: 'figure3' names '{configuration}', which trains no student: there "
                "is nothing to compare class by class."
            )
        by_class = class_accuracy(torch.tensor(predicted), torch.tensor(run.labels))
        rows.append([100 * recall for recall in by_class.values()])
    return np.array(rows)


def draw_class_wise(classes: pd.DataFrame) -> Figure:
    """Figure 3: class-wise accuracy of two configurations, one panel per data set, stacked.

    classes: as from class_wise.class_wise; its order is the order of the classes. Of each pair of
    bars the first configuration's is filled and the second's hatched, told apart without colour.
    """
    first, second = (name.removesuffix("_std") for name in classes if name.endswith("_std"))
    names = list(dict.fromkeys(classes["dataset"]))
    figure, axes = subplots(len(names), 1, (7.2, 0.3 + 2.9 * len(names)))
    for axis, name in zip(axes[:, 0], names, strict=True):
        panel = classes[classes["dataset"] == name].reset_index(drop=True)
        looks = ({"color": STYLES[0][0]}, {"fill": False, "hatch": "////", "linewidth": 0.6})
        for place, (configuration, look) in enumerate(zip((first, second), looks, strict=True)):
            axis.bar(
                panel.index + 0.42 * (place - 0.5), panel[configuration], 0.42,
                edgecolor=STYLES[place][0],
                label=TITLES.get(configuration, configuration), **look,
            )  # fmt: skip
        shown = list(map(escape_dollars, panel["class"]))
        axis.set_xticks(panel.index, shown, rotation=90, fontsize=7)
        axis.set_xlim(-0.7, len(panel) - 0.3)
        axis.set_xlabel(f"class, by falling difference {_short(first)} − {_short(second)}")
        axis.set_ylabel("student, test Top-1 (%)")
        axis.set_title(name, loc="left")
        axis.grid(axis="y", alpha=0.3)
        axis.legend(
            frameon=False, fontsize=8, ncols=2, loc="lower right", bbox_to_anchor=(1, 1),
            borderaxespad=0.2,
        )  # fmt: skip
    return figure


def _short(configuration: str) -> str:
    return TITLES.get(configuration, configuration).split(" (")[0]


def _write(params: Params, runs: Path, reports: Path) -> list[Path]:
    classes = class_wise(load_records(params, runs, params.figure3, OF_METHODS))
    files = []
    with replace_dir(reports / "figure3") as folder:  # a file a panel
        for dataset, rows in classes.groupby("dataset", sort=False):
            table = rendering.to_csv(rows.drop(columns="dataset"))
            rendering.write_text(folder / f"{dataset}.csv", table)
            files.append(reports / "figure3" / f"{dataset}.csv")
    save_png(draw_class_wise(classes), reports / "figure3.png")
    return [*files, reports / "figure3.png"]


FIGURE3 = Study(
    block=Pair,
    write=_write,
    check=lambda params: check_rows(params, "figure3", params.figure3),
    rows=lambda params: params.figure3,
    sections=OF_METHODS,
)

"""Run records -> the frames that figures draw: curves over epochs, accuracies of the classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from amid.errors import AmidError
from amid.records import Records
from amid.types import RunRecord


def gaps(records: Records) -> pd.DataFrame:
    """Figure 4's data: Top-1 of the teacher minus the student's, in points; as `over_epochs`."""
    return over_epochs(
        records,
        lambda now: 100 * (now["validation_teacher"] - now["validation_student"]),
        "figure4",
    )


def similarities(records: Records) -> pd.DataFrame:
    """Figure 5's data: mean cosine of teacher and student within a class; as `over_epochs`."""
    return over_epochs(records, lambda now: now["validation_within_class_similarity"], "figure5")


def over_epochs(
    records: Records, value: Callable[[dict[str, float]], float], figure: str
) -> pd.DataFrame:
    """A number of every epoch's metrics on the validation split, for runs with both networks.

    The test split is looked at after the training only. Columns dataset, configuration, epoch
    (from 1), value (mean over seeds), std (sample deviation). figure: its key in params.yaml.
    """
    rows = []
    for dataset, configurations in records.items():
        for configuration, runs in configurations.items():
            if "validation_teacher" not in runs[0].history[-1] or runs[0].selected_on != "student":
                raise AmidError(
                    f"params.yaml: '{figure}' names '{configuration}', which does not train both a "
                    "teacher and a student, with clips to validate on: there is no curve to draw."
                )
            curves = np.array([[value(now) for now in run.history] for run in runs])
            spread = curves.std(0, ddof=1) if len(runs) > 1 else np.zeros(curves.shape[1])
            for epoch, (mean, std) in enumerate(zip(curves.mean(0), spread, strict=True), 1):
                rows.append((dataset, configuration, epoch, mean, std))
    return pd.DataFrame(rows, columns=["dataset", "configuration", "epoch", "value", "std"])


def warmup_epochs(records: Records) -> dict[str, int]:
    """Data set -> epochs of the warm-up, for those with a run that has an adversarial phase."""
    found: dict[str, int] = {}
    for dataset, configurations in records.items():
        for runs in configurations.values():
            if "warmup_epochs" in runs[0].spec.options:
                found[dataset] = runs[0].spec.options["warmup_epochs"]
    return found


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """Curves of one data set, a row an epoch: epoch, <configuration>, <configuration>_std ..."""
    curves = {}
    for configuration, curve in table.groupby("configuration", sort=False):
        curves[configuration] = curve.set_index("epoch")["value"]
        curves[f"{configuration}_std"] = curve.set_index("epoch")["std"]
    return pd.DataFrame(curves).reset_index()


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

    from amid.metrics import class_accuracy

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

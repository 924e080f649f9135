"""The benchmark: all methods with enough seeds, under both training protocols, each against plain
KD and against the student alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from amid.config import Model, Name, Params, Positive
from amid.errors import ConfigError
from amid.runs.plan import Fingerprint, PlannedRun, configured_run
from amid.studies import rendering
from amid.studies.base import (
    BASELINE,
    Records,
    Study,
    check_configurations,
    check_distinct,
    configuration_column,
    read_records,
    student_accuracies,
    with_holm,
)
from amid.studies.plotting import save_png, subplots
from amid.studies.rendering import Column, Layout, number, p_value, signed, text
from amid.studies.statistics import critical_difference, friedman, interval, mean_std, paired_t

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEY = "table_benchmark"
Protocol = Literal["paper", "strong"]


class Block(Model):
    """protocols: training protocol -> how many seeds, from 0 on. configurations: whose students are
    compared. alone, plain: those of them that each is tested against: the student without any
    teacher, and plain knowledge distillation. level: of the intervals, the tests that count as won
    or lost, and the critical difference of ranks."""

    protocols: Annotated[dict[Protocol, Positive], Field(min_length=1)]
    configurations: Annotated[list[Name], Field(min_length=2)]
    alone: Name
    plain: Name
    level: Annotated[float, Field(gt=0, lt=1)]


def plan(params: Params, dataset: str, fingerprint: Fingerprint) -> list[PlannedRun]:
    """Every configuration under every protocol with its seeds. A run that a table has as well is
    the same run, and is trained once."""
    block = params.dataset(dataset)
    own = {name: value for name, value in block.training.items() if name != "protocol"}
    data = {**params.data, dataset: block.model_copy(update={"training": own})}
    params = params.model_copy(update={"data": data})
    return [
        configured_run(
            params,
            dataset,
            name,
            seed,
            fingerprint,
            folder=f"{protocol}/{name}/seed{seed}",
            training={"protocol": protocol},
        )
        for protocol, seeds in params.table_benchmark.protocols.items()
        for name in params.table_benchmark.configurations
        for seed in range(seeds)
    ]


def load(params: Params, runs: Path) -> dict[str, Records]:
    """{protocol: records}. Row: a configuration; records in the order of the seeds."""
    block = params.table_benchmark
    return {
        protocol: {
            dataset: {
                name: read_records(
                    runs / "benchmark" / dataset / protocol / name, list(range(seeds))
                )
                for name in block.configurations
            }
            for dataset in params.datasets
        }
        for protocol, seeds in block.protocols.items()
    }


# ---------------------------------------------------------------------------------- numbers


def benchmark(records: dict[str, Records], block: Block) -> pd.DataFrame:
    """One row a data set, protocol and configuration: the student's test Top-1 in per cent.

    interval: half the width of the mean's confidence interval over seeds. Against `alone` and
    against `plain`, of the pairs of runs with one seed: difference_x in points with interval_x,
    effect_x (the mean difference over its deviation), p_x of a paired t test and p_x_holm,
    corrected within a data set and protocol. rank: mean over the seeds of the place among the
    configurations, 1 the best, ties shared. friedman: p that the ranks are those of chance.
    critical: difference of mean ranks beyond which two differ, by Nemenyi's test.
    """
    rows = []
    for protocol, of_datasets in records.items():
        for dataset, of_names in of_datasets.items():
            accuracies = dict(
                zip(of_names, student_accuracies(list(of_names.values())), strict=True)
            )
            table = np.array(list(accuracies.values()))  # (configurations, seeds)
            ranks = _ranks(table).mean(axis=1)
            of_all = {"dataset": dataset, "protocol": protocol, "seeds": table.shape[1]}
            of_all["friedman"] = friedman(table)
            of_all["critical"] = critical_difference(*table.shape, level=block.level)
            for (name, values), rank in zip(accuracies.items(), ranks, strict=True):
                row = {**of_all, "configuration": name, "rank": float(rank)}
                row["student"], row["student_std"] = mean_std(list(values))
                row["interval"] = interval(values, block.level)
                for other in ("alone", "plain"):
                    reference = accuracies[getattr(block, other)]
                    same = name == getattr(block, other)
                    row |= _compared(values, reference, other, block.level, same)
                rows.append(row)
    return with_holm(pd.DataFrame(rows), ["dataset", "protocol"], "p_alone", "p_plain")


def _compared(
    values: np.ndarray, reference: np.ndarray, other: str, level: float, same: bool
) -> dict[str, float | None]:
    if same:
        names = ("difference", "interval", "effect", "p")
        return dict.fromkeys(f"{name}_{other}" for name in names)
    mean, std = mean_std(list(values - reference))
    return {
        f"difference_{other}": mean,
        f"interval_{other}": interval(values - reference, level),
        f"effect_{other}": mean / std if std else None,
        f"p_{other}": paired_t(list(values), list(reference)),
    }


def _ranks(table: np.ndarray) -> np.ndarray:
    """(configurations, seeds) -> places in each seed, 1 the highest value, ties shared."""
    from scipy.stats import rankdata

    return rankdata(-table, axis=0)


def won_and_lost(table: pd.DataFrame, level: float) -> pd.DataFrame:
    """One row a protocol and configuration, over all data sets: mean_rank, and against `alone` and
    against `plain` on how many it is ahead (won_x) or behind (lost_x) with a p after Holm's
    correction below `level`, or neither (drawn_x)."""
    rows = []
    for (protocol, name), group in table.groupby(["protocol", "configuration"], sort=False):
        row = {"dataset": "all", "protocol": protocol, "configuration": name}
        row |= {"data_sets": len(group), "mean_rank": float(group["rank"].mean())}
        for other in ("alone", "plain"):
            difference = group[f"difference_{other}"].astype(float)
            clear = group[f"p_{other}_holm"] < level
            counted = difference.notna()
            won, lost = int((clear & (difference > 0)).sum()), int((clear & (difference < 0)).sum())
            row |= {f"won_{other}": won, f"drawn_{other}": int(counted.sum()) - won - lost}
            row[f"lost_{other}"] = lost
        rows.append(row)
    return pd.DataFrame(rows)


# ---------------------------------------------------------------------------------- layout, figure

LAYOUT = Layout(
    "Benchmark",
    (
        Column("protocol", "protocol", "protocol", text, left=True),
        configuration_column(BASELINE),
        Column("seeds", "seeds", "seeds", text),
        Column("student", "student", "student"),
        Column("interval", "± of the mean", None, number),
        Column("difference_alone", "to student alone", "to alone", signed),
        Column("interval_alone", "±", None, number),
        Column("effect_alone", "effect", None, number),
        Column("p_alone_holm", "p", "$p$", p_value),
        Column("difference_plain", "to KD", "to KD", signed),
        Column("interval_plain", "±", None, number),
        Column("effect_plain", "effect", None, number),
        Column("p_plain_holm", "p", "$p$", p_value),
        Column("rank", "rank", "rank", number),
        Column("critical", "critical difference of ranks", None, number),
    ),
    "Test Top-1 of the student in per cent, mean ± sample standard deviation over seeds; protocol "
    "paper: at the epoch where the student is best on validation; strong: the average of the "
    "weights at the last epoch. The test split takes no part in any choice. ±: half the width of "
    "the confidence interval of the mean, and of the mean difference, seed by seed. effect: the "
    "mean difference over its deviation. p: two-sided paired t tests over seeds with Holm's "
    "correction within a data set and protocol. rank: mean place among the configurations of one "
    "seed, 1 the best; two whose ranks differ by less than the critical difference are not told "
    "apart by Nemenyi's test, whose blocks are the seeds: what it says holds for this data set. "
    "The student is the same network in every row, so that it costs the same at test time.",
    heading="{dataset}",
)

LAYOUT_ALL = Layout(
    "Benchmark: won, drawn, lost",
    (
        Column("protocol", "protocol", "protocol", text, left=True),
        configuration_column(BASELINE),
        Column("mean_rank", "mean rank", "mean rank", number),
        *(
            Column(f"{what}_{other}", f"{what} against {title}", f"{what}", text)
            for other, title in (("alone", "student alone"), ("plain", "KD"))
            for what in ("won", "drawn", "lost")
        ),
    ),
    "On how many data sets a configuration is ahead of another or behind it with p after Holm's "
    "correction below the level; the rest are drawn. mean rank: over the data sets, without a "
    "test: they are too few for one.",
    heading="{data_sets} data sets",
)


def draw(table: pd.DataFrame, block: Block) -> Figure:
    """Gains over the student alone with their intervals, a panel a data set and protocol; the
    broken line is the gain of plain KD."""
    places = list(dict.fromkeys(zip(table["dataset"], table["protocol"], strict=True)))
    names = [name for name in block.configurations if name != block.alone]
    size = (2.2 + 2.6 * len(places), 1.0 + 0.26 * len(names))
    figure, axes = subplots(1, len(places), size, sharey="row")
    for axis, (dataset, protocol) in zip(axes[0], places, strict=True):
        here = table[(table["dataset"] == dataset) & (table["protocol"] == protocol)]
        here = here.set_index("configuration").loc[names]
        gains = here["difference_alone"].astype(float)
        errors = here["interval_alone"].astype(float).fillna(0)
        axis.errorbar(gains, range(len(names)), xerr=errors, fmt="o", color="#0072B2", capsize=2)
        axis.axvline(0, color="#000000", linewidth=0.8)
        if block.plain in gains.index:
            axis.axvline(gains[block.plain], color="#D55E00", linestyle="--", linewidth=0.9)
        axis.set_title(f"{dataset}, {protocol}", fontsize=10)
        axis.set_xlabel("points over the student alone")
        axis.grid(alpha=0.3, axis="x")
    axes[0, 0].set_yticks(range(len(names)), [BASELINE.get(name, name) for name in names])
    axes[0, 0].invert_yaxis()
    return figure


# ---------------------------------------------------------------------------------- the study


def _check(params: Params) -> None:
    block = params.table_benchmark
    check_configurations(params, f"{KEY}.configurations", block.configurations)
    check_distinct(f"{KEY}.configurations", block.configurations)
    for field in ("alone", "plain"):
        if getattr(block, field) not in block.configurations:
            raise ConfigError(
                f"params.yaml: '{KEY}.{field}' names '{getattr(block, field)}', which is not "
                f"among '{KEY}.configurations': add it there."
            )
    for name in block.configurations:
        if params.resolved(name).method == "teacher":
            raise ConfigError(
                f"params.yaml: '{KEY}.configurations' names '{name}', which trains no student: "
                "take it out."
            )


def _write(params: Params, runs: Path, reports: Path) -> list[Path]:
    block = params.table_benchmark
    table = benchmark(load(params, runs), block)
    counts = won_and_lost(table, block.level)
    files = rendering.write(table, LAYOUT, reports, KEY)
    files += rendering.write(counts, LAYOUT_ALL, reports, f"{KEY}_all")
    save_png(draw(table, block), reports / f"{KEY}.png")
    return [*files, reports / f"{KEY}.png"]


TABLE_BENCHMARK = Study(
    block=Block, write=_write, check=_check, trains="benchmark", plan=plan, on_request=True
)

"""The benchmark: all methods with enough seeds, under both training protocols, each against plain
KD and against the student alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from amid.config import Model, Name, Params, Positive
from amid.core.types import RunRecord
from amid.errors import AmidError, ConfigError
from amid.io.canonical_json import canonical_json
from amid.runs.plan import Fingerprint, PlannedRun, configured_run
from amid.studies import rendering
from amid.studies.base import (
    Study,
    check_configurations,
    check_distinct,
    read_records,
    student_accuracies,
    with_holm,
)
from amid.studies.benchmark_layout import KEY, LAYOUT, LAYOUT_ALL, draw_gains, draw_ranks, note
from amid.studies.plotting import save_png
from amid.studies.statistics import critical_difference, friedman, interval, mean_std, paired_t
from amid.training.job import MODEL

if TYPE_CHECKING:
    from amid.runs.model_sizes import Trained

# {(data set, protocol): {configuration: its runs in the order of the seeds}}
Panels = Mapping[tuple[str, str], Mapping[str, Sequence[RunRecord]]]
Protocol = Literal["paper", "strong"]
# Column of the table -> the number of a run's sizes.
SIZES: Mapping[str, Callable[[Trained], int]] = {
    "trained": lambda size: size.total,
    **{f"trained_{part}": attrgetter(part) for part in ("student", "teacher", "method")},
    "memory": attrgetter("memory"),
}


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


def load(params: Params, runs: Path) -> tuple[Panels, list[str]]:
    """The records of each data set and protocol that was trained, and a sentence for each that was
    not. Row: a configuration; records in the order of the seeds."""
    block = params.table_benchmark
    panels: dict[tuple[str, str], Mapping[str, Sequence[RunRecord]]] = {}
    missing = []
    for dataset in params.datasets:
        for protocol, seeds in block.protocols.items():
            folder = runs / "benchmark" / dataset / protocol
            if not folder.is_dir():
                missing.append(f"{dataset}, protocol {protocol}: not trained for this benchmark.")
                continue
            rows = {
                name: read_records(folder / name, range(seeds)) for name in block.configurations
            }
            if all(run.labels for of in rows.values() for run in of):
                panels[dataset, protocol] = rows
            else:
                missing.append(f"{dataset}, protocol {protocol}: there are no test clips.")
    return panels, missing


def deployed_parameters(panels: Panels, runs: Path) -> dict[str, int | None]:
    """{data set: number of parameters of the student as it is deployed}, of the model file of one
    run; None where that is missing, or where the runs do not have the same student."""
    networks: dict[str, set[str]] = {}
    models: dict[str, Path] = {}
    for (dataset, protocol), rows in panels.items():
        for name, (run, *_) in rows.items():
            folder = runs / "benchmark" / dataset / protocol / name / f"seed{run.spec.seed}"
            models.setdefault(dataset, folder / MODEL)
            student = {key: value for key, value in run.spec.network.items() if key != "fusion"}
            networks.setdefault(dataset, set()).add(canonical_json([student, run.classes]))
    return {
        name: _parameters(models[name]) if len(of) == 1 and models[name].exists() else None
        for name, of in networks.items()
    }


def trained(panels: Panels, params: Params, runs: Path) -> dict[tuple[str, str, str], Trained]:
    """{(data set, protocol, configuration): the parameters that a run of it trains}. Left out is
    what the runs do not tell: without a model file, and where an auxiliary modality's features
    serve as embeddings, whose width no record has."""
    from amid.core.checkpoint import read_checkpoint
    from amid.runs.model_sizes import trained_parameters

    network = params.network
    fusion = network["fusion"] if isinstance(network, dict) else network.fusion.model_dump()
    found = {}
    for (dataset, protocol), rows in panels.items():
        for name, (run, *_) in rows.items():
            folder = runs / "benchmark" / dataset / protocol / name / f"seed{run.spec.seed}"
            cards = [run.extractors.get(modality, {}) for modality in run.spec.auxiliary]
            if not (folder / MODEL).exists() or any(c.get("encoder") == "none" for c in cards):
                continue
            _, card = read_checkpoint(folder / MODEL)
            found[dataset, protocol, name] = trained_parameters(
                run.spec,
                classes=len(run.classes),
                shape=tuple(card["shape"]),
                widths=dict.fromkeys(run.spec.auxiliary, run.spec.network["dim"]),
                fusion=fusion,
            )
    return found


def _parameters(model: Path) -> int:
    from amid.core.checkpoint import read_checkpoint
    from amid.training.model_file import load_model

    weights, card = read_checkpoint(model)
    return sum(p.numel() for p in load_model(card, weights, model).parameters())


# ---------------------------------------------------------------------------------- numbers


def benchmark(
    panels: Panels,
    block: Block,
    parameters: Mapping[str, int | None] | None = None,
    sizes: Mapping[tuple[str, str, str], Trained] | None = None,
) -> pd.DataFrame:
    """One row a data set, protocol and configuration: the student's test Top-1 in per cent.

    interval: half the width of the mean's confidence interval over seeds. Against `alone` and
    against `plain`, of the pairs of runs with one seed: difference_x in points with interval_x,
    effect_x (the mean difference over its deviation), p_x of a paired t test and p_x_holm,
    corrected within a data set and protocol. rank: mean over the seeds of the place among the
    configurations, 1 the best, ties shared. friedman: p that the ranks are those of chance.
    critical: difference of mean ranks beyond which two differ, by Nemenyi's test. level: of all
    these. parameters: of the student as it is deployed, as from `deployed_parameters`. trained: all
    parameters that a run trains, and of them trained_student, trained_teacher, trained_method, with
    memory as from `trained` (amid.runs.model_sizes.Trained).
    """
    rows = []
    for (dataset, protocol), of_names in panels.items():
        accuracies = dict(zip(of_names, student_accuracies(list(of_names.values())), strict=True))
        table = np.array(list(accuracies.values()))  # (configurations, seeds)
        ranks = _ranks(table).mean(axis=1)
        of_all = {"dataset": dataset, "protocol": protocol, "seeds": table.shape[1]}
        of_all |= {"level": block.level, "parameters": (parameters or {}).get(dataset)}
        of_all["friedman"] = friedman(table)
        of_all["critical"] = critical_difference(*table.shape, level=block.level)
        for (name, values), rank in zip(accuracies.items(), ranks, strict=True):
            row = {**of_all, "configuration": name, "rank": float(rank)}
            row["student"], row["student_std"] = mean_std(list(values))
            row["interval"] = interval(values, block.level)
            size = (sizes or {}).get((dataset, protocol, name))
            row |= {column: None if size is None else of(size) for column, of in SIZES.items()}
            for other in ("alone", "plain"):
                reference = accuracies[getattr(block, other)]
                same = name == getattr(block, other)
                row |= _compared(values, reference, other, block.level, same)
            rows.append(row)
    table = with_holm(pd.DataFrame(rows), ["dataset", "protocol"], "p_alone", "p_plain")
    return table.astype(dict.fromkeys(("parameters", *SIZES), "Int64"))


def per_seed(panels: Panels) -> pd.DataFrame:
    """One row a run: what the means are made of, with the run's name in MLflow."""
    return pd.DataFrame(
        {"dataset": dataset, "protocol": protocol, "configuration": name, "seed": run.spec.seed}
        | {"run": run.key, "epoch": run.best_epoch + 1, "student": 100 * run.accuracy("student")}
        for (dataset, protocol), rows in panels.items()
        for name, records in rows.items()
        for run in records
    )


def _compared(
    values: np.ndarray, reference: np.ndarray, other: str, level: float, same: bool
) -> dict[str, float | None]:
    if same:
        names = ("difference", "interval", "effect", "p")
        return dict.fromkeys(f"{name}_{other}" for name in names)
    mean, std = mean_std(list(values - reference))
    p = paired_t(list(values), list(reference))
    return {
        f"difference_{other}": mean,
        f"interval_{other}": interval(values - reference, level),
        f"effect_{other}": None if p is None else mean / std,  # all differences equal: no deviation
        f"p_{other}": p,
    }


def _ranks(table: np.ndarray) -> np.ndarray:
    """(configurations, seeds) -> places in each seed, 1 the highest value, ties shared."""
    from scipy.stats import rankdata

    return rankdata(-table, axis=0)


def won_and_lost(table: pd.DataFrame) -> pd.DataFrame:
    """One row a protocol and configuration, over all data sets: mean_rank, and against `alone` and
    against `plain` on how many it is ahead (won_x) or behind (lost_x) with a p after Holm's
    correction below the level, or neither (drawn_x)."""
    rows = []
    for (protocol, name), group in table.groupby(["protocol", "configuration"], sort=False):
        row = {"dataset": "all", "protocol": protocol, "configuration": name}
        row |= {"data_sets": len(group), "mean_rank": float(group["rank"].mean())}
        for other in ("alone", "plain"):
            difference = group[f"difference_{other}"].astype(float)
            clear = group[f"p_{other}_holm"] < group["level"]
            counted = difference.notna()
            won, lost = int((clear & (difference > 0)).sum()), int((clear & (difference < 0)).sum())
            row |= {f"won_{other}": won, f"drawn_{other}": int(counted.sum()) - won - lost}
            row[f"lost_{other}"] = lost
        rows.append(row)
    return pd.DataFrame(rows)


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
    panels, missing = load(params, runs)
    if not panels:
        raise AmidError(
            f"There is nothing to compare ({' '.join(missing)[:-1]}): run "
            "`dvc repro pipelines/benchmark/dvc.yaml`."
        )
    block = params.table_benchmark
    deployed, sizes = deployed_parameters(panels, runs), trained(panels, params, runs)
    table = benchmark(panels, block, deployed, sizes)
    layout = replace(LAYOUT, note=f"{note(table)} std: sample standard deviation over seeds.")
    files = rendering.write(table, layout, reports, KEY, missing)
    files += rendering.write(won_and_lost(table), LAYOUT_ALL, reports, f"{KEY}_all")
    seeds = rendering.to_csv(per_seed(panels))
    files.append(rendering.write_text(reports / f"{KEY}_seeds.csv", seeds))
    for name, draw in ((KEY, draw_gains), (f"{KEY}_ranks", draw_ranks)):
        files.append(reports / f"{name}.png")
        save_png(draw(table), files[-1])
    return files


TABLE_BENCHMARK = Study(
    block=Block, write=_write, check=_check, trains="benchmark", plan=plan, on_request=True
)

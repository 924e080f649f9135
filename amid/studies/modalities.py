"""Missing modalities at test: one teacher trained with modality dropout on every subset of the
modalities, against a network trained on exactly that subset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from amid.config import Model, Name, Params, Positive
from amid.core.types import RunRecord
from amid.errors import AmidError, ConfigError
from amid.io.checksums import verify
from amid.runs.plan import Fingerprint, PlannedRun, configured_run
from amid.studies import rendering
from amid.studies.base import Study, check_configurations, read_records, with_holm
from amid.studies.plotting import STYLES, escape_dollars, save_png, subplots
from amid.studies.rendering import Column, Layout, mark, p_value, signed, text
from amid.studies.statistics import mean_std, paired_t

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KEY = "table_modalities"  # of the files
PREDICTIONS = "predictions.json"
AGAIN = "run `dvc repro pipelines/modalities/dvc.yaml`"
# Rows of runs: the teacher with modality dropout, the one without, and a network a subset.
DROPOUT, WHOLE, OWN = "dropout", "whole", "own"
SHOWN = {
    OWN: "trained on this subset",
    DROPOUT: "teacher, modality dropout",
    WHOLE: "teacher, no modality dropout",
}


class Block(Model):
    """protocol: of all runs. modality_dropout: of the teacher that is to stand missing modalities;
    the other networks have none. teacher: a configuration of the teacher alone, whose network is
    also trained on each subset of two modalities or more. alone: one of the student alone, for a
    single modality. seeds: how many, from 0 on."""

    protocol: Literal["paper", "strong"]
    modality_dropout: Annotated[float, Field(gt=0, lt=1)]
    teacher: Name
    alone: Name
    seeds: Positive


@dataclass(frozen=True)
class Panel:
    """The runs of one data set.

    target: the modality that is never hidden in training. own: subset -> the records of the
    networks trained on it, by seed. right: row of a teacher -> (subsets, seeds) test Top-1, in
    per cent. teachers: row -> records by seed.
    """

    target: str
    own: Mapping[tuple[str, ...], Sequence[RunRecord]]
    right: Mapping[str, np.ndarray]
    teachers: Mapping[str, Sequence[RunRecord]]


def subsets(params: Params, dataset: str) -> list[tuple[str, ...]]:
    """Every non-empty subset of the modalities that the data set extracts, small ones first, the
    target before the others."""
    block = params.dataset(dataset)
    names = [block.target, *(name for name in block.extract if name != block.target)]
    return [subset for size in range(len(names)) for subset in combinations(names, size + 1)]


def plan(params: Params, dataset: str, fingerprint: Fingerprint) -> list[PlannedRun]:
    """Both teachers of all modalities, and a network of every other subset, each with its seeds.

    A network of several modalities is the teacher's: it encodes the first of them itself, as the
    teacher does the target, and joins the frozen embeddings of the others.
    """
    block, every = params.table_modalities, subsets(params, dataset)
    places = [(DROPOUT, every[-1], block.modality_dropout), (WHOLE, every[-1], 0.0)]
    places += [(folder_name(subset), subset, 0.0) for subset in every[:-1]]
    return [
        configured_run(
            _with(params, dataset, subset[0], dropout),
            dataset,
            block.teacher if len(subset) > 1 else block.alone,
            seed,
            fingerprint,
            folder=f"{folder}/seed{seed}",
            auxiliary=subset[1:],
        )
        for folder, subset, dropout in places
        for seed in range(block.seeds)
    ]


def folder_name(subset: Sequence[str]) -> str:
    """Folder of the networks trained on a subset."""
    return f"{OWN}/{'+'.join(subset)}"


def _with(params: Params, dataset: str, target: str, dropout: float) -> Params:
    """The parameters with another target of the data set, and the study's training numbers."""
    block = params.dataset(dataset)
    encoders = dict(block.encoders)
    if encoders.get(target) == "none":  # features that serve as embeddings
        encoders[target] = "mlp"
    numbers = {"protocol": params.table_modalities.protocol, "modality_dropout": dropout}
    update = {"target": target, "encoders": encoders, "training": {**block.training, **numbers}}
    return params.model_copy(
        update={"data": {**params.data, dataset: block.model_copy(update=update)}}
    )


def load(params: Params, runs: Path) -> dict[str, Panel]:
    """Records of the networks, and accuracies of the teachers by what the stage `missing` found."""
    seeds = range(params.table_modalities.seeds)
    panels = {}
    for dataset in params.datasets:
        folder, every = runs / "modalities" / dataset, subsets(params, dataset)
        teachers = {row: read_records(folder / row, seeds) for row in (DROPOUT, WHOLE)}
        own = {subset: read_records(folder / folder_name(subset), seeds) for subset in every[:-1]}
        own[every[-1]] = teachers[WHOLE]
        path = runs / "missing" / dataset / PREDICTIONS
        if not path.exists():
            raise AmidError(f"{path} is missing: {AGAIN}.")
        verify(path)
        found = json.loads(path.read_text(encoding="utf-8"))
        if any(run.key not in found[row] for row, of in teachers.items() for run in of):
            raise AmidError(f"{path} is of other runs than those in {folder}: {AGAIN}.")
        right = {
            row: np.array([_accuracies(found[row], records, subset) for subset in every])
            for row, records in teachers.items()
        }
        panels[dataset] = Panel(params.dataset(dataset).target, own, right, teachers)
    return panels


def _accuracies(
    found: Mapping[str, Mapping[str, Sequence[int]]],
    records: Sequence[RunRecord],
    subset: Sequence[str],
) -> list[float]:
    """Test Top-1 in per cent of a teacher's runs, given a subset. found: run -> subset ->
    predictions."""
    return [
        100 * float(np.mean(np.equal(found[run.key]["+".join(subset)], run.labels)))
        for run in records
    ]


# ---------------------------------------------------------------------------------- numbers


def modalities(panels: Mapping[str, Panel]) -> pd.DataFrame:
    """One row a data set and subset of modalities: test Top-1 in per cent, means over seeds.

    own: the network trained on exactly this subset. dropout, whole: the teacher of all modalities
    with and without modality dropout, given this subset. seen: whether the teacher with dropout
    was trained on such clips. difference: dropout less own, in points, with p_own of a paired t
    test over seeds; p_whole: the same test of dropout against whole; both corrected by Holm within
    a data set. Undefined where the data set has no test clips.
    """
    rows = []
    for dataset, panel in panels.items():
        for n, (subset, records) in enumerate(panel.own.items()):
            own = [_top1(run) for run in records]
            dropout, whole = (list(panel.right[row][n]) for row in (DROPOUT, WHOLE))
            row = {"dataset": dataset, "seeds": len(records), "subset": " + ".join(subset)}
            row["seen"] = panel.target in subset
            for name, values in ((OWN, own), (DROPOUT, dropout), (WHOLE, whole)):
                row[name], row[f"{name}_std"] = mean_std(values)
            row["difference"], row["difference_std"] = mean_std(np.subtract(dropout, own).tolist())
            row |= {"p_own": paired_t(dropout, own), "p_whole": paired_t(dropout, whole)}
            rows.append(row)
    return with_holm(pd.DataFrame(rows), ["dataset"], "p_own", "p_whole")


def per_seed(panels: Mapping[str, Panel]) -> pd.DataFrame:
    """One row a run and subset: what the means are made of, with the run's name in MLflow."""
    rows = []
    for dataset, panel in panels.items():
        for n, (subset, records) in enumerate(panel.own.items()):
            of = {"dataset": dataset, "subset": " + ".join(subset)}
            rows += [_row(of, OWN, run, _top1(run)) for run in records]
            for row, teachers in panel.teachers.items():
                values = panel.right[row][n]
                rows += [_row(of, row, *one) for one in zip(teachers, values, strict=True)]
    return pd.DataFrame(rows)


def _row(of: Mapping[str, str], name: str, run: RunRecord, top1: float) -> dict[str, object]:
    place = {"network": name, "seed": run.spec.seed, "run": run.key, "epoch": run.best_epoch + 1}
    return {**of, **place, "top1": top1}


def _top1(run: RunRecord) -> float:
    """Test Top-1 in per cent by the head that the run selects on."""
    return 100 * run.accuracy(run.selected_on)


# ---------------------------------------------------------------------------------- layout, figure

LAYOUT = Layout(
    "Missing modalities at test",
    (
        Column("subset", "modalities at test", "modalities", text, left=True),
        Column("seen", "in training", None, mark),
        Column(OWN, SHOWN[OWN], "own network"),
        Column(DROPOUT, SHOWN[DROPOUT], "teacher"),
        Column("difference", "difference", "difference", signed),
        Column("p_own_holm", "p", "$p$", p_value),
        Column(WHOLE, SHOWN[WHOLE], "no dropout"),
        Column("p_whole_holm", "p, to no dropout", None, p_value),
    ),
    "Test Top-1 in per cent, mean ± sample standard deviation over seeds; the test split takes no "
    "part in any choice. trained on this subset: a network that has these modalities and no others "
    "in training and at test, and no modality dropout; with several it is the teacher's network, "
    "which encodes the first of them and joins the frozen embeddings of the others. teacher: one "
    "network trained on all modalities. Zeros take the place of a missing auxiliary embedding, as "
    "in training with modality dropout. in training: whether the teacher with dropout was trained "
    "on such clips. It never goes without the target; where the target is missing, the mean of its "
    "encoding over the training clips takes its place, which is our definition and nothing that "
    "the teacher was trained for. difference: teacher with dropout less the network of the subset, "
    "in points. p: two-sided paired t tests over seeds with Holm's correction within a data set.",
)


def draw(table: pd.DataFrame, *, titled: bool = True) -> Figure:
    """Top-1 of the three networks on each subset, with one standard deviation over seeds; a panel
    a data set. Shaded: subsets that the teacher was not trained on."""
    names = list(dict.fromkeys(table["dataset"]))
    most = max(table["dataset"].value_counts())
    figure, axes = subplots(len(names), 1, (7.2, 0.9 + 0.46 * most * len(names)))
    for axis, name in zip(axes[:, 0], names, strict=True):
        _draw_panel(axis, table[table["dataset"] == name])
        if titled:
            axis.set_title(escape_dollars(name), fontsize=10)
    shown, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(shown, labels, loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    return figure


def _draw_panel(axis: Axes, rows: pd.DataFrame) -> None:
    places = np.arange(len(rows))
    for n, (name, label) in enumerate(SHOWN.items()):
        color, _, marker = STYLES[n]
        std = rows[f"{name}_std"].astype(float).fillna(0)
        y = places + 0.22 * (n - 1)
        axis.errorbar(
            rows[name], y, xerr=std, fmt=marker, color=color, markersize=5, capsize=2.5,
            linewidth=1.2, label=label,
        )  # fmt: skip
    for place, seen in zip(places, rows["seen"], strict=True):
        if not seen:
            axis.axhspan(place - 0.5, place + 0.5, color="#b0b0b0", alpha=0.2, linewidth=0)
    axis.set_yticks(places, [escape_dollars(name) for name in rows["subset"]])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xlabel("test Top-1 (%); shaded: not met in training by the teacher")
    axis.grid(alpha=0.3, axis="x")
    axis.spines[["top", "right"]].set_visible(False)


# ---------------------------------------------------------------------------------- the study


def _check(params: Params) -> None:
    block = params.table_modalities
    for field, method in (("teacher", "teacher"), ("alone", "baseline")):
        name = getattr(block, field)
        check_configurations(params, f"{KEY}.{field}", [name])
        if (found := params.resolved(name).method) != method:
            raise ConfigError(
                f"params.yaml: '{KEY}.{field}' names '{name}', whose method is '{found}': it has "
                f"to be a configuration of the method '{method}'."
            )


def _write(params: Params, runs: Path, reports: Path) -> list[Path]:
    panels = load(params, runs)
    empty = [name for name, panel in panels.items() if not panel.teachers[WHOLE][0].labels]
    if empty:
        raise AmidError(f"{empty[0]} has no test clips: there is nothing to evaluate on.")
    table = modalities(panels)
    files = rendering.write(table, LAYOUT, reports, KEY)
    seeds = rendering.to_csv(per_seed(panels))
    files.append(rendering.write_text(reports / f"{KEY}_seeds.csv", seeds))
    files.append(reports / f"{KEY}.png")
    save_png(draw(table), files[-1])
    return files


TABLE_MODALITIES = Study(
    block=Block, write=_write, check=_check, trains="modalities", plan=plan, on_request=True
)

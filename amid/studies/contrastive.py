"""Contrastive pre-training on noisy pairs: rules of selection, what they cost and find."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from amid.config import Name, Params, block_file
from amid.core.types import RunRecord
from amid.errors import AmidError, ConfigError
from amid.runs.pairs import PairBlock, Rule, check_block, check_mismatch, check_ratio, pair_run
from amid.runs.plan import Fingerprint, PlannedRun
from amid.studies import rendering
from amid.studies.base import Records, Study, check_distinct, read_records, with_holm
from amid.studies.plotting import STYLES, draw_band, save_png, subplots
from amid.studies.rendering import Column, Layout, number, p_value, share, signed, text
from amid.studies.statistics import mean_std, paired_t

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALL = "all"
KEY = "table7"  # on request
SMALL = "table7_small"  # of every `dvc repro`
RUNS = {KEY: "contrastive", SMALL: "contrastive_small"}  # folders below runs/
CURVES = {"r1": "validation_retrieval", "r5": "validation_r5", "kept_wrong": "kept_wrong"}
PROBE_COLUMNS = (
    *("dataset", "mismatched", "ratio", "rule", "modality", "seeds"),
    *("linear", "linear_std", "knn", "knn_std", "chance"),
)


class Block(PairBlock):
    """Rules x ratios x shares of wrong pairs, beside all pairs; figure_ratio: of Figure 7."""

    rules: Annotated[dict[Name, Rule], Field(min_length=1)]
    ratios: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1)]
    mismatch_ratios: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    figure_ratio: float


class SmallBlock(Block):
    """The same for `dvc repro`: on the one data set that its stages name, with the project's
    seeds."""

    datasets: Annotated[list[Literal["avsentences_small"]], Field(min_length=1, max_length=1)]
    seeds: None = None


def block_of(params: Params, key: str) -> Block:
    """The block of Table 7 or of its small version, its seeds filled in."""
    block = getattr(params, key)
    return block if block.seeds is not None else block.model_copy(update={"seeds": params.seeds})


def grid(block: Block) -> list[tuple[str, float, float]]:
    """(rule, ratio, share of wrong pairs) of every row of the table; rule "all" at 1.0."""
    chosen = [(ALL, 1.0), *((rule, ratio) for ratio in block.ratios for rule in block.rules)]
    return [(*one, mismatched) for mismatched in block.mismatch_ratios for one in chosen]


def folder_name(rule: str, ratio: float, mismatched: float) -> str:
    """Folder of the runs of a row, with both shares in per cent."""
    return f"{rule}_r{100 * ratio:g}_m{100 * mismatched:g}"


def plan(
    params: Params, dataset: str, fingerprint: Fingerprint, *, key: str = KEY
) -> list[PlannedRun]:
    """The runs of the table, or of its small version, on one data set."""
    block = block_of(params, key)
    return [
        pair_run(
            params,
            block,
            dataset,
            seed,
            fingerprint,
            folder=f"{folder_name(rule, ratio, mismatched)}/seed{seed}",
            rule=block.rules.get(rule),
            ratio=ratio,
            mismatch_ratio=mismatched,
        )
        for rule, ratio, mismatched in grid(block)
        for seed in block.seeds
    ]


def load(params: Params, runs: Path, key: str = KEY) -> Records:
    """Row: (rule, kept ratio, share of wrong pairs). Records in the order of the seeds."""
    block = block_of(params, key)
    return {
        dataset: {
            row: read_records(runs / RUNS[key] / dataset / folder_name(*row), block.seeds)
            for row in grid(block)
        }
        for dataset in block.datasets
    }


# ---------------------------------------------------------------------------------- numbers


def passes(metrics: dict[str, float]) -> float:
    """What a run has computed up to an epoch, in forward passes of a pair: 3 for one that went
    forward and backward, 1 for one that was only scored."""
    return 3 * metrics["samples"] + metrics["scored"]


def reached(run: RunRecord, level: float) -> float | None:
    """`passes` up to the first epoch whose validation recall at 1 is `level` or more; None if it
    never is."""
    return next(
        (passes(m) for m in run.history if m.get("validation_retrieval", -1.0) >= level), None
    )


def kept_wrong(run: RunRecord) -> float:
    """Share of wrong pairs among all that a run trained on, 0..1."""
    counts = np.diff([0.0, *(metrics["samples"] for metrics in run.history)])
    return float(np.average([metrics["kept_wrong"] for metrics in run.history], weights=counts))


def contrastive(records: Records) -> pd.DataFrame:
    """One row a data set, share of wrong pairs, ratio and rule.

    r1, r5, r10: mean over both ways of the recall in per cent on test, and median_rank, at the best
    epoch on validation; r1_last at the last epoch. Without a test split all of them are those of
    the validation split at the last epoch, where nothing is chosen. difference, p: of r1 to `all`,
    a paired t test over seeds. kept_wrong: share of wrong pairs among the trained on, per cent;
    p_wrong: the same test against `random` at this ratio. precision, recall: in the last epoch, of
    the pairs left out as wrong ones. compute: passes, as a share of those of `all`. to_level: of
    the seeds that reach the best validation recall of `all` at all (reached, a share), passes to
    there as a share of those that `all` takes to it.
    """
    rows = []
    for dataset, places in records.items():
        for (rule, ratio, mismatched), runs in places.items():
            whole = places[ALL, 1.0, mismatched]
            row = {"dataset": dataset, "mismatched": mismatched, "ratio": ratio, "rule": rule}
            row["seeds"] = len(runs)
            for name in ("r1", "r5", "r10"):
                values = _recalls(runs, name)
                row[name], row[f"{name}_std"] = mean_std(values)
            last = [100 * found_by(run, "last")["r@1"] for run in runs]
            row["r1_last"], row["r1_last_std"] = mean_std(last)
            ranks = [found_by(run)["median_rank"] for run in runs]
            row["median_rank"], row["median_rank_std"] = mean_std(ranks)
            differences = np.subtract(_recalls(runs, "r1"), _recalls(whole, "r1"))
            row["difference"] = float(differences.mean())
            row["p"] = None
            if rule != ALL:
                row["p"] = paired_t(_recalls(runs, "r1"), _recalls(whole, "r1"))
            wrong = [100 * kept_wrong(run) for run in runs]
            row["kept_wrong"], row["kept_wrong_std"] = mean_std(wrong)
            row["p_wrong"] = None
            drawn = places.get(("random", ratio, mismatched))
            if drawn is not None and rule != "random":
                row["p_wrong"] = paired_t(wrong, [100 * kept_wrong(run) for run in drawn])
            for name in ("precision", "recall"):
                found = [run.history[-1].get(f"found_{name}") for run in runs]
                mean, std = mean_std([None if v is None else 100 * v for v in found])
                row |= {name: mean, f"{name}_std": std}
            of_whole = [passes(run.history[-1]) for run in whole]
            own = [passes(run.history[-1]) for run in runs]
            row["compute"] = float(np.mean(own) / np.mean(of_whole))
            there = [_to_level(run, other) for run, other in zip(runs, whole, strict=True)]
            row["reached"] = sum(value is not None for value in there) / len(there)
            row["to_level"], row["to_level_std"] = mean_std(there)
            rows.append(row)
    return with_holm(pd.DataFrame(rows), ["dataset", "mismatched"], "p", "p_wrong")


def found_by(run: RunRecord, epoch: str = "best") -> dict[str, float]:
    """Retrieval on test at the "best" or the "last" epoch; without a test split on validation at
    the last one, where nothing is chosen. Raises AmidError without either."""
    if found := run.retrieval[epoch]:
        return found
    metrics = run.history[-1]
    if "validation_r1" not in metrics:
        raise AmidError(
            f"{run.spec.dataset}: neither 'validation' nor 'test' has a pair, so that retrieval "
            "cannot be measured: give one of them two or more."
        )
    names = {"r@1": "r1", "r@5": "r5", "r@10": "r10", "median_rank": "median_rank"}
    return {name: metrics[f"validation_{own}"] for name, own in names.items()}


def _recalls(runs: Sequence[RunRecord], name: str) -> list[float]:
    return [100 * found_by(run)[name.replace("r", "r@")] for run in runs]


def _to_level(run: RunRecord, whole: RunRecord) -> float | None:
    """Passes until `run` is as good on validation as `whole` at its best, over those of `whole`."""
    levels = [metrics.get("validation_retrieval") for metrics in whole.history]
    if None in levels:
        return None
    own, others = reached(run, max(levels)), reached(whole, max(levels))
    return None if own is None else own / others


def probes(records: Records) -> pd.DataFrame:
    """One row a data set with labels, share of wrong pairs, ratio, rule and modality: test accuracy
    in per cent of classifiers on the encoder's projections at the best epoch on validation, linear
    and by nearest neighbours (knn), and chance, the share of the most frequent class."""
    rows = []
    for dataset, places in records.items():
        for (rule, ratio, mismatched), runs in places.items():
            heads = runs[0].predictions["best"]
            for modality in dict.fromkeys(head.rpartition("_")[0] for head in heads):
                row = {"dataset": dataset, "mismatched": mismatched, "ratio": ratio, "rule": rule}
                row |= {"modality": modality, "seeds": len(runs)}
                for kind in ("linear", "knn"):
                    shares = [100 * run.accuracy(f"{modality}_{kind}") for run in runs]
                    row[kind], row[f"{kind}_std"] = mean_std(shares)
                row["chance"] = 100 * float(np.bincount(runs[0].labels).max() / len(runs[0].labels))
                rows.append(row)
    return pd.DataFrame(rows, columns=PROBE_COLUMNS)


def curves(records: Records, ratio: float) -> pd.DataFrame:
    """Over the epochs, of `all` and of each rule at `ratio`: compute (passes as a share of all that
    `all` takes), validation recall at 1 and at 5 and the share of wrong pairs kept, in per cent,
    means and deviations over the seeds."""
    rows = []
    for dataset, places in records.items():
        for (rule, own, mismatched), runs in places.items():
            if rule != ALL and own != ratio:
                continue
            total = passes(places[ALL, 1.0, mismatched][0].history[-1])
            for epoch, several in enumerate(zip(*(run.history for run in runs), strict=True)):
                row = {"dataset": dataset, "mismatched": mismatched, "rule": rule}
                row |= {"epoch": epoch + 1, "compute": passes(several[0]) / total}
                for name, key in CURVES.items():
                    values = [None if key not in m else 100 * m[key] for m in several]
                    row[name], row[f"{name}_std"] = mean_std(values)
                rows.append(row)
    return pd.DataFrame(rows)


# ---------------------------------------------------------------------------------- layout, figure

LAYOUT = Layout(
    "Contrastive pre-training on noisy pairs: rules of selection",
    (
        Column("mismatched", "wrong pairs", "wrong", share),
        Column("ratio", "ratio", "ratio", share),
        Column("rule", "rule", "rule", text, left=True),
        Column("r1", "R@1", "R@1"),
        Column("r5", "R@5", "R@5"),
        Column("r10", "R@10", None),
        Column("median_rank", "median rank", None),
        Column("r1_last", "R@1, last epoch", None),
        Column("difference", "to all", None, signed),
        Column("p_holm", "p", "$p$", p_value),
        Column("kept_wrong", "wrong among kept", "wrong kept"),
        Column("p_wrong_holm", "p, to random", None, p_value),
        Column("precision", "precision", None),
        Column("recall", "recall", None),
        Column("compute", "compute", "compute", share),
        Column("reached", "reach all's best", None, share),
        Column("to_level", "compute to there", None, share),
    ),
    "Retrieval of the test clips, each modality among the other's, mean over both ways; recalls in "
    "per cent, mean ± sample standard deviation over seeds, at the epoch with the best R@1 on "
    "validation; the test split takes no part in the choice. Without a test split: of the "
    "validation clips at the last epoch, where nothing is chosen. wrong pairs: share of the "
    "training pairs that hold two clips' modalities. ratio: share of each batch that is trained "
    "on. to all: R@1 less that of all pairs. p: two-sided paired t tests over seeds, with Holm's "
    "correction within a share of wrong pairs. wrong among kept: per cent of wrong pairs among "
    "those trained on. precision, recall: of the pairs left out in the last epoch, taken for "
    "wrong. compute: forward and backward passes as a share of those of `all`, a backward pass "
    "counted as two forward passes; no time stands here because a table must not depend on the "
    "clock. compute to there: until the best validation R@1 of `all` is first reached, as a share "
    "of what `all` takes to it, over the seeds that reach it. The rule `oracle` is told which "
    "pairs are wrong, and is no rule to be used.",
)


PROBE_LAYOUT = Layout(
    "Contrastive pre-training on noisy pairs: what can be read off each encoder",
    (
        Column("mismatched", "wrong pairs", "wrong", share),
        Column("ratio", "ratio", "ratio", share),
        Column("rule", "rule", "rule", text, left=True),
        Column("modality", "encoder of", "encoder", text, left=True),
        Column("linear", "linear probe", "linear"),
        Column("knn", "nearest neighbours", "kNN"),
        Column("chance", "chance", None, number),
    ),
    "Top-1 accuracy of the data set's labels on the test clips in per cent, mean ± sample standard "
    "deviation over seeds: a logistic regression, and a vote of the 20 nearest neighbours, on the "
    "projections of the training clips at the epoch with the best R@1 on validation. The labels "
    "take no part in the pre-training, and nothing is chosen on the test split. wrong pairs and "
    "ratio as in Table 7. chance: share of the most frequent class.",
    empty="No data set of the table has labels of two classes or more.",
)


def draw(table: pd.DataFrame) -> Figure:
    """Validation recall against compute, and below it the share of wrong pairs kept over epochs;
    one column of panels a data set and share of wrong pairs. table: as from `curves`."""
    places = list(dict.fromkeys(zip(table["dataset"], table["mismatched"], strict=True)))
    rules = list(dict.fromkeys(table["rule"]))
    turned = [(colour, ":" if line == "-" else "-", marker) for colour, line, marker in STYLES]
    styles = dict(zip(rules, [("#000000", "-", ""), *STYLES, *turned], strict=False))
    figure, axes = subplots(2, len(places), (1.6 + 3.3 * len(places), 6.2), sharey="row")
    for (above, below), (dataset, mismatched) in zip(axes.T, places, strict=True):
        here = table[(table["dataset"] == dataset) & (table["mismatched"] == mismatched)]
        for rule, (colour, line, _) in styles.items():
            rows = here[here["rule"] == rule]
            for axis, x, name in ((above, "compute", "r1"), (below, "epoch", "kept_wrong")):
                axis.plot(rows[x], rows[name].astype(float), line, color=colour, label=rule)
                std = rows[f"{name}_std"].astype(float).fillna(0)
                draw_band(axis, rows[x], rows[name].astype(float), std, colour)
        above.set_title(f"{dataset}, {100 * mismatched:g} % wrong pairs", fontsize=10)
        above.set_xlabel("compute, of that of all pairs")
        below.set_xlabel("epoch")
        for axis in (above, below):
            axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("R@1 on validation (%)")
    axes[1, 0].set_ylabel("wrong pairs among the kept (%)")
    axes[0, -1].legend(frameon=False, fontsize=8)
    return figure


def _check(key: str, params: Params) -> None:
    block = block_of(params, key)
    check_block(params, block, key)
    check_mismatch(block.mismatch_ratios, f"{key}.mismatch_ratios")
    for name in ("ratios", "mismatch_ratios", "seeds", "datasets"):
        check_distinct(f"{key}.{name}", getattr(block, name))
    for ratio in block.ratios:
        check_ratio(block, ratio, f"{key}.ratios")
    if block.figure_ratio not in block.ratios:
        raise ConfigError(
            f"params.yaml: '{key}.figure_ratio' is {block.figure_ratio:g}, which is not among "
            f"'{key}.ratios': choose one of them."
        )
    if ALL in block.rules:
        raise ConfigError(f"params.yaml: '{key}.rules' names '{ALL}', which is always there.")


def _check_small(params: Params) -> None:
    """As `_check`; what the small version's stages make, no other stage may make too."""
    _check(SMALL, params)
    others = {"datasets": params.datasets}
    if params.table7 is not None:
        others[f"{KEY}.datasets"] = params.table7.datasets
    for key, names in others.items():
        for name in set(names) & set(getattr(params, SMALL).datasets):
            raise ConfigError(
                f"params.yaml: '{key}' names '{name}', whose data the stages of '{SMALL}' make: "
                f"copy {block_file(name)} to another name, and take that."
            )


def _write(key: str, params: Params, runs: Path, reports: Path) -> list[Path]:
    block, records = block_of(params, key), load(params, runs, key)
    figure = reports / f"{key.replace('table', 'figure')}.png"
    files = rendering.write(contrastive(records), LAYOUT, reports, key)
    files += rendering.write(probes(records), PROBE_LAYOUT, reports, f"{key}_probes")
    drawn = curves(records, block.figure_ratio)
    files.append(rendering.write_text(figure.with_suffix(".csv"), rendering.to_csv(drawn)))
    save_png(draw(drawn), figure)
    return [*files, figure]


TABLE7 = Study(
    block=Block,
    write=partial(_write, KEY),
    check=partial(_check, KEY),
    trains=RUNS[KEY],
    plan=plan,
    on_request=True,
)
TABLE7_SMALL = Study(
    block=SmallBlock,
    write=partial(_write, SMALL),
    check=_check_small,
    trains=RUNS[SMALL],
    plan=partial(plan, key=SMALL),
)

"""The result in one sentence, and the paper's tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from amid import layouts, paper, results, studies
from amid.rendering import UNDEFINED, p_value
from amid.report import sources, svg
from amid.report.content import Figures, Heading, Picture, Pictures, Section, Text
from amid.report.material import ALONE, Material
from amid.report.tables import MARKS, marks, tables
from amid.results import REFERENCE, TITLES
from amid.statistics import Spread, mean_std
from amid.types import RunRecord


def headline(material: Material) -> Section:
    """The student with and without distillation, and whether the gain is more than noise."""
    blocks: list[object] = []
    untested = material.untested()
    frame = _frame(results.table1, material.tested().rows(material.params.table1))
    for dataset, of in material.records.items():
        if ALONE not in of or REFERENCE not in of:
            blocks.append(Text(f"{dataset}: no section trains both the student alone and AMID."))
            continue
        if dataset in untested:
            blocks.append(Text(f"{dataset}: there are no test clips to compare on."))
            continue
        here = (frame["dataset"] == dataset) & (frame["configuration"] == ALONE)
        tests = frame[here].to_dict("records")
        p = {name: tests[0][f"p_{name}_holm"] if tests else None for name in ("seeds", "clips")}
        blocks += _compared(dataset, of[ALONE], of[REFERENCE], p)
        rows = {name: of[name] for name in (ALONE, REFERENCE)}
        blocks.append(sources.of_configurations(material, dataset, rows, "The result"))
    alone, taught = paper.TABLE1[ALONE], paper.TABLE1[REFERENCE]
    blocks.append(
        Text(
            "Mean ± sample standard deviation over seeds, at the epoch that is best on validation; "
            "the test split takes no part in the choice. p: two-sided paired t tests, with Holm's "
            f"correction over the rows of Table 1. The paper reports {alone} and {taught} % on "
            "UCF51, other data and other networks.",
            "note",
        )
    )
    return Section("result", "The result", blocks)


def paper_tables(material: Material) -> Section:
    """Tables 1 to 6, the paper's numbers in their last columns."""
    untested, material = material.untested(), material.tested()
    params, rows = material.params, material.rows
    weights, noise = sensitivity(material)
    folds = results.table3(results.per_fold(material.folds))
    named = {
        names: {
            dataset: sources.of_configurations(material, dataset, of)
            for dataset, of in rows(getattr(params, names)).items()
        }
        for names in ("table1", "table4", "table5")
    }
    of_folds = {dataset: sources.of_folds(material, dataset) for dataset in material.folds}
    of_weights = {name: sources.of_weights(material, name) for name in material.sensitivity}
    first, fourth, fifth = map(rows, (params.table1, params.table4, params.table5))
    table1, table2 = _frame(results.table1, first), _frame(results.table2, first)
    table4, table5 = _frame(results.table4, fourth), _frame(results.table5, fifth)
    parts = (
        (layouts.TABLE1, table1, layouts.BASELINE, "student", named["table1"]),
        (layouts.TABLE2, table2, layouts.BASELINE, "r@1", named["table1"]),
        (layouts.TABLE3, folds, layouts.BASELINE, "wa", of_folds),
        (layouts.TABLE4, table4, TITLES, "student", named["table4"]),
        (layouts.TABLE5, table5, TITLES, "student", named["table5"]),
        (layouts.TABLE6, weights, {}, None, of_weights),
        (layouts.SENSITIVITY, noise, {}, None, of_weights),
    )
    left_out = [
        Text(f"{dataset}: there are no test clips, so the tables have no row of it.")
        for dataset in untested
    ]
    blocks: list[object] = [
        Text(
            "A column's header sorts by it. Marks behind a number stand for the first p of its "
            f"row, those behind a p for itself: {MARKS}"
        ),
        *left_out,
    ]
    for layout, frame, titles, marked, origins in parts:
        blocks.append(Heading(layout.title))
        if frame.empty:
            blocks.append(Text(layout.empty.replace("`", "")))
        else:
            blocks += tables(frame, layout, titles, origins, marked=marked)
        blocks.append(Text(layout.note.replace("`", ""), "note"))
    return Section("tables", "Tables 1 to 6", blocks)


def sensitivity(material: Material) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Table 6, and its comparison with the noise of the seeds; of runs with test clips."""
    params = material.params
    options = params.resolved(params.table6.configuration).options
    defaults = {name: getattr(options, name) for name in ("alpha", "beta", "gamma")}
    table = _frame(lambda rows: results.table6(rows, defaults), material.sensitivity)
    return table, _frame(lambda rows: studies.sensitivity(rows, params), material.sensitivity)


def _compared(
    dataset: str,
    alone: Sequence[RunRecord],
    taught: Sequence[RunRecord],
    p: Mapping[str, float | None],
) -> list[object]:
    """The sentence, the numbers and their picture."""
    by_seed = [
        (100 * before.accuracy("student"), 100 * after.accuracy("student"))
        for before, after in zip(alone, taught, strict=True)
    ]
    gain = mean_std([after - before for before, after in by_seed])
    before, after = (mean_std(values) for values in zip(*by_seed, strict=True))
    numbers = [
        (_spread(before), "student alone, test Top-1 (%)"),
        (_spread(after), "student taught by AMID, test Top-1 (%)"),
        (_signed(gain), "points gained, seed by seed"),
        (_p(p["seeds"]), f"p over {count(len(taught), 'seed')}"),
        (_p(p["clips"]), f"p over {len(taught[0].labels)} clips"),
    ]
    bars = [
        svg.Bar("student alone", "s2", *before),
        svg.Bar("student taught by AMID", "s0", *after),
    ]
    if taught[0].accuracy("teacher") is not None:
        teacher = mean_std([100 * run.accuracy("teacher") for run in taught])
        senses = " and ".join((taught[0].spec.target, *taught[0].spec.auxiliary))
        bars.append(svg.Bar(f"its teacher, who has {senses}", "s3", *teacher))
    seeds = [
        svg.Pair(f"seed {run.spec.seed}", after, before)
        for run, (before, after) in zip(taught, by_seed, strict=True)
    ]
    ticks = svg.nice(*(edge(v for pair in by_seed for v in pair) for edge in (min, max)))
    told = "; ".join(f"{pair.name}: {pair.second:.1f} to {pair.first:.1f}" for pair in seeds)
    pictures = [
        Picture(
            svg.bars(bars, "test Top-1 (%)"),
            "Bars: " + ", ".join(f"{bar.name} {bar.mean:.1f} %" for bar in bars) + ".",
            f"{dataset}: means; whiskers are one standard deviation over seeds",
        ),
        Picture(
            svg.pairs(seeds, "test Top-1 (%)", ticks, "s2"),
            f"From alone to taught: {told}.",
            f"{dataset}: every seed, alone (ring) and taught by AMID (dot)",
        ),
    ]
    sentence = _sentence(dataset, taught, before, after, gain, p)
    return [Text(sentence, "strong"), Figures(numbers), Pictures(pictures)]


def _sentence(
    dataset: str,
    taught: Sequence[RunRecord],
    before: Spread,
    after: Spread,
    gain: Spread,
    p: Mapping[str, float | None],
) -> str:
    """The result in plain words."""
    spec = taught[0].spec
    told = (
        f"On {dataset}, a student that sees only the {spec.target} recognises {after.mean:.1f} % "
        f"of the test clips after learning from a teacher who also has "
        f"{' and '.join(spec.auxiliary)}; trained alone it recognises {before.mean:.1f} %. It "
        f"{'gains' if gain.mean >= 0 else 'loses'} {abs(gain.mean):.1f} points"
    )
    over = {name: bool(marks(p[name])) for name in ("seeds", "clips")}
    if len(taught) == 1:
        return f"{told}; one seed cannot say how much of that is chance."
    if all(pd.isna(value) for value in p.values()):  # Table 1 does not list the student alone
        return f"{told}; no test says how much of that is chance."
    if all(over.values()):
        return f"{told}, more than chance explains, over seeds and over clips."
    if over["clips"]:
        return (
            f"{told}: clear over the test clips, while {len(taught)} seeds alone would not show it."
        )
    if over["seeds"]:
        return f"{told}: clear over the seeds, while the test clips would not show it."
    return f"{told}, no more than chance may explain."


def _frame(table: Callable[[Any], pd.DataFrame], rows: Mapping[str, Any]) -> pd.DataFrame:
    """table(rows); without columns where no data set is left."""
    return table(rows) if rows else pd.DataFrame()


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _spread(spread: Spread) -> str:
    return f"{spread.mean:.1f} ± {UNDEFINED if spread.std is None else f'{spread.std:.1f}'}"


def _signed(spread: Spread) -> str:
    sign = "+" if spread.mean >= 0 else "−"
    return sign + _spread(Spread(abs(spread.mean), spread.std))


def _p(p: float | None) -> str:
    return f"{p_value({'p': p}, 'p', False)} {marks(p)}".strip()

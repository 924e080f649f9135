"""The result in one sentence, with its numbers and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from amid.core.types import RunRecord
from amid.report import provenance, svg
from amid.report.blocks import KeyNumbers, Picture, Pictures, Section, Text
from amid.report.data import STUDENT_ALONE, ReportData
from amid.report.paper_tables import frame_of
from amid.report.table_blocks import marks
from amid.studies import paper_numbers, recognition
from amid.studies.base import REFERENCE
from amid.studies.rendering import UNDEFINED, decimals, p_value
from amid.studies.statistics import Spread, mean_std


def headline(data: ReportData) -> Section:
    """Accuracy of the student with and without distillation, and significance of the gain."""
    blocks: list[object] = []
    untested = data.untested()
    frame = frame_of(recognition.table1, data.tested().rows(data.params.table1))
    for dataset, of in data.records.items():
        if STUDENT_ALONE not in of or REFERENCE not in of:
            blocks.append(Text(f"{dataset}: no section trains both the student alone and AMID."))
            continue
        if dataset in untested:
            blocks.append(Text(f"{dataset}: there are no test clips to compare on."))
            continue
        here = (frame["dataset"] == dataset) & (frame["configuration"] == STUDENT_ALONE)
        tests = frame[here].to_dict("records")
        p = {name: tests[0][f"p_{name}_holm"] if tests else None for name in ("seeds", "clips")}
        blocks += _compared(dataset, of[STUDENT_ALONE], of[REFERENCE], p)
        rows = {name: of[name] for name in (STUDENT_ALONE, REFERENCE)}
        blocks.append(provenance.of_configurations(data, dataset, rows, "The result"))
    alone, taught = paper_numbers.TABLE1[STUDENT_ALONE], paper_numbers.TABLE1[REFERENCE]
    blocks.append(
        Text(
            "Mean ± sample standard deviation over seeds, at the epoch with the best validation "
            "accuracy, never selected on test. p: two-sided paired t tests with Holm correction "
            f"over the rows of Table 1. The paper reports {alone} and {taught} % on "
            "UCF51, other data and other networks.",
            "note",
        )
    )
    return Section("result", "The result", blocks)


def _compared(
    dataset: str,
    alone: Sequence[RunRecord],
    taught: Sequence[RunRecord],
    p: Mapping[str, float | None],
) -> list[object]:
    """The sentence, the numbers and their pictures for one data set."""
    by_seed = [
        (100 * before.accuracy("student"), 100 * after.accuracy("student"))
        for before, after in zip(alone, taught, strict=True)
    ]
    gain = mean_std([after - before for before, after in by_seed])
    before, after = (mean_std(values) for values in zip(*by_seed, strict=True))
    numbers = [
        (_spread(before), "student alone, test Top-1 (%)"),
        (_spread(after), "student with AMID, test Top-1 (%)"),
        (_signed(gain), "gain in points, paired by seed"),
        (_p(p["seeds"]), f"p over {count(len(taught), 'seed')}"),
        (_p(p["clips"]), f"p over {len(taught[0].labels)} clips"),
    ]
    bars = [
        svg.Bar("student alone", "s2", *before),
        svg.Bar("student with AMID", "s0", *after),
    ]
    if taught[0].accuracy("teacher") is not None:
        teacher = mean_std([100 * run.accuracy("teacher") for run in taught])
        senses = " and ".join((taught[0].spec.target, *taught[0].spec.auxiliary))
        bars.append(svg.Bar(f"its teacher with {senses}", "s3", *teacher))
    seeds = [
        svg.Pair(f"seed {run.spec.seed}", after, before)
        for run, (before, after) in zip(taught, by_seed, strict=True)
    ]
    ticks = svg.nice_ticks(*(edge(v for pair in by_seed for v in pair) for edge in (min, max)))
    told = "; ".join(
        f"{pair.name}: {decimals(pair.second)} to {decimals(pair.first)}" for pair in seeds
    )
    pictures = [
        Picture(
            svg.bars(bars, "test Top-1 (%)"),
            "Bars: " + ", ".join(f"{bar.name} {decimals(bar.mean)} %" for bar in bars) + ".",
            f"{dataset}: means; error bars are one standard deviation over seeds",
        ),
        Picture(
            svg.dumbbell(seeds, "test Top-1 (%)", ticks),
            f"Student alone to student with AMID: {told}.",
            f"{dataset}: each seed, student alone (ring) and with AMID (dot)",
        ),
    ]
    sentence = _headline_sentence(dataset, taught, before, after, gain, p)
    return [Text(sentence, "strong"), KeyNumbers(numbers), Pictures(pictures)]


def _headline_sentence(
    dataset: str,
    taught: Sequence[RunRecord],
    before: Spread,
    after: Spread,
    gain: Spread,
    p: Mapping[str, float | None],
) -> str:
    """The result in one sentence."""
    spec = taught[0].spec
    told = (
        f"On {dataset}, a student that uses only {spec.target} classifies {decimals(after.mean)} % "
        f"of the test clips correctly when distilled from a teacher that also uses "
        f"{' and '.join(spec.auxiliary)}; trained alone it reaches {decimals(before.mean)} %. It "
        f"{'gains' if gain.mean >= 0 else 'loses'} {decimals(abs(gain.mean))} points"
    )
    over = {name: bool(marks(p[name])) for name in ("seeds", "clips")}
    if len(taught) == 1:
        return f"{told}; with one seed there is no significance test."
    if all(pd.isna(value) for value in p.values()):  # Table 1 does not list the student alone
        return f"{told}; Table 1 does not test this difference."
    if all(over.values()):
        return f"{told}, significant both over seeds and over test clips."
    if over["clips"]:
        return f"{told}, significant over test clips but not over {len(taught)} seeds."
    if over["seeds"]:
        return f"{told}, significant over seeds but not over test clips."
    return f"{told}, which is not significant."


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _spread(spread: Spread) -> str:
    return f"{decimals(spread.mean)} ± {UNDEFINED if spread.std is None else decimals(spread.std)}"


def _signed(spread: Spread) -> str:
    sign = "+" if spread.mean >= 0 else "−"
    return sign + _spread(Spread(abs(spread.mean), spread.std))


def _p(p: float | None) -> str:
    return f"{p_value({'p': p}, 'p', False)} {marks(p)}".strip()

"""The benchmark of all methods, a study on request: shown where its files are in reports/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from markupsafe import Markup

from amid.report.blocks import Heading, Origin, Picture, Pictures, Provenance, Section, Table, Text
from amid.report.data import ReportData, short
from amid.report.requested import read_table
from amid.report.table_blocks import tables
from amid.studies.benchmark_layout import (
    KEY,
    LAYOUT,
    LAYOUT_ALL,
    SHORT,
    draw_gains,
    draw_ranks,
    gains,
    joined,
    note,
    panel_of,
    panel_title,
    panels_of,
    titles,
)
from amid.studies.plotting import to_inline_svg
from amid.studies.rendering import Layout, p_value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMMAND = "dvc repro pipelines/benchmark/dvc.yaml"
# Of a table: what its caption says for all its rows, and what its width has no room for.
LEFT_OUT = ("protocol", "seeds", "critical", "data_sets", "student_std", "trained")
# File -> columns that it holds beside those of its layout.
FILES = {
    "": {"dataset", "level", "parameters", "friedman", "interval_alone", "interval_plain"},
    "_all": {"dataset"},
    "_seeds": {"dataset", "protocol", "configuration", "seed", "run", "epoch", "student"},
}
LAYOUTS = {"": LAYOUT, "_all": LAYOUT_ALL}


def read_benchmark(reports: Path) -> dict[str, pd.DataFrame] | None:
    """The tables of the benchmark by the end of their files' names; None where it was not made."""
    if not (reports / f"{KEY}.csv").exists():
        return None
    return {end: _read(reports / f"{KEY}{end}.csv", end) for end in FILES}


def _read(path: Path, end: str) -> pd.DataFrame:
    again = f"run `{COMMAND}` again, or delete {KEY}.csv to leave the benchmark out of the report"
    columns = {column.name for column in LAYOUTS[end].columns} if end in LAYOUTS else set()
    return read_table(path, columns | FILES[end], again)


def benchmark(data: ReportData) -> list[Section]:
    """The section; none where the benchmark was not made, or of none of the page's data sets."""
    if data.benchmark is None:
        return []
    table, datasets = data.benchmark[""], list(dict.fromkeys(data.benchmark[""]["dataset"]))
    if not set(datasets) & set(data.params.datasets):
        return []
    missing = [name for name in data.params.datasets if name not in datasets]
    protocols = list(dict.fromkeys(table["protocol"]))
    count = len(set(table["configuration"]))
    blocks: list[object] = [
        Text(
            f"Students of {count} configurations under the training protocol"
            f"{'s' if len(protocols) > 1 else ''} {' and '.join(protocols)}, each compared with "
            "the student without a teacher and with plain knowledge distillation (KD), seed by "
            "seed. Click a header to sort by its column."
        ),
        *(Text(f"{name}: not trained for the benchmark ({COMMAND}).") for name in missing),
        *(Text(words) for words in other_runs(data)),
    ]
    for dataset in datasets:
        here = table[table["dataset"] == dataset]
        blocks.append(Heading(f"Benchmark, {dataset}"))
        blocks += [_table(panel_of(here, *place)) for place in panels_of(here)]
        blocks += [_pictures(here), _provenance(data.benchmark["_seeds"], dataset)]
    blocks += [Text(note(table), "note"), Heading(LAYOUT_ALL.title)]
    for protocol in protocols:
        counts = data.benchmark["_all"]
        blocks.append(_counts(counts[counts["protocol"] == protocol]))
    blocks.append(Text(LAYOUT_ALL.note, "note"))
    return [Section("benchmark", LAYOUT.title, blocks)]


def _table(panel: pd.DataFrame) -> Table:
    """The table of a data set and protocol. What is the same in all rows is in its caption."""
    first = panel.iloc[0].to_dict()
    caption = f"{_escaped(panel_title(panel, first['dataset'], first['protocol']))}; "
    return _narrow(panel, LAYOUT, "Benchmark", caption + _ranked(first))


def _counts(counts: pd.DataFrame) -> Table:
    """Won, drawn and lost under one protocol."""
    sets = counts["data_sets"].iloc[0]
    caption = f"Protocol {{protocol}}, {sets} data set{'' if sets == 1 else 's'}"
    return _narrow(counts, LAYOUT_ALL, LAYOUT_ALL.title, caption)


def _narrow(rows: pd.DataFrame, layout: Layout, title: str, caption: str) -> Table:
    """The table of a layout that shows one protocol. It is as wide as the page: without LEFT_OUT,
    and without marks of significance beside each p."""
    columns = tuple(column for column in layout.columns if column.name not in LEFT_OUT)
    title = f"{title}, protocol {rows['protocol'].iloc[0]}"
    own = replace(layout, title=title, columns=columns, heading=caption)
    (table,) = tables(rows, own, SHORT, {})
    bare = [[replace(cell, marks="", meaning="") for cell in row.cells] for row in table.rows]
    shown = [replace(row, cells=cells) for row, cells in zip(table.rows, bare, strict=True)]
    return replace(table, rows=shown)


def _escaped(words: str) -> str:
    """For a format string."""
    return words.replace("{", "{{").replace("}", "}}")


def _ranked(row: Mapping[str, object]) -> str:
    """The tests of the mean ranks, of which each row of a panel has the numbers."""
    p = p_value(row, "friedman", False)
    test = "no test of the ranks" if pd.isna(row["friedman"]) else (
        f"Friedman's test of the ranks: p {p if p.startswith('<') else f'= {p}'}"
    )  # fmt: skip
    return f"{test}; critical difference {row['critical']:.1f}"


def _pictures(here: pd.DataFrame) -> Pictures:
    """Both figures of each protocol of a data set."""
    items = []
    for place in panels_of(here):
        panel, of = panel_of(here, *place), panel_title(here, *place)
        items += [
            _picture(
                draw_gains(panel, titled=False),
                _told_gains(panel),
                f"Gain over the student alone, {of}",
            ),
            _picture(draw_ranks(panel, titled=False), _told_ranks(panel), f"Mean ranks, {of}"),
        ]
    return Pictures(
        items,
        note=f"Gain: the mean difference in points, with its {_percent(here)} confidence interval "
        "over seeds; KD is a diamond, the broken line its gain. Ranks: 1 is best; a bar joins "
        "configurations whose mean ranks differ by less than the critical difference.",
    )


def _picture(figure: Figure, alt: str, caption: str) -> Picture:
    return Picture(Markup(to_inline_svg(figure, caption)), alt, caption, layout="half")


def _told_gains(panel: pd.DataFrame) -> str:
    """The forest plot in words."""
    column = next(column for column in LAYOUT.columns if column.name == "difference_alone")
    rows = gains(panel)
    named = zip(titles(rows), rows.to_dict("records"), strict=True)
    told = "; ".join(f"{name} {column.form(row, column.name, False)}" for name, row in named)
    return f"Gain over the student alone in points, with {_percent(panel)} interval: {told}."


def _told_ranks(panel: pd.DataFrame) -> str:
    """The critical-difference diagram in words."""
    rows = panel.sort_values("rank", kind="stable")
    names, ranks = titles(rows), rows["rank"].tolist()
    told = "; ".join(f"{name} {rank:.1f}" for name, rank in zip(names, ranks, strict=True))
    groups = joined(ranks, rows["critical"].iloc[0])
    bars = "; ".join(f"{names[first]} to {names[last]}" for first, last in groups) or "none"
    return f"Mean ranks, 1 the best: {told}. Joined as not told apart: {bars}."


def _percent(panel: pd.DataFrame) -> str:
    return f"{100 * (1 - panel['level'].iloc[0]):g} %"


def _provenance(seeds: pd.DataFrame, dataset: str) -> Provenance:
    """The runs behind the rows of a data set."""
    here = seeds[seeds["dataset"] == dataset]
    origins = [
        Origin(
            f"{short(name)}, protocol {protocol}",
            [
                (f"seed {seed}", run, int(epoch))
                for seed, run, epoch in zip(rows["seed"], rows["run"], rows["epoch"], strict=True)
            ],
            COMMAND,
        )
        for (protocol, name), rows in here.groupby(["protocol", "configuration"], sort=False)
    ]
    return Provenance(dataset, origins, "Benchmark of all methods")


def other_runs(data: ReportData) -> list[str]:
    """A sentence for each data set whose benchmark has other runs than the page's tables, of the
    same configurations, seeds and protocol: its code, data or parameters were others."""
    assert data.benchmark is not None
    seeds = data.benchmark["_seeds"]
    keys = {
        (row["dataset"], row["protocol"], row["configuration"], row["seed"]): row["run"]
        for row in seeds.to_dict("records")
    }
    told = []
    for dataset, rows in data.records.items():
        protocol = data.params.training_of(dataset).protocol
        other = [
            short(name)
            for name, runs in rows.items()
            if any(
                keys.get((dataset, protocol, name, run.spec.seed), run.key) != run.key
                for run in runs
            )
        ]
        if other:
            told.append(
                f"{dataset}: the benchmark was trained with other code, data or parameters than "
                f"the tables below (other runs of {', '.join(other)}): {COMMAND} makes it again."
            )
    return told

"""Missing modalities at test, a study on request: shown where its files are in reports/."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from amid.report.blocks import Heading, Origin, Picture, Pictures, Provenance, Section, Text
from amid.report.requested import read_table
from amid.report.table_blocks import tables
from amid.studies.modalities import KEY, LAYOUT, SHOWN, draw
from amid.studies.plotting import to_inline_svg
from amid.studies.rendering import decimals

if TYPE_CHECKING:
    import pandas as pd

    from amid.report.data import ReportData

COMMAND = "dvc repro pipelines/modalities/dvc.yaml"
# File -> columns that it holds beside those of the layout.
FILES = {
    "": {"dataset", "seeds", "p_own", *(f"{name}_std" for name in SHOWN)},
    "_seeds": {"dataset", "subset", "network", "seed", "run", "epoch", "top1"},
}


def read_modalities(reports: Path) -> dict[str, pd.DataFrame] | None:
    """The study's tables by the end of their files' names; None where it was not made."""
    if not (reports / f"{KEY}.csv").exists():
        return None
    again = f"run `{COMMAND}` again, or delete {KEY}.csv to leave it out of the report"
    columns = {
        "": FILES[""] | {column.name for column in LAYOUT.columns},
        "_seeds": FILES["_seeds"],
    }
    return {
        end: read_table(reports / f"{KEY}{end}.csv", names, again) for end, names in columns.items()
    }


def missing_modalities(data: ReportData) -> list[Section]:
    """The section; none where the study was not made, or of none of the page's data sets."""
    if data.modalities is None:
        return []
    table, seeds = data.modalities[""], data.modalities["_seeds"]
    datasets = list(dict.fromkeys(table["dataset"]))
    if not set(datasets) & set(data.params.datasets):
        return []
    blocks: list[object] = [
        Text(
            "A teacher that was trained with modality dropout, given each subset of the "
            "modalities, against a network that was trained on exactly that subset."
        )
    ]
    of = {name: _provenance(seeds, name) for name in datasets}
    for shown, name in zip(tables(table, LAYOUT, {}, of), datasets, strict=True):
        here = table[table["dataset"] == name]
        blocks += [Heading(f"Missing modalities, {name}"), shown, Pictures([_picture(here, name)])]
    blocks.append(Text(LAYOUT.note, "note"))
    return [Section("modalities", LAYOUT.title, blocks)]


def _picture(here: pd.DataFrame, dataset: str) -> Picture:
    told = "; ".join(
        f"{row['subset']}: {', '.join(_number(row, name) for name in SHOWN)}"
        for row in here.to_dict("records")
    )
    caption = f"Top-1 by the modalities at test, mean ± standard deviation over seeds, {dataset}"
    svg = Markup(to_inline_svg(draw(here, titled=False), caption))
    return Picture(svg, f"Test Top-1 in per cent. {told}.", caption, layout="wide")


def _number(row: Mapping[str, float], name: str) -> str:
    return f"{SHOWN[name]} {decimals(row[name])}"


def _provenance(seeds: pd.DataFrame, dataset: str) -> Provenance:
    """The runs behind the rows of a data set: a teacher's are the same for all subsets."""
    here = seeds[seeds["dataset"] == dataset]
    whole = here["subset"].iloc[-1]
    shown = here[(here["network"] == "own") | (here["subset"] == whole)]
    origins = [
        Origin(
            f"{SHOWN[network]}: {subset}" if network == "own" else SHOWN[network],
            [
                (f"seed {seed}", run, int(epoch))
                for seed, run, epoch in zip(rows["seed"], rows["run"], rows["epoch"], strict=True)
            ],
            COMMAND,
        )
        for (network, subset), rows in shown.groupby(["network", "subset"], sort=False)
    ]
    return Provenance(dataset, origins, LAYOUT.title)

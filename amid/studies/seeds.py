"""How many seeds a difference between two configurations needs on this data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import Field

from amid.config import Model, Name, Params, PositiveFloat
from amid.studies import rendering
from amid.studies.base import (
    Records,
    Study,
    check_rows,
    load_records,
    student_accuracies,
)
from amid.studies.rendering import Column, Layout, number, text
from amid.studies.sections import OF_AMID
from amid.studies.statistics import pooled_std, seeds_needed


class Block(Model):
    """Power analysis: how many seeds a difference between two configurations needs."""

    configurations: Annotated[list[Name], Field(min_length=2)]
    differences: Annotated[list[PositiveFloat], Field(min_length=1)]
    power: Annotated[float, Field(gt=0, lt=1)]
    level: Annotated[float, Field(gt=0, lt=1)]


def seeds(records: Records, params: Params) -> pd.DataFrame:
    """How many seeds a difference needs, one row a data set, design and difference in points.

    design: "unpaired", two configurations with seeds of their own; "paired", the same seeds. std:
    over seeds, pooled over the configurations; paired, of the differences to the first of them.
    needed, needed_upper: seeds a side by that deviation and by its upper 95 % bound.
    """
    rows, study = [], params.table_seeds
    for dataset, configurations in records.items():
        accuracies = student_accuracies(list(configurations.values()))  # (configurations, seeds)
        designs = {"unpaired": accuracies, "paired": accuracies[1:] - accuracies[0]}
        for design, groups in designs.items():
            pooled = pooled_std(groups)
            for difference in study.differences:
                row = {"dataset": dataset, "design": design, "difference": difference}
                row |= {"std": None, "degrees": None, "std_upper": None}
                needed = {"needed": None, "needed_upper": None}
                if pooled is not None:
                    row |= dict(zip(("std", "degrees", "std_upper"), pooled, strict=True))
                    needed = {
                        name: seeds_needed(
                            difference,
                            std,
                            paired=design == "paired",
                            power=study.power,
                            level=study.level,
                        )
                        for name, std in (("needed", pooled.std), ("needed_upper", pooled.upper))
                    }
                rows.append({**row, **needed, "seeds": accuracies.shape[1]})
    table = pd.DataFrame(rows)
    whole = dict.fromkeys(("degrees", "needed", "needed_upper"), "Int64")
    return table.astype(whole)


LAYOUT = Layout(
    "How many seeds does a difference need?",
    (
        Column("design", "design", "design", text, left=True),
        Column("difference", "difference (points)", "difference", number),
        Column("std", "std (points)", "std", number),
        Column("degrees", "degrees of freedom", None, text),
        Column("needed", "seeds needed", "seeds", text),
        Column("std_upper", "std, upper 95 % bound", None, number),
        Column("needed_upper", "seeds needed by that bound", "seeds, bound", text),
    ),
    "Seeds for each of two configurations, so that a two-sided t test at the level `level` finds a "
    "true difference in test Top-1 with probability `power` (params.yaml: table_seeds), by the "
    "noncentral t distribution. unpaired: seeds of their own; std over seeds, pooled over the "
    "configurations. paired: the same seeds; std of the differences to the first configuration, "
    "seed by seed, pooled. That deviation is itself measured on few runs, hence the bound. More "
    "seeds do not make the test split larger: whether other clips would agree is the test over "
    "clips in the other tables.",
)


def _write(params: Params, runs: Path, reports: Path) -> list[Path]:
    records = load_records(params, runs, params.table_seeds.configurations, OF_AMID)
    return rendering.write(seeds(records, params), LAYOUT, reports, "table_seeds")


def _check(params: Params) -> None:
    names = params.table_seeds.configurations
    check_rows(params, "table_seeds.configurations", names)


TABLE_SEEDS = Study(
    block=Block,
    write=_write,
    check=_check,
    rows=lambda params: params.table_seeds.configurations,
    sections=OF_AMID,
)

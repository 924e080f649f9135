"""Paired t tests over the seeds of a table of runs, with Holm's correction over all of them.

Reads tables that benchmarks.few_labels --csv wrote. Every configuration is compared with each one
named by --with (these among themselves once), on the same data set, labels and seeds. The
correction is over all comparisons that are printed.

    python -m benchmarks.paired few.csv --with student_alone --with kd
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from amid.errors import AmidError
from amid.studies.statistics import holm, paired_t

SETTING = ["dataset", "labels", "others"]


def compared(runs: pd.DataFrame, references: Sequence[str]) -> pd.DataFrame:
    """One row a comparison: mean, deviation and number of seeds of the configuration, its
    difference from the reference over the seeds that both have, p, and p after Holm's correction
    over all rows (NaN where there is no test).

    Raises AmidError where a run is there twice.
    """
    if twice := int(runs.duplicated([*SETTING, "configuration", "seed"]).sum()):
        raise AmidError(f"{twice} rows are of a run that has a row already: give each run once.")
    rows = []
    for setting, here in runs.groupby(SETTING, sort=False):
        table = here.pivot(index="seed", columns="configuration", values="top1")
        for name in dict.fromkeys(here["configuration"]):
            before = references[: references.index(name)] if name in references else references
            for other in before:
                if other not in table:
                    continue
                both = table[[name, other]].dropna()
                values, base = both[name].tolist(), both[other].tolist()
                rows.append(
                    {
                        **dict(zip(SETTING, setting, strict=True)),
                        "configuration": name,
                        "reference": other,
                        "seeds": len(both),
                        "mean": both[name].mean(),
                        "std": both[name].std(),
                        "difference": (both[name] - both[other]).mean(),
                        "p": paired_t(values, base),
                    }
                )
    found = pd.DataFrame(rows)
    if len(found):
        found["p"] = found["p"].astype(float)
        found["holm"] = holm(found["p"].tolist())
    return found


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", type=Path, nargs="+", help="of benchmarks.few_labels --csv")
    parser.add_argument("--with", dest="references", action="append", required=True)
    given = parser.parse_args()
    runs = pd.concat([pd.read_csv(path) for path in given.tables], ignore_index=True)
    for row in compared(runs, given.references).itertuples():
        print(
            f"{row.dataset}, {row.labels} a class: {row.configuration} {row.mean:.1f} ± "
            f"{row.std:.1f}, {row.difference:+.1f} to {row.reference} ({row.seeds} seeds, "
            f"p = {row.p:.1g}, Holm {row.holm:.1g})"
        )


if __name__ == "__main__":
    main()

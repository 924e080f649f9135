"""What every stage shares: where things lie, and errors as one sentence."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from amid.errors import AmidError, storage_error

if TYPE_CHECKING:
    import pandas as pd

PARAMS = Path("params.yaml")
# A queued experiment works in a copy; runs and MLflow stay with the repository itself.
HOME = Path(os.environ.get("DVC_ROOT") or Path.cwd())
RUN_STORE = HOME / ".runs"
ARCHIVES = HOME / ".archives"
RUNS = Path("runs")
STUDENTS = Path("student")
REPORTS = Path("reports")


def data_folder(dataset: str) -> Path:
    return Path("data") / dataset


def write_curves(curves: pd.DataFrame, folder: Path) -> None:
    """A file a data set, a column a curve, as `dvc plots` likes; curves: of series.over_epochs."""
    from amid import rendering, series

    for dataset, rows in curves.groupby("dataset", sort=False):
        rendering.write_text(folder / f"{dataset}.csv", rendering.to_csv(series.wide(rows)))


def run_stage(main: Callable[..., None]) -> None:
    """Runs `main` on the command line's words; a user's mistake ends in one sentence on stderr."""
    words = list(inspect.signature(main).parameters)
    if len(sys.argv) - 1 != len(words):
        usage = " ".join(word.upper() for word in words)
        sys.exit(f"usage: python -m stages.{Path(sys.argv[0]).stem} {usage}")
    try:
        main(*sys.argv[1:])
    except Exception as error:
        told = error if isinstance(error, AmidError) else storage_error(error, HOME)
        if told is None:
            raise
        print(f"error: {told}", file=sys.stderr)
        sys.exit(told.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)

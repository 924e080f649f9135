"""Tables of studies on request: the report shows them where their files are in reports/.

DVC has no dependency that may be missing: `stages.request` tells it of these files by their sum in
pipelines/report/requested.yaml.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from amid.errors import AmidError

TEXT = ("dataset", "protocol", "configuration", "run", "subset", "network")


def read_table(path: Path, columns: Collection[str], again: str) -> pd.DataFrame:
    """The table in `path`; AmidError unless it is there, can be read, has rows and all of
    `columns`. again: what makes it anew or leaves it out, the end of the sentence."""
    try:
        table = pd.read_csv(
            path, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=[""]
        )
    except FileNotFoundError:
        raise AmidError(f"{path} is missing: {again}.") from None
    except ValueError as error:
        raise AmidError(f"{path} cannot be read ({error}): {again}.") from None
    if lacking := set(columns) - set(table):
        names = ", ".join(sorted(lacking))
        raise AmidError(f"{path} lacks columns of this version ({names}): {again}.")
    if table.empty:
        raise AmidError(f"{path} has no rows: {again}.")
    return table

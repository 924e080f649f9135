"""Data sets by name: one file each, with Options, fetch() and rows()."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

DATASETS: dict[str, str] = {
    "activitynet": "amid.datasets.activitynet",
    "avlips": "amid.datasets.avlips",
    "avsentences": "amid.datasets.avsentences",
    "cremad": "amid.datasets.cremad",
    "grid": "amid.datasets.grid",
    "grid_sentences": "amid.datasets.grid_sentences",
    "iemocap": "amid.datasets.iemocap",
    "own": "amid.datasets.own",
    "ravdess": "amid.datasets.ravdess",
    "ucf51": "amid.datasets.ucf51",
    "utd_mhad": "amid.datasets.utd_mhad",
    "webdataset": "amid.datasets.webdataset",
}


def problems(source: ModuleType, options: Any, folder: Path) -> pd.DataFrame:
    """Clips a data set lost before there was a manifest row for them: id, modality, reason, detail.

    Most data sets lose none and need not say so; one that can has a function `problems` of its own.
    """
    import pandas as pd

    from amid.data.extraction import QUARANTINE

    if hasattr(source, "problems"):
        return source.problems(options, folder)
    return pd.DataFrame(columns=list(QUARANTINE), dtype=str)

"""What keeps MLflow from being written to, as one sentence."""

from __future__ import annotations

import re
import sqlite3
from importlib.metadata import version
from pathlib import Path
from types import TracebackType

from amid.errors import AmidError
from amid.io.redact import redact

# An error that was raised in one of these, or below it, is MLflow's and no bug of the project.
LIBRARIES = {"mlflow", "sqlalchemy", "alembic", "requests", "urllib3"}


def server_trouble(error: Exception, uri: str) -> str | None:
    """Why a server cannot be used, in words; None for any other kind of error."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    if not isinstance(error, MlflowException | RequestException | OSError):
        return None
    text = str(error)
    if re.search(r"error code 401|Unauthorized|not authenticated", text):
        why = "refuses this user: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    elif re.search(r"Max retries exceeded|timed out|Connection", text):
        why = "does not answer"
    else:
        why = f"refuses: {_line(error)}"
    return f"the server {redact(uri)} {why}"


def store_trouble(error: Exception, store: Path) -> str | None:
    """Why the store of mlruns/ cannot be used, in words; None for an error that is not MLflow's."""
    if re.search(r"Can't locate revision|out-of-date database schema", str(error)):
        return (
            f"{store} was opened by another version of MLflow than this one, "
            f"{version('mlflow')}; move {store.name} away for a new store, or install that version"
        )
    known = isinstance(error, ImportError | sqlite3.Error)
    if not known and not _of_mlflow(error.__traceback__):
        return None
    return f"MLflow cannot use {store} ({type(error).__name__}: {_line(error)})"


def tracking_error(error: Exception, uri: str | None, store: Path, stage: str) -> AmidError | None:
    """The AmidError for a server, or without one a store, that MLflow cannot use; None for a bug.

    stage: its address for dvc.
    """
    trouble = server_trouble(error, uri) if uri else None
    trouble = trouble or store_trouble(error, store)
    return trouble and AmidError(
        f"{trouble}; `dvc repro --force --single-item {stage}` logs what is missing later, without "
        "a training."
    )


def _line(error: Exception) -> str:
    return redact(" ".join(str(error).split()))[:200]


def _of_mlflow(trace: TracebackType | None) -> bool:
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] in LIBRARIES:
            return True
        trace = trace.tb_next
    return False

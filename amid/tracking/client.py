"""Open MLflow's store, or a client on a server, and find the project's experiments in it."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from amid.errors import AmidError
from amid.io.redact import redact
from amid.tracking.relocate import relocate

if TYPE_CHECKING:
    from mlflow import MlflowClient

STORE = "mlflow.db"
PREFIX = "amid: "  # of experiment names: a server may be shared with other projects
EARLIER = "amid"  # the single experiment of versions before there was one per section
# Of a section: what its experiment is called after PREFIX, and what it holds.
SECTIONS = {
    "data": ("data", "Clips made or fetched, extracted and put into quarantine, by data set."),
    "auxiliary": ("auxiliary extractors", "Extractors of sound and text, trained, then frozen."),
    "baselines": ("baselines", "The student alone and the teacher alone."),
    "compared": ("compared methods", "CRD, GMC, CCL and CRCD under AMID's protocol."),
    "warmup": ("warm-ups", "Preliminary alignment, from which AMID's joint training goes on."),
    "amid": ("joint training", "AMID as Eq. 17, with the published weights and the tuned ones."),
    "ablation": ("ablation", "AMID without one of its parts, or with another in its place."),
    "sensitivity": ("sensitivity", "AMID at other values of alpha, beta and gamma."),
    "folds": ("folds", "Cross-validation by group, in each setup of auxiliary modalities."),
    "tune": ("search", "Trials of each method's temperature and weights, on validation."),
    "selection": ("sample selection", "AMID trained on a part of each batch."),
    "adversarial": ("adversarial variants", "Variants of Eqs. 11 to 13, on validation."),
    "student": ("released students", "The best students on validation, as models to serve."),
    "tables": ("tables and figures", "One run a table or figure, with its files."),
}
# Of one request to a server; a stage whose server is unreachable waits for its retries as well.
SERVER_SECONDS, SERVER_RETRIES = 10, 2


def server(environment: Mapping[str, str]) -> str | None:
    """The URI of the MLflow server to log to, None for mlruns/.

    Raises AmidError for any other value of MLFLOW_TRACKING_URI than an http(s) address: a store is
    opened under a lock that other programs do not know.
    """
    uri = environment.get("MLFLOW_TRACKING_URI", "").strip()
    if not uri or (uri.startswith("sqlite") and uri.endswith(f"/mlruns/{STORE}")):
        return None
    if uri.lower().startswith(("http://", "https://")):
        return uri
    raise AmidError(
        f"MLFLOW_TRACKING_URI is {redact(uri)}, but runs are logged to mlruns/{STORE} or to a "
        "server: give its http or https address, or unset the variable."
    )


def section_of(stage: str) -> str:
    """The section of the DAG, and so the experiment, that the runs of a stage belong to."""
    name, of_dataset, _ = stage.partition("@")
    if name in ("download", "extract"):
        return "data"
    return name if of_dataset else "tables"  # a study, or the report


def experiment_name(section: str) -> str:
    """The name of a section's experiment; a section added in params.yaml keeps its own name."""
    return PREFIX + SECTIONS.get(section, (section, ""))[0]


def experiment(client: MlflowClient, section: str, artifacts: str | None) -> str:
    """The id of a section's experiment, created if there is none.

    artifacts: the URI of its artifacts, None for the server's default.
    """
    from mlflow.exceptions import MlflowException

    name = experiment_name(section)
    found = client.get_experiment_by_name(name)
    if found is None:
        note = SECTIONS.get(section, ("", f"Trainings of the section {section} of params.yaml."))[1]
        # The kind spares the UI its guess, and people its question.
        tags = {"mlflow.note.content": note, "mlflow.experimentKind": "custom_model_development"}
        try:
            return client.create_experiment(name, artifact_location=artifacts, tags=tags)
        except MlflowException:  # another process was faster
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


def experiments(client: MlflowClient, *, earlier: bool = False) -> list[str]:
    """The ids of this project's experiments.

    earlier: include the single experiment of earlier versions. Its runs stay there, and are logged
    to the experiments of their sections when their stages run again.
    """
    found = client.search_experiments(filter_string=f"name LIKE '{EARLIER}%'", max_results=1000)
    return [
        one.experiment_id
        for one in found
        if one.name.startswith(PREFIX) or (earlier and one.name == EARLIER)
    ]


def open_any(root: Path) -> MlflowClient:
    """A client on the server of MLFLOW_TRACKING_URI, or on mlruns/ where it names none."""
    uri = server(os.environ)
    return open_client(root) if uri is None else _server_client(uri)


def open_client(root: Path) -> MlflowClient:
    """A client on the sqlite store `root`/mlruns/mlflow.db, which is created on first use.

    Two processes that create the store at once corrupt it, hence the lock. A process killed while
    it creates the tables leaves a store that cannot be opened, hence the rename.
    """
    silence_mlflow()
    folder = root / "mlruns"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        import logging

        logging.getLogger("alembic").setLevel(logging.WARNING)
        # Raised as well: a traceback beside it would hide the one sentence.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        from mlflow import MlflowClient

        if not (folder / STORE).exists():
            for left in folder.glob(f"{STORE}.*.part*"):
                left.unlink()
            # A name of its own: MLflow keeps its connection to a store that it failed to make.
            part = folder / f"{STORE}.{time.monotonic_ns()}.part"
            create_tables(MlflowClient(tracking_uri=_sqlite(part)))
            part.replace(folder / STORE)
        with closing(sqlite3.connect(folder / STORE)) as store:
            store.execute("PRAGMA schema_version")  # of a damaged file MLflow asks for 100 s
        client = MlflowClient(tracking_uri=store_uri(root))
        create_tables(client)  # those of a newer MLflow
        if moved := relocate(folder / STORE, artifact_uri(root), EARLIER):
            earlier = ", ".join(uri.removeprefix("file://") for uri in moved)
            line = f"MLflow's artifacts moved from {earlier} to {folder / 'artifacts'}: mlflow.db"
            print(f"{line} names their new place now.", file=sys.stderr, flush=True)
    return client


def create_tables(client: MlflowClient) -> None:
    client.search_experiments(max_results=1)


def _server_client(uri: str) -> MlflowClient:
    """A client on a server, with short timeouts: MLflow's defaults are 120 s per request and seven
    retries."""
    silence_mlflow()
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(SERVER_SECONDS))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", str(SERVER_RETRIES))
    import logging

    logging.getLogger("urllib3").setLevel(logging.ERROR)  # a line an attempt, with the address
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def silence_mlflow() -> None:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def artifact_uri(root: Path) -> str:
    # An experiment's artifact path is fixed for good: given, not left to the working directory.
    return (root / "mlruns" / "artifacts").resolve().as_uri()


def store_uri(root: Path) -> str:
    return _sqlite(root / "mlruns" / STORE)


def _sqlite(file: Path) -> str:
    from sqlalchemy import URL  # it escapes what has a meaning in an address, such as % and ?
    # Without its driver, MLflow makes the folders that the address names before it is unescaped.

    return URL.create("sqlite+pysqlite", database=str(file)).render_as_string(hide_password=False)

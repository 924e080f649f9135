"""Log runs to MLflow, for people to look at; no table reads it.

A stage is a parent run, and each training a child of it; the runs of one section of the DAG are an
experiment. Runs go to mlruns/, or to the server that MLFLOW_TRACKING_URI names.

Only this package imports mlflow (and amid.serving.mlflow_model, which MLflow runs itself), and only
inside functions: importing it takes seconds, and workers do not need it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from amid.errors import AmidError, StorageError, storage_error
from amid.io.canonical_json import flatten
from amid.io.redact import redact_values
from amid.tracking.client import (
    STORE,
    artifact_uri,
    experiment,
    experiments,
    open_any,
    section_of,
    server,
)
from amid.tracking.dead_runs import close_dead_runs, process_tags
from amid.tracking.trouble import tracking_error

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from amid.core.types import RunRecord, RunSpec

ENTRIES_A_CALL, PARAMS_A_CALL = 1000, 100  # limits of the tracking store
LONGEST_PARAM = 500
Values = tuple[str, float, int, int]  # of a metric: name, value, milliseconds, epoch

KILLED_SECONDS = 1.0  # that a stage which is told to end waits for a store still being opened


class LoggedRun(Protocol):
    """A run as MLflow is told of it. folder: its path below the outs of the stage."""

    configuration: str
    folder: str
    spec: RunSpec


def _tolerant(log: Callable[..., None]) -> Callable[..., None]:
    """Let the stage continue without MLflow when MLflow cannot be written to.

    A later run of the stage logs what is missing. A full disk is raised at the end of the stage,
    after its outs are complete; an unreachable server, and whatever else MLflow raises, is a
    warning.
    """

    @wraps(log)
    def logged(self: Tracker, *values: Any) -> None:
        with self.tolerated():
            if self._refused is None:
                log(self, *values)

    return logged


class Tracker:
    """Logs one stage to `root`/mlruns, or to the server of MLFLOW_TRACKING_URI.

    Use as a context manager: the parent run ends FINISHED, FAILED when the stage raises, or KILLED
    when it is interrupted. Opening the store takes seconds: it happens on first use, or in the
    background from `open` on. A store that cannot be written to raises StorageError at the end of
    the stage; an unreachable server, and any other error of MLflow, is a warning on stderr.
    """

    def __init__(self, stage: str, root: Path, params: dict[str, Any]) -> None:
        self.stage, self.root = stage, root
        self.server = server(os.environ)
        self._params = params
        self._children: dict[str, str] = {}
        self._client: MlflowClient | None = None
        self._error: BaseException | None = None
        self._refused: AmidError | None = None
        self._start = int(time.time() * 1000)
        self._commit = _git_commit()
        self._opening = threading.Thread(target=self._open, daemon=True)
        # Not the thread's own end: a join that Ctrl-C breaks marks a living thread as ended.
        self._opened = threading.Event()

    def __enter__(self) -> Tracker:
        return self

    def open(self) -> None:
        """Begin to open the store, in a thread."""
        if self._opening.ident is None:
            self._opening.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        killed = kind is not None and issubclass(kind, KeyboardInterrupt)
        self.open()
        opened = self._opened.wait(KILLED_SECONDS if killed else None)
        if kind is not None and (self._error is not None or not opened):
            return  # the stage's own error is the one to show
        self._close("FINISHED" if kind is None else "KILLED" if killed else "FAILED")
        if kind is None and isinstance(self._refused, StorageError):
            raise self._refused

    @contextmanager
    def tolerated(self) -> Iterator[None]:
        """Within, an error of MLflow ends the block and is told, and the stage goes on."""
        try:
            yield
        except Exception as error:
            self._refused = self._refusal(error)
            if self._refused is None:
                raise
            fails = ", and fails at its end" if isinstance(self._refused, StorageError) else ""
            line = f"{self.stage}: goes on without MLflow{fails}: {self._refused}"
            print(line, file=sys.stderr, flush=True)

    def _refusal(self, error: Exception) -> AmidError | None:
        """Why MLflow cannot be written to; None if `error` is a bug."""
        folder = self.root / "mlruns"
        refused = storage_error(error, folder) if self.server is None else None
        stage = os.environ.get("DVC_STAGE", self.stage)
        return refused or tracking_error(error, self.server, folder / STORE, stage)

    @_tolerant
    def _close(self, status: str) -> None:
        self.client()
        for run_id in self._children.values():
            self._client.set_terminated(run_id, status)
        self._client.set_terminated(self.parent, status)

    @_tolerant
    def log_metrics(self, metrics: dict[str, float]) -> None:
        """Log metrics of the stage itself, such as numbers of clips."""
        self.client()
        for name, value in metrics.items():
            self._client.log_metric(self.parent, name, float(value))

    @_tolerant
    def log_files(self, *paths: Path) -> None:
        """Log files of the stage as artifacts of its run."""
        self.client()
        for path in paths:
            self._client.log_artifact(self.parent, str(path))

    @_tolerant
    def log_epochs(self, run: LoggedRun, lines: list[dict]) -> None:
        """Log some epochs of a run that is being trained; lines as in its journal."""
        self._log(run, _by_epoch(lines))

    @_tolerant
    def log_known(self, run: LoggedRun, record: RunRecord, lines: list[dict], model: Path) -> None:
        """`log_run` of a run trained earlier, unless MLflow has it (it does not in a new mlruns/,
        or for runs from `dvc pull`)."""
        self.client()
        if not self._logged(run.spec.key):
            self.log_run(run, record, lines or _as_lines(record), model)

    @_tolerant
    def log_run(self, run: LoggedRun, record: RunRecord, lines: list[dict], model: Path) -> None:
        """Log the remaining epochs, the results and the `model` file of a run, and close it."""
        epochs = {"best": record.history[record.best_epoch], "last": record.history[-1]}
        summary = {"best_epoch": record.best_epoch + 1}
        for at, metrics in epochs.items():
            for head in record.predictions[at]:
                summary[f"{at}_test_{head}"] = record.accuracy(head, at)
                if (name := f"validation_{head}") in metrics:
                    summary[f"{at}_{name}"] = metrics[name]
        for at, numbers in record.retrieval.items():  # "@" is not allowed in names there
            summary |= {f"{at}_test_{k.replace('@', '_at_')}": v for k, v in numbers.items()}
        now = int(time.time() * 1000)
        self._log(run, [*_by_epoch(lines), *((n, float(v), now, 0) for n, v in summary.items())])
        run_id = self._children.pop(run.spec.key)
        self._client.log_artifact(run_id, str(model))
        self._client.set_terminated(run_id, "FINISHED")

    def _open(self) -> None:
        try:
            self._client = open_any(self.root)
            artifacts = None if self.server else artifact_uri(self.root)
            self._experiment = experiment(self._client, section_of(self.stage), artifacts)
            self._experiments = experiments(self._client)
            close_dead_runs(self._client)
            run = self._client.create_run(
                self._experiment,
                start_time=self._start,
                run_name=self.stage,
                tags=redact_values({**process_tags(), **self._tags()}),
            )
            self.parent = run.info.run_id
            self._write(self.parent, self._params)
        except BaseException as error:  # handed to the stage's own thread
            self._error = error
        finally:
            self._opened.set()

    def client(self) -> MlflowClient:
        """The client on the open store; waits until it is open and the parent run exists."""
        self.open()
        self._opened.wait()
        if self._error is not None:
            raise self._error
        return self._client

    def _tags(self) -> dict[str, str]:
        tags = {
            "amid.stage": self.stage,
            "DVC_STAGE": os.environ.get("DVC_STAGE", self.stage),
            "DVC_EXP_NAME": os.environ.get("DVC_EXP_NAME", ""),
            "mlflow.source.name": self.stage,
        }
        return {**tags, "mlflow.source.git.commit": self._commit} if self._commit else tags

    def _log(self, run: LoggedRun, metrics: list[Values]) -> None:
        """Log metrics of a run, in as few requests as possible, since each is slow. Creates its
        MLflow run, with its parameters, if there is none yet."""
        self.client()
        key, params = run.spec.key, {}
        if key not in self._children:
            self._children[key], params = self._create(run), _params(run)
        self._write(self._children[key], params, metrics)

    def _create(self, run: LoggedRun) -> str:
        spec = run.spec
        tags = {
            **process_tags(),
            **self._tags(),
            "mlflow.parentRunId": self.parent,
            "amid.run": spec.key,
            "amid.code": spec.code,
            "amid.features": spec.features,
            "configuration": run.configuration,
            "dataset": spec.dataset,
            "method": spec.method,
            "seed": str(spec.seed),
            "fold": "" if spec.fold is None else str(spec.fold),
        }
        made = self._client.create_run(
            self._experiment, run_name=run_name(self.stage, run), tags=redact_values(tags)
        )
        return made.info.run_id

    def _write(self, run_id: str, params: dict[str, Any], metrics: Sequence[Values] = ()) -> None:
        from mlflow.entities import Metric, Param

        shown = redact_values(flatten(params))
        flat = [Param(name, text[:LONGEST_PARAM]) for name, text in shown.items()]
        rows = [Metric(*values) for values in metrics]
        while flat or rows:
            several = flat[:PARAMS_A_CALL]
            room = ENTRIES_A_CALL - len(several)
            self._client.log_batch(run_id, metrics=rows[:room], params=several)
            flat, rows = flat[PARAMS_A_CALL:], rows[room:]

    def _logged(self, key: str) -> bool:
        text = f"tags.`amid.run` = '{key}' and attributes.status = 'FINISHED'"
        return bool(self._client.search_runs(self._experiments, text, max_results=1))


def _params(run: LoggedRun) -> dict[str, Any]:
    """The parameters that people compare: without fingerprints, the method's under their names."""
    values = run.spec.to_dict()
    del values["code"], values["features"]
    return {**values.pop("options"), "configuration": run.configuration, **values}


def run_name(stage: str, run: LoggedRun) -> str:
    """The display name of a run: `avlips: amid, seed 0` for the folder `amid/seed0`."""
    words = [re.sub(r"^(seed|fold|trial)(?=\d)", r"\1 ", word) for word in run.folder.split("/")]
    of = "warm-up of " if section_of(stage) == "warmup" else ""
    return f"{run.spec.dataset}: {of}{', '.join(words)}"


def _git_commit() -> str | None:
    command = ["git", "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _by_epoch(lines: list[dict]) -> list[Values]:
    return [
        (name, value, line["time"], line["epoch"] + 1)
        for line in lines
        for name, value in line["metrics"].items()
    ]


def _as_lines(record: RunRecord) -> list[dict]:
    now = int(time.time() * 1000)
    return [{"epoch": e, "time": now, "metrics": m} for e, m in enumerate(record.history)]

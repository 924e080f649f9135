"""MLflow: a view of the runs for people. Parent run = stage, one level of children = trainings; an
experiment holds the runs of one section of the DAG.

Runs go to mlruns/, or to the server that MLFLOW_TRACKING_URI names (http:// or https://).
The only module that imports mlflow (but for amid.serving, which MLflow itself runs), and late:
workers never need it. Tables never read it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from amid.errors import AmidError, StorageError, storage_error
from amid.extractors import EXTRACTORS
from amid.reproducible import code_fingerprint, sha256_file
from amid.shown import masked, masked_values

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from amid.runs.plan import PlannedRun
    from amid.types import RunRecord
    from amid.views import View

STORE = "mlflow.db"
PREFIX = "amid: "  # of the experiments' names: a server may hold other people's as well
EARLIER = "amid"  # the one experiment that held all runs before there was one a section
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
    "adversarial": ("adversarial readings", "Readings of Eqs. 11 to 13, on validation."),
    "student": ("released students", "The best students on validation, as models to serve."),
    "tables": ("tables and figures", "One run a table or figure, with its files."),
}
ENTRIES_A_CALL, PARAMS_A_CALL = 1000, 100  # limits of the tracking store
LONGEST_PARAM = 500
# What a served student imports; the versions that are installed become the model's requirements.
SERVED_WITH = (
    *("mlflow", "torch", "numpy", "pandas", "pyarrow", "pydantic", "safetensors", "scipy"),
    *("opencv-python-headless", "av", "soundfile", "tqdm"),
)
# What close_dead_runs asks for, as the store holds it: the processes of this host's RUNNING runs.
LEFT = """
    SELECT process.value FROM runs
    JOIN tags AS host ON host.run_uuid = runs.run_uuid AND host.key = 'amid.host'
    JOIN tags AS process ON process.run_uuid = runs.run_uuid AND process.key = 'amid.process'
    WHERE runs.status = 'RUNNING' AND runs.lifecycle_stage = 'active' AND host.value = ?
"""

Values = tuple[str, float, int, int]  # of a metric: name, value, milliseconds, epoch

# Of one request to a server; a stage whose server is away waits for one request and its retries.
SERVER_SECONDS, SERVER_RETRIES = 10, 2
KILLED_SECONDS = 1.0  # that a stage which is told to end waits for a store still being opened


def _spared(log: Callable[..., None]) -> Callable[..., None]:
    """MLflow is a view: where it cannot be written to, the stage goes on without it, and a later
    start logs what is missing. A disk that is full or refuses is the error that the stage, with all
    it has made, ends in; a server that is away is a warning."""

    @wraps(log)
    def logged(self: Tracker, *values: Any) -> None:
        if self._refused is not None:
            return
        try:
            log(self, *values)
        except Exception as error:
            self._refused = self._refusal(error)
            if self._refused is None:
                raise
            fails = ", and fails at its end" if isinstance(self._refused, StorageError) else ""
            line = f"{self.stage}: goes on without MLflow{fails}: {self._refused}"
            print(line, file=sys.stderr, flush=True)

    return logged


class Tracker:
    """Logs one stage below `root`/mlruns, or on the server of MLFLOW_TRACKING_URI.

    Use as a context manager: the parent run ends FINISHED, or FAILED when the stage raises. The
    store is opened when it is first needed, or in the background from `open` on: it takes seconds.
    A store that cannot be written to does not stop the stage; StorageError at its end. Nor does a
    server that is away: a sentence on stderr.
    """

    def __init__(self, stage: str, root: Path, params: dict[str, Any]) -> None:
        self.stage, self.root = stage, root
        self._server = server(os.environ)
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
        """Begins to open the store, in a thread."""
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

    def _refusal(self, error: Exception) -> AmidError | None:
        """What kept MLflow from being written to; None for a mistake of ours."""
        if self._server is None:
            return storage_error(error, self.root / "mlruns")
        return _server_error(error, self._server, os.environ.get("DVC_STAGE", self.stage))

    @_spared
    def _close(self, status: str) -> None:
        self._ready()
        for run_id in self._children.values():
            self._client.set_terminated(run_id, status)
        self._client.set_terminated(self.parent, status)

    @_spared
    def log_metrics(self, metrics: dict[str, float]) -> None:
        """Metrics of the stage itself, such as counts of clips."""
        self._ready()
        for name, value in metrics.items():
            self._client.log_metric(self.parent, name, float(value))

    @_spared
    def log_files(self, *paths: Path) -> None:
        """Files of the stage, as artifacts of its run."""
        self._ready()
        for path in paths:
            self._client.log_artifact(self.parent, str(path))

    @_spared
    def log_epochs(self, run: PlannedRun, lines: list[dict]) -> None:
        """Metrics of some epochs of a run that is being trained; lines as in its journal."""
        self._log(run, _by_epoch(lines))

    @_spared
    def log_known(self, run: PlannedRun, record: RunRecord, lines: list[dict], model: Path) -> None:
        """`log_run` of one trained earlier, if it is not there yet (a new mlruns/, runs that came
        with `dvc pull`)."""
        self._ready()
        if not self._logged(run.spec.key):
            self.log_run(run, record, lines or _as_lines(record), model)

    @_spared
    def log_run(self, run: PlannedRun, record: RunRecord, lines: list[dict], model: Path) -> None:
        """Closes a run's MLflow run: the epochs not logged yet, the results, the `model` file."""
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

    def register(self, name: str, student: Path, card: dict[str, Any]) -> int:
        """Logs a released student (amid.student) with the stage's run and registers it as `name`;
        its version. A student that is the newest version already gets no new one."""
        self._ready()
        import mlflow
        from mlflow.exceptions import MlflowException

        made_of = _fingerprint(student)
        try:
            versions = self._client.search_model_versions(f"name = '{name}'", max_results=1000)
        except MlflowException:
            versions = []
        newest = max(versions, key=lambda found: int(found.version), default=None)
        if newest is not None and newest.tags.get("amid.student") == made_of:
            return int(newest.version)
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(self._server or _store(self.root))
        try:
            with mlflow.start_run(run_id=self.parent):
                logged = mlflow.pyfunc.log_model(
                    name="student",
                    python_model=str(Path(__file__).with_name("serving.py")),
                    artifacts={"student": str(student.resolve())},
                    code_paths=[str(Path(__file__).parent)],
                    signature=_signature(card),
                    pip_requirements=_requirements(),
                    registered_model_name=name,
                )
        finally:
            mlflow.set_tracking_uri(before)
        version = str(logged.registered_model_version)
        training, metrics = card["training"], card["metrics"]["run"]
        tags = {
            "amid.student": made_of,
            "amid.run": training["run"],
            "configuration": training["configuration"],
            "dataset": card["dataset"],
            "seed": training["seed"],
            **{key: value for key, value in metrics.items() if value is not None},
        }
        for key, value in tags.items():
            self._client.set_model_version_tag(name, version, key.replace("@", "_at_"), str(value))
        numbers = {k.replace("@", "_at_"): v for k, v in metrics.items() if v is not None}
        self.log_metrics(numbers)
        return int(version)

    def _open(self) -> None:
        try:
            self._client = open_any(self.root)
            artifacts = None if self._server else _artifacts(self.root)
            self._experiment = experiment(self._client, section_of(self.stage), artifacts)
            self._experiments = experiments(self._client)
            close_dead_runs(self._client)
            run = self._client.create_run(
                self._experiment,
                start_time=self._start,
                run_name=self.stage,
                tags=masked_values({**_process_tags(), **self._tags()}),
            )
            self.parent = run.info.run_id
            self._write(self.parent, self._params)
        except BaseException as error:  # handed to the stage's own thread
            self._error = error
        finally:
            self._opened.set()

    def _ready(self) -> None:
        self.open()
        self._opened.wait()
        if self._error is not None:
            raise self._error

    def _tags(self) -> dict[str, str]:
        tags = {
            "amid.stage": self.stage,
            "DVC_STAGE": os.environ.get("DVC_STAGE", self.stage),
            "DVC_EXP_NAME": os.environ.get("DVC_EXP_NAME", ""),
            "mlflow.source.name": self.stage,
        }
        return {**tags, "mlflow.source.git.commit": self._commit} if self._commit else tags

    def _log(self, run: PlannedRun, metrics: list[Values]) -> None:
        """Metrics of a run, in as few transactions as there can be: each costs far more than what
        it carries. Its MLflow run is made, with its parameters, when there is none yet."""
        self._ready()
        key, params = run.spec.key, {}
        if key not in self._children:
            self._children[key], params = self._create(run), _params(run)
        self._write(self._children[key], params, metrics)

    def _create(self, run: PlannedRun) -> str:
        spec = run.spec
        tags = {
            **_process_tags(),
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
            self._experiment, run_name=run_name(self.stage, run), tags=masked_values(tags)
        )
        return made.info.run_id

    def _write(self, run_id: str, params: dict[str, Any], metrics: Sequence[Values] = ()) -> None:
        from mlflow.entities import Metric, Param

        shown = masked_values(flatten(params))
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


def server(environment: Mapping[str, str]) -> str | None:
    """The MLflow server that runs are sent to; None where they go to mlruns/, as with any other
    value of MLFLOW_TRACKING_URI: a store of one's own is opened under its lock only."""
    uri = environment.get("MLFLOW_TRACKING_URI", "")
    return uri if uri.startswith(("http://", "https://")) else None


def section_of(stage: str) -> str:
    """The section of the DAG whose experiment holds a stage's runs."""
    name = stage.partition("@")[0]
    if name in ("download", "extract"):
        return "data"
    return "tables" if re.match(r"table|figure|tune_report", name) else name


def experiment_name(section: str) -> str:
    """Of a section that SECTIONS does not have (one's own in params.yaml) its own name."""
    return PREFIX + SECTIONS.get(section, (section, ""))[0]


def run_name(stage: str, run: PlannedRun) -> str:
    """As people read it: `avlips: amid, seed 0`, of the folder `amid/seed0`."""
    words = [re.sub(r"^(seed|fold|trial)(?=\d)", r"\1 ", word) for word in run.folder.split("/")]
    of = "warm-up of " if section_of(stage) == "warmup" else ""
    return f"{run.spec.dataset}: {of}{', '.join(words)}"


def experiment(client: MlflowClient, section: str, artifacts: str | None) -> str:
    """The id of a section's experiment, made if need be; artifacts: where, None: as the server
    says."""
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
    """Ids of this project's experiments; earlier: the one of before too. Runs stay in that one, and
    are logged in their sections' when their stages run again."""
    found = client.search_experiments(filter_string=f"name LIKE '{EARLIER}%'", max_results=1000)
    return [
        one.experiment_id
        for one in found
        if one.name.startswith(PREFIX) or (earlier and one.name == EARLIER)
    ]


def prepare_views(client: MlflowClient, views: Sequence[View]) -> dict[str, str]:
    """Stores each comparison with the experiments it compares; title -> path of its page. Left out
    are those of which an experiment is not there yet."""
    from amid.views import TAG

    paths = {}
    for view in views:
        named = map(client.get_experiment_by_name, map(experiment_name, view.sections))
        found = [one.experiment_id for one in named if one and one.lifecycle_stage == "active"]
        if len(found) == len(view.sections):
            for one in found:
                client.set_experiment_tag(one, TAG + view.key, view.state())
            paths[view.title] = view.path(found)
    return paths


def open_any(root: Path) -> MlflowClient:
    """A client on the server of MLFLOW_TRACKING_URI if it names one, else `open_client`."""
    uri = server(os.environ)
    return open_client(root) if uri is None else _server_client(uri)


def open_client(root: Path) -> MlflowClient:
    """A client on `root`/mlruns/mlflow.db, created on first use.

    Two processes that create the sqlite store at once destroy it, hence the lock; one that is
    killed while it creates the tables leaves a store that no later one can open, hence the rename.
    """
    _quiet()
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
            _make_tables(MlflowClient(tracking_uri=f"sqlite:///{part}"))
            part.replace(folder / STORE)
        client = MlflowClient(tracking_uri=_store(root))
        _make_tables(client)  # those of a newer MLflow
    return client


def _make_tables(client: MlflowClient) -> None:
    client.search_experiments(max_results=1)


def _server_client(uri: str) -> MlflowClient:
    """A client on a server. How long one that is away is waited for is bounded here: the defaults
    are 120 s a request and seven attempts more."""
    _quiet()
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(SERVER_SECONDS))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", str(SERVER_RETRIES))
    import logging

    logging.getLogger("urllib3").setLevel(logging.ERROR)  # a line an attempt, with the address
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def server_trouble(error: Exception, uri: str) -> str | None:
    """What a server that is away or refuses does; None for an error of another kind."""
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
        why = f"refuses: {masked(' '.join(text.split()))[:200]}"
    return f"the server {masked(uri)} {why}"


def _server_error(error: Exception, uri: str, stage: str) -> AmidError | None:
    """The sentence for a server that is away or refuses; None for an error of another kind."""
    trouble = server_trouble(error, uri)
    return trouble and AmidError(
        f"{trouble}; `dvc repro --force --single-item {stage}` logs what is missing later, without "
        "a training."
    )


def _quiet() -> None:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def close_dead_runs(client: MlflowClient) -> int:
    """Marks runs KILLED that are RUNNING although their process on this host is gone; how many."""
    running = client.search_runs(
        experiments(client, earlier=True),
        f"attributes.status = 'RUNNING' and tags.`amid.host` = '{platform.node()}'",
        max_results=1000,
    )
    dead = [run for run in running if not _alive(run.data.tags.get("amid.process", ""))]
    for run in dead:
        client.set_terminated(run.info.run_id, "KILLED")
    return len(dead)


def close_left_running(root: Path) -> int:
    """`close_dead_runs` below `root`/mlruns; mlflow is imported only when there is one to close."""
    try:
        uri = (root / "mlruns" / STORE).resolve().as_uri() + "?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as database:
            processes = [process for (process,) in database.execute(LEFT, (platform.node(),))]
    except sqlite3.OperationalError:  # no store yet
        return 0
    if all(map(_alive, processes)):
        return 0
    return close_dead_runs(open_client(root))


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _params(run: PlannedRun) -> dict[str, Any]:
    """What people compare: the method's numbers under their own names, no fingerprints."""
    values = run.spec.to_dict()
    del values["code"], values["features"]
    return {**values.pop("options"), "configuration": run.configuration, **values}


def _artifacts(root: Path) -> str:
    # An experiment's artifact path is fixed for good: given, not left to the working directory.
    return (root / "mlruns" / "artifacts").resolve().as_uri()


def _store(root: Path) -> str:
    return f"sqlite:///{root / 'mlruns' / STORE}"


def _signature(card: dict[str, Any]) -> Any:
    """Of a served student: the target modality's features or a file's path in, the answer out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array, Map, Object, Property

    features: Any = DataType.double
    for _ in card["input"]["shape"]:
        features = Array(features)
    inputs = [
        ColSpec(DataType.string, "path", required=False),
        ColSpec(DataType.double, "start", required=False),
        ColSpec(DataType.double, "end", required=False),
        ColSpec(features, card["target"], required=False),
    ]
    neighbour = Object(
        [
            Property("id", DataType.string),
            Property("label", DataType.string),
            Property("cosine", DataType.double),
            Property("path", DataType.string),
            Property("start", DataType.double, required=False),
            Property("end", DataType.double, required=False),
        ]
    )
    outputs = [
        ColSpec(DataType.string, "path", required=False),
        ColSpec(DataType.string, "label", required=False),
        ColSpec(DataType.double, "probability", required=False),
        ColSpec(Map(DataType.double), "probabilities", required=False),
        ColSpec(Array(neighbour), "neighbours", required=False),
        ColSpec(DataType.string, "problem", required=False),
    ]
    parameters = ParamSchema([ParamSpec("neighbours", DataType.integer, 0)])
    return ModelSignature(Schema(inputs), Schema(outputs), parameters)


def _requirements() -> list[str]:
    from importlib.metadata import version

    # "2.13.0+cpu" names a build that the package index need not have
    return [f"{name}=={version(name).partition('+')[0]}" for name in SERVED_WITH]


def _fingerprint(student: Path) -> str:
    """sha256 over a released student and the code that serves it."""
    files = sorted(path for path in student.rglob("*") if path.is_file())
    sums = [f"{path.relative_to(student).as_posix()} {sha256_file(path)}" for path in files]
    code = code_fingerprint("amid.serving", "amid.student", *EXTRACTORS.values())
    return hashlib.sha256("\n".join([*sums, code]).encode()).hexdigest()


def _process_tags() -> dict[str, str]:
    return {"amid.host": platform.node(), "amid.process": _process(os.getpid())}


def _process(pid: int) -> str:
    """pid and, where the system tells, its start time: pids are used again."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        return f"{pid}:{stat.rpartition(')')[2].split()[19]}"
    except OSError:
        return f"{pid}:"


def _alive(process: str) -> bool:
    pid = process.partition(":")[0]
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _process(int(pid)) == process


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

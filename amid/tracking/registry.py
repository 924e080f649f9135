"""Register released students in MLflow's model registry, to be served."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from amid.core.reproducible import code_fingerprint
from amid.extractors import EXTRACTORS
from amid.io.checksums import sha256_file
from amid.tracking.client import store_uri
from amid.tracking.tracker import Tracker

# What a served student imports; the versions that are installed become the model's requirements.
SERVED_WITH = (
    *("mlflow", "torch", "numpy", "pandas", "pyarrow", "pydantic", "safetensors", "scipy"),
    *("opencv-python-headless", "av", "soundfile", "tqdm"),
)


def register_student(
    tracker: Tracker, name: str, student: Path, card: dict[str, Any]
) -> int | None:
    """Register a released student (amid.serving.student) as a new version of the model `name`.

    The files are logged with the stage's run. A student that is the newest version already is not
    registered again. Returns the number of its version, None where MLflow cannot be used.
    """
    version = None
    with tracker.tolerated():
        version = _register(tracker, name, student, card)
    return version


def _register(tracker: Tracker, name: str, student: Path, card: dict[str, Any]) -> int:
    client = tracker.client()
    import mlflow
    from mlflow.exceptions import MlflowException

    made_of = _fingerprint(student)
    try:
        versions = client.search_model_versions(f"name = '{name}'", max_results=1000)
    except MlflowException:
        versions = []
    newest = max(versions, key=lambda found: int(found.version), default=None)
    if newest is not None and newest.tags.get("amid.student") == made_of:
        return int(newest.version)
    before, variable = mlflow.get_tracking_uri(), os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(tracker.server or store_uri(tracker.root))
    try:
        with mlflow.start_run(run_id=tracker.parent):
            logged = mlflow.pyfunc.log_model(
                name="student",
                python_model=str(Path(__file__).parents[1] / "serving" / "mlflow_model.py"),
                artifacts={"student": str(student.resolve())},
                code_paths=[str(Path(__file__).parents[1])],
                signature=_signature(),
                pip_requirements=_requirements(),
                registered_model_name=name,
            )
    finally:
        mlflow.set_tracking_uri(before)  # which sets the variable as well
        if variable is None:
            del os.environ["MLFLOW_TRACKING_URI"]
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
        client.set_model_version_tag(name, version, key.replace("@", "_at_"), str(value))
    numbers = {k.replace("@", "_at_"): v for k, v in metrics.items() if v is not None}
    tracker.log_metrics(numbers)
    return int(version)


def _signature() -> Any:
    """The signature of a served student: its answer and its parameters. None of its input: with
    one, MLflow refuses CSV and several clips in `inputs` or `instances` (amid.serving.mlflow_model
    checks what it gets itself)."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array, Map, Object, Property

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
    return ModelSignature(outputs=Schema(outputs), params=parameters)


def _requirements() -> list[str]:
    from importlib.metadata import version

    # "2.13.0+cpu" names a build that the package index need not have
    return [f"{name}=={version(name).partition('+')[0]}" for name in SERVED_WITH]


def _fingerprint(student: Path) -> str:
    """sha256 over the files of a released student and the code that serves it."""
    files = sorted(path for path in student.rglob("*") if path.is_file())
    sums = [f"{path.relative_to(student).as_posix()} {sha256_file(path)}" for path in files]
    code = code_fingerprint(
        "amid.serving.mlflow_model", "amid.serving.student", *EXTRACTORS.values()
    )
    return hashlib.sha256("\n".join([*sums, code]).encode()).hexdigest()

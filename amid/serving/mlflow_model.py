"""The student as an MLflow model from code, so that nothing is pickled.

MLflow copies this file beside the student's folder and runs it when the model is loaded; it is
imported nowhere else. A request holds clips, each of which gives either

    path (start, end)      a file on the server and, optionally, the seconds of it to use
    <target modality>      the features, as the data set's extractor returns them

and gets label, probability, probabilities and neighbours (as many as the parameter of that name),
or the problem of a clip that cannot be used. Clips come in any of MLflow's forms: a data frame
(`dataframe_records`, `dataframe_split`, CSV, where features are JSON), `instances` or `inputs`. The
model has no schema of its input, since MLflow then converts or rejects forms before they arrive.
"""

import amid.core.reproducible  # noqa: F401  isort: skip  pins kernels before torch, numpy and OpenCV load

import json
import math
from collections.abc import Sequence
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from amid.errors import AmidError
from amid.media.guard import LIMITS
from amid.serving import student
from amid.serving.inputs import Given
from amid.serving.student import Prediction, Student


class StudentModel(mlflow.pyfunc.PythonModel):
    """Predicts the classes of clips."""

    def load_context(self, context: Any) -> None:
        self.student: Student = student.load(context.artifacts["student"])

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """One prediction per clip, in their order. A clip without path or features is rejected.

        model_input: any of what `records` takes; it is annotated as a data frame since that is the
        hint that MLflow takes for no schema.
        """
        neighbours = int((params or {}).get("neighbours", 0))
        if neighbours < 0:
            raise _refused("'neighbours' must be 0 or more")
        target = self.student.target
        rows = records(model_input, target, len(self.student.shape))
        if not rows:
            raise _refused(f"it holds no clip: give 'path' or '{target}', the features, of each")
        clips = [self._given(number, row) for number, row in enumerate(rows)]
        files = [clip for clip in clips if isinstance(clip, Given)]
        answers = self.student.predictions(files, neighbours=neighbours, limits=LIMITS)
        return [
            (next(answers) if isinstance(clip, Given) else self._answer(clip, neighbours)).as_dict()
            for clip in clips
        ]

    def _given(self, number: int, row: dict[str, Any]) -> Any:
        """The file of a clip, or its features."""
        target = self.student.target
        path, features = row.get("path"), row.get(target)
        if _missing(path) == _missing(features):
            raise _refused(f"clip {number} must give either 'path' or '{target}', the features")
        if _missing(path):
            return _parsed(features)
        if not isinstance(path, str):
            raise _refused(f"'path' of clip {number} is no text")
        times = [_seconds(number, name, row.get(name)) for name in ("start", "end")]
        return Given(path, *times)

    def _answer(self, features: Any, neighbours: int) -> Prediction:
        try:
            clip = unpadded(features, self.student.shape)
            return self.student.answer([clip], neighbours=neighbours)[0]
        except AmidError as error:
            return Prediction("", {}, problem=str(error))


def records(given: Any, target: str, axes: int) -> list[dict[str, Any]]:
    """The clips of a request in any form that MLflow hands on: a data frame, a dict of columns, or
    a list of dicts, of paths or of features.

    axes: of one clip's features, by which one clip is told from several.
    """
    if isinstance(given, pd.DataFrame):
        return [{str(name): v for name, v in row.items()} for row in given.to_dict("records")]
    if isinstance(given, dict):
        return _columns(given, target, axes)
    if isinstance(given, list) and given and isinstance(given[0], dict):
        return [{name: _single(value) for name, value in row.items()} for row in given]
    clips = [_single(clip) for clip in _several(_single(given), axes)]
    return [{"path" if isinstance(clip, str) else target: clip} for clip in clips]


def _columns(given: dict[str, Any], target: str, axes: int) -> list[dict[str, Any]]:
    """Rows of a dict of columns; a single value holds for all."""
    columns = {
        name: _several(value, axes if name == target else 0) for name, value in given.items()
    }
    counts = {name: len(values) for name, values in columns.items()}
    most = max(counts.values(), default=0)
    if uneven := {name: count for name, count in counts.items() if count not in (1, most)}:
        told = ", ".join(f"{count} of '{name}'" for name, count in {**counts, **uneven}.items())
        raise _refused(f"its columns are not equally long: {told}")
    return [
        {name: _single(values[n if len(values) > 1 else 0]) for name, values in columns.items()}
        for n in range(most)
    ]


def unpadded(features: Any, shape: Sequence[int | None]) -> Any:
    """Features without rows of null at their end, with which sequences of any length are padded
    where a form of request wants them equally long; of a fixed length they are left as they are."""
    if shape[:1] != (None,):
        return features
    try:
        array = np.asarray(features, np.float64)
    except (TypeError, ValueError):
        return features  # told by whoever uses them
    if array.ndim != len(shape):
        return features
    real = np.flatnonzero(~np.isnan(array).reshape(len(array), -1).all(axis=1))
    return array[: real[-1] + 1 if len(real) else 0]


def _several(given: Any, axes: int) -> Sequence[Any]:
    """The values of a column of which each has `axes` axes: one becomes a list of it."""
    depth, first = 0, given
    while isinstance(first, list | tuple) or (isinstance(first, np.ndarray) and first.ndim):
        if not len(first):
            return []
        depth, first = depth + 1, first[0]
    text = isinstance(first, str)
    return [given] if depth <= (0 if text else axes) else given


def _single(value: Any) -> Any:
    """A value out of numpy's wrapping."""
    return value.item() if isinstance(value, np.ndarray | np.generic) and value.ndim == 0 else value


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _parsed(features: Any) -> Any:
    """Features; of a CSV file they are JSON."""
    if isinstance(features, str):
        try:
            return json.loads(features)
        except ValueError:
            pass  # told as any other features that are no numbers
    return features


def _seconds(number: int, name: str, value: Any) -> float:
    if _missing(value):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        raise _refused(f"'{name}' of clip {number} is no number of seconds") from None


def _refused(why: str) -> MlflowException:
    return MlflowException(f"The request cannot be answered: {why}.", INVALID_PARAMETER_VALUE)


mlflow.models.set_model(StudentModel())

"""The student as an MLflow model from code, so that nothing is pickled.

MLflow copies this file beside the student's folder and runs it when the model is loaded; it is
imported nowhere else. A request has one row per clip, which gives either

    path (start, end)      a file on the server and, optionally, the seconds of it to use
    <target modality>      the features, as the data set's extractor returns them

and gets label, probability, probabilities and neighbours (as many as the parameter of that name),
or the problem of a clip that cannot be used. All rows of a request give paths, or all give
features: MLflow rejects a data frame with a column of arrays that has missing values.
"""

import amid.core.reproducible  # noqa: F401  isort: skip  pins kernels before torch, numpy and OpenCV load

import math
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from amid.errors import AmidError
from amid.media.guard import LIMITS
from amid.serving import student
from amid.serving.student import Prediction, Student


class StudentModel(mlflow.pyfunc.PythonModel):
    """Predicts the classes of clips in a data frame."""

    def load_context(self, context: Any) -> None:
        self.student: Student = student.load(context.artifacts["student"])

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """One prediction per row, in their order. A row without path or features is rejected."""
        neighbours = int((params or {}).get("neighbours", 0))
        if neighbours < 0:
            raise _refused("'neighbours' must be 0 or more")
        if not len(model_input.columns):
            raise _refused(f"give 'path' or '{self.student.target}', the features, in each row")
        rows = model_input.to_dict("records")
        return [self._answer(number, row, neighbours) for number, row in enumerate(rows)]

    def _answer(self, number: int, row: dict[str, Any], neighbours: int) -> dict[str, Any]:
        path, features = row.get("path"), row.get(self.student.target)
        given = [value is not None and value is not pd.NA for value in (path, features)]
        given[0] = given[0] and isinstance(path, str)
        given[1] = given[1] and not isinstance(features, float)  # NaN stands for nothing
        if given[0] == given[1]:
            raise _refused(
                f"row {number} must give either 'path' or '{self.student.target}', the features"
            )
        if given[0]:
            span = {name: _seconds(row.get(name)) for name in ("start", "end")}
            (answer,) = self.student.predict([path], **span, neighbours=neighbours, limits=LIMITS)
        else:
            try:
                (answer,) = self.student.answer([features], neighbours=neighbours)
            except AmidError as error:
                answer = Prediction("", {}, problem=str(error))
        return answer.as_dict()


def _seconds(value: Any) -> float:
    return math.nan if value is None or value is pd.NA else float(value)


def _refused(why: str) -> MlflowException:
    return MlflowException(f"The request cannot be answered: {why}.", INVALID_PARAMETER_VALUE)


mlflow.models.set_model(StudentModel())

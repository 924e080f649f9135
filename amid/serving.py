"""The student as MLflow serves it: a model from code, so that nothing is pickled.

MLflow copies this file beside the student's folder and runs it when the model is loaded; it is
imported nowhere else. A request has one row a clip, which names either

    path (start, end)      a file on the server and, if wanted, the seconds of it to look at
    <target modality>      the features themselves, as the data set's extractor gives them

and gets label, probability, probabilities, neighbours (by the parameter of that name) and, in place
of these, the problem of a clip that cannot be used. All rows of a request give paths, or all give
features: MLflow takes no data frame in which half a column of arrays is missing.
"""

import amid.reproducible  # noqa: F401  isort: skip  pins kernels before torch, numpy and OpenCV load

import math
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from amid import student
from amid.errors import AmidError
from amid.media.guard import LIMITS
from amid.student import Prediction, Student


class StudentModel(mlflow.pyfunc.PythonModel):
    """Answers data frames about clips."""

    def load_context(self, context: Any) -> None:
        self.student: Student = student.load(context.artifacts["student"])

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """One answer a row, in their order. A row that names nothing to look at is refused."""
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

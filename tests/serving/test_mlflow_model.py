"""The registered student: code, not a pickle; and a real server that answers real requests."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from amid.serving import student
from tests.released import put_project, silent_clips
from tests.small import ROOT
from tests.stages.test_mistakes import stage

NAME = "amid-avlips-student"
# 10 s with the fixtures, each in the mean
pytestmark = [pytest.mark.slow(seconds=10), pytest.mark.usefixtures("warm")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, warm: Path) -> Path:
    """A project in which the stage has run, with two silent clips."""
    folder = tmp_path_factory.mktemp("served")
    put_project(folder)
    silent_clips(folder)
    done = stage(folder, "stages.student", "avlips")
    assert done.returncode == 0, done.stderr
    assert f"{NAME} version 1 in MLflow" in done.stdout
    return folder


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[str]:
    """The address of `mlflow models serve`, which knows neither the repository nor its folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{place}/mlruns/mlflow.db"
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{NAME}/latest"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--env-manager", "local"]
    with (place / "serve.log").open("w") as log:
        running = subprocess.Popen(
            command, cwd=place.parent, env=environment, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"{address}/ping", timeout=5)
                    break
                except OSError:
                    assert running.poll() is None, (place / "serve.log").read_text()
                    time.sleep(0.5)
            yield address
        finally:
            os.killpg(running.pid, 15)
            running.wait(30)


def ask(server: str, rows: list[dict], **params: int) -> list[dict]:
    body = json.dumps({"dataframe_records": rows, "params": params}).encode()
    request = urllib.request.Request(
        f"{server}/invocations", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())["predictions"]


def test_the_registered_model_has_a_signature_and_no_pickle(place: Path) -> None:
    from amid.tracking.client import open_client

    client = open_client(place)
    version = client.get_model_version(NAME, "1")
    card = json.loads((place / "student" / "avlips" / "card.json").read_text())
    assert version.tags["amid.run"] == card["training"]["run"]
    assert float(version.tags["validation_top1"]) == card["metrics"]["run"]["validation_top1"]
    folder = next((place / "mlruns" / "artifacts").rglob("MLmodel")).parent
    names = {path.name for path in folder.rglob("*")}
    assert {"mlflow_model.py", "card.json", "model.safetensors"} <= names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".pyc"))]
    from mlflow.models import Model

    logged = Model.load(folder)
    assert logged.flavors["python_function"]["model_code_path"].endswith("mlflow_model.py")
    assert logged.signature.outputs.input_names()[:2] == ["path", "label"]
    assert [param.name for param in logged.signature.params.params] == ["neighbours"]


def test_the_same_student_gets_no_second_version(place: Path) -> None:
    done = stage(place, "stages.student", "avlips")
    assert f"{NAME} version 1 in MLflow" in done.stdout, done.stderr


def test_a_clips_path_and_its_features_get_the_same_answer(place: Path, server: str) -> None:
    model = student.load(place / "student" / "avlips")
    features = model.features(place / "one.avi", start=0.2, end=0.8)
    row = {"path": str(place / "one.avi"), "start": 0.2, "end": 0.8}
    (by_path,) = ask(server, [row], neighbours=2)
    (by_features,) = ask(server, [{"video": features.tolist()}], neighbours=2)
    (expected,) = model.answer([features], neighbours=2)
    assert by_path.pop("path") == row["path"]
    assert by_path == by_features
    assert by_path["label"] == expected.label
    assert by_path["probabilities"] == pytest.approx(expected.probabilities, abs=1e-6)
    assert [near["id"] for near in by_path["neighbours"]] == [n.id for n in expected.neighbours]


def test_several_rows_are_answered_in_order_and_a_bad_one_says_why(
    place: Path, server: str
) -> None:
    rows = [{"path": "/no/such.avi"}, {"path": str(place / "two.avi")}]
    bad, good = ask(server, rows)
    assert bad["problem"].startswith("/no/such.avi cannot be used (missing file)")
    assert good["label"] in ("blue", "green", "red", "white")
    (wrong,) = ask(server, [{"video": [[1.0, 2.0]]}])
    assert wrong["problem"].startswith("The features are 1 x 2, but this student takes")


def invoke(server: str, body: str | dict, kind: str = "application/json") -> list[dict]:
    data = body if isinstance(body, str) else json.dumps(body)
    request = urllib.request.Request(f"{server}/invocations", data.encode(), {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())["predictions"]


def test_every_form_of_request_gets_the_same_answers(place: Path, server: str) -> None:
    """Those of MLflow's documents, of two clips, by paths with spans and by features."""
    paths = [str(place / name) for name in ("one.avi", "two.avi")]
    spans = {"start": [0.2, 0.0], "end": [0.8, 0.6]}
    model = student.load(place / "student" / "avlips")
    features = [
        model.features(path, start=start, end=end).tolist()
        for path, start, end in zip(paths, *spans.values(), strict=True)
    ]
    expected = [answer.probabilities for answer in model.answer(features)]
    of_paths, of_features = {"path": paths, **spans}, {"video": features}
    for columns in (of_paths, of_features):
        names = list(columns)
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        split = {"columns": names, "data": [list(row.values()) for row in rows]}
        table = io.StringIO()
        pd.DataFrame(
            [{k: v if k != "video" else json.dumps(v) for k, v in row.items()} for row in rows]
        ).to_csv(table, index=False)
        found = [
            invoke(server, {"dataframe_records": rows}),
            invoke(server, {"dataframe_split": split}),
            invoke(server, {"instances": rows}),
            invoke(server, {"inputs": columns}),
            invoke(server, {"inputs": rows}),
            invoke(server, table.getvalue(), "text/csv"),
        ]
        for answers in found:
            assert len(answers) == 2
            for answer, shares in zip(answers, expected, strict=True):
                assert answer["probabilities"] == pytest.approx(shares, abs=1e-6)
    for key in ("instances", "inputs"):
        assert [a["label"] for a in invoke(server, {key: features})] == [
            max(shares, key=shares.get) for shares in expected
        ]
        assert [a["path"] for a in invoke(server, {key: paths})] == paths


@pytest.mark.parametrize("form", ["dataframe_records", "instances", "inputs"])
@pytest.mark.parametrize("row", [{"start": 1.0}, {"audio": [[1.0]]}])
def test_a_request_about_nothing_is_refused(server: str, row: dict, form: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        invoke(server, {form: [row]})
    assert refusal.value.code == 400
    assert "'video', the features" in refusal.value.read().decode()


def test_the_served_code_is_this_projects(place: Path) -> None:
    copy = next((place / "mlruns" / "artifacts").rglob("code")) / "amid"
    for path in ("student.py", "encoding.py"):
        served = (copy / "serving" / path).read_text()
        assert served == (ROOT / "amid" / "serving" / path).read_text()

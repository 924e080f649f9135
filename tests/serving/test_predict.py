"""`python -m amid.predict` and amid.serving.student: real clips in, classes and neighbours out."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from amid import predict
from amid.errors import AmidError
from amid.media.guard import LIMITS, Limits
from amid.serving import student
from tests.media.clips import cut, write_both
from tests.released import made_student, silent_clips
from tests.small import ROOT


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """student/avlips and two silent clips."""
    folder = tmp_path_factory.mktemp("place")
    made_student(folder)
    silent_clips(folder)
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def asked(capsys: pytest.CaptureFixture, *words: str) -> tuple[int, str, str]:
    code = predict.main(words)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_a_clip_without_sound_gets_classes_and_probabilities(here: Path, capsys) -> None:
    code, out, err = asked(capsys, "one.avi", "two.avi")
    assert (code, err) == (0, "")
    first, second = out.split("\n\n")
    assert first.splitlines()[0] == "one.avi"
    assert second.splitlines()[0] == "two.avi"
    shares = [float(line.split()[1]) for line in first.splitlines()[2:]]
    assert len(shares) == 4
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.3)


def test_top_cuts_the_list(here: Path, capsys) -> None:
    _, out, _ = asked(capsys, "one.avi", "--top", "2")
    assert len(out.splitlines()) == 2 + 2


def test_neighbours_are_the_nearest_training_clips(here: Path, capsys) -> None:
    code, out, _ = asked(capsys, "one.avi", "--neighbours", "3", "--json")
    assert code == 0
    (answer,) = json.loads(out)
    model = student.load("student/avlips")
    gallery = np.load("student/avlips/training.npy", allow_pickle=False).astype(np.float64)
    query = model.represent([model.features("one.avi")])[0].astype(np.float64)
    cosines = gallery @ query / np.linalg.norm(gallery, axis=1) / np.linalg.norm(query)
    best = np.argsort(-cosines)[:3]
    assert [near["id"] for near in answer["neighbours"]] == [f"clip{n:03d}" for n in best]
    found = [near["cosine"] for near in answer["neighbours"]]
    assert found == pytest.approx(cosines[best].tolist(), abs=1e-5)
    for near, number in zip(answer["neighbours"], best, strict=True):
        assert near["path"] == f"data/avlips/raw/clip{number:03d}.avi"
        assert ("start" in near) == (number % 2 == 1)
    _, out, _ = asked(capsys, "one.avi", "--neighbours", "3")
    assert f"data/avlips/raw/clip{best[0]:03d}.avi" in out


def test_a_training_clip_is_its_own_neighbour(place: Path) -> None:
    model = student.load(place / "student" / "avlips")
    features = np.load(place / "data" / "avlips" / "features" / "video.npy", allow_pickle=False)[:5]
    for number, answer in enumerate(model.answer(features, neighbours=1)):
        assert answer.neighbours[0].id == f"clip{number:03d}"
        assert answer.neighbours[0].cosine == pytest.approx(1, abs=1e-5)


def test_limits_of_a_child_that_decodes_are_those_of_extraction(here: Path) -> None:
    model = student.load("student/avlips")
    (free,) = model.predict(["one.avi"])
    (held,) = model.predict(["one.avi"], limits=LIMITS)
    assert held == free
    (late,) = model.predict(["one.avi"], limits=Limits(seconds=0.0))
    assert late.problem.startswith("one.avi cannot be used (timeout)")


@pytest.mark.slow
def test_a_closed_pipe_is_no_traceback(here: Path) -> None:
    command = [sys.executable, "-m", "amid.predict", "one.avi"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as asking:
        asking.stdout.close()
        assert asking.stderr.read() == b""


def test_start_and_end_choose_what_is_looked_at(here: Path, capsys) -> None:
    _, whole, _ = asked(capsys, "one.avi", "--json")
    _, part, _ = asked(capsys, "one.avi", "--json", "--start", "0.2", "--end", "0.5")
    assert whole != part
    code, _, err = asked(capsys, "one.avi", "--start", "5", "--end", "6")
    assert code == 1
    assert "one.avi cannot be used (span outside)" in err


def test_what_cannot_be_used_is_a_sentence_and_the_rest_is_answered(here: Path, capsys) -> None:
    Path("page.avi").write_text("<html>404</html>")
    Path("empty.avi").write_bytes(b"")
    short = cut(here / "two.avi", 0.5).name
    names = ["page.avi", "missing.avi", "empty.avi", short]
    code, out, err = asked(capsys, *names, "one.avi")
    assert code == 1
    assert out.startswith("one.avi\n")
    lines = err.splitlines()
    assert len(lines) == len(names)
    for line, name in zip(lines, names, strict=True):
        assert line.startswith(f"error: {name} cannot be used (")
        assert line.endswith(".")


def test_a_clip_with_sound_is_no_other(here: Path) -> None:
    times = [n / 25 for n in range(25)]
    write_both(here / "silent.mkv", times)
    write_both(here / "loud.mkv", times, np.zeros(16000, np.float32))
    silent, loud = student.load("student/avlips").predict(["silent.mkv", "loud.mkv"])
    assert silent.problem is None
    assert silent.probabilities == loud.probabilities


@pytest.mark.parametrize("seconds", [0.4, 3.0])
def test_the_length_of_a_sound_that_is_not_used_does_not_matter(here: Path, seconds: float) -> None:
    """The picture lasts one second; a data set would exclude both clips."""
    times = [n / 25 for n in range(25)]
    write_both(here / "plain.mkv", times)
    write_both(here / "other.mkv", times, np.zeros(round(16000 * seconds), np.float32))
    model = student.load("student/avlips")
    plain, other = model.predict(["plain.mkv", "other.mkv"])
    assert other.problem is None
    assert other.probabilities == plain.probabilities
    assert np.array_equal(model.features("plain.mkv"), model.features("other.mkv"))


@pytest.fixture
def films(here: Path) -> Path:
    """A folder with clips, one of them below, and files that are none."""
    folder = here / "films"
    (folder / "b" / ".cache").mkdir(parents=True, exist_ok=True)
    shutil.copy("one.avi", folder / "a.avi")
    shutil.copy("two.avi", folder / "b" / "c.AVI")
    shutil.copy("two.avi", folder / "b" / ".cache" / "d.avi")
    (folder / "notes.txt").write_text("no clip")
    return folder


def test_folders_and_patterns_are_taken(films: Path, capsys) -> None:
    code, out, err = asked(capsys, "films", "--format", "jsonl", "--batch", "1")
    assert (code, err) == (0, "")
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["path"] for answer in answers] == ["films/a.avi", "films/b/c.AVI"]
    alone = [json.loads(asked(capsys, n, "--json")[1])[0] for n in ("one.avi", "two.avi")]
    for answer, other in zip(answers, alone, strict=True):
        assert answer["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)
    _, out, _ = asked(capsys, "films/*.avi", "films/**/*.AVI", "--format", "jsonl")
    assert [json.loads(line)["path"] for line in out.splitlines()] == [
        "films/a.avi",
        "films/b/c.AVI",
    ]


def test_a_manifest_names_clips_and_their_seconds(films: Path, capsys) -> None:
    (films / "list.csv").write_text("id,path,start,end\nx,a.avi,0.2,0.8\ny,b/c.AVI,,\nz,,,\n")
    (films / "list.tsv").write_text('id\tvideo\tnote\nx\ta.avi\t"\ny\tb/c.AVI\t"\n')
    code, out, err = asked(capsys, "--manifest", "films/list.csv", "--format", "csv")
    assert (code, err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(r["id"], r["path"], r["start"], r["end"]) for r in rows] == [
        ("x", "films/a.avi", "0.2", "0.8"),
        ("y", "films/b/c.AVI", "", ""),
    ]
    first, _ = student.load("student/avlips").predict(["one.avi", "two.avi"], start=0.2, end=0.8)
    assert rows[0]["label"] == first.label
    assert float(rows[0]["probability"]) == pytest.approx(first.probability, abs=1e-6)
    for name, share in first.probabilities.items():
        assert float(rows[0][f"probability_{name}"]) == pytest.approx(share, abs=1e-6)
    code, out, _ = asked(capsys, "--manifest", "films/list.tsv", "--format", "jsonl")
    assert [json.loads(line)["id"] for line in out.splitlines()] == ["x", "y"]
    pd.DataFrame({"path": ["a.avi"], "start": [0.2], "end": [0.8]}).to_parquet(films / "l.parquet")
    (answer,) = json.loads(asked(capsys, "--manifest", "films/l.parquet", "--json")[1])
    assert (answer["start"], answer["label"]) == (0.2, first.label)


def test_a_clip_without_an_answer_keeps_its_row(films: Path, capsys) -> None:
    (films / "list.csv").write_text("path\nnone.avi\na.avi\n")
    code, out, err = asked(capsys, "--manifest", "films/list.csv", "--format", "csv")
    assert code == 1
    assert err.startswith("error: films/none.avi cannot be used (missing file)")
    bad, good = csv.DictReader(io.StringIO(out))
    assert (bad["label"], good["problem"]) == ("", "")
    assert bad["problem"].startswith("films/none.avi cannot be used")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("clip\na.avi\n", r"has no column 'video' or 'path' with the files: it has clip"),
        ("path,start\na.avi,soon\n", r"row 1: 'soon' is no number of seconds"),
        ("path\n", "names no clip"),
        (None, "cannot be read as a manifest"),
    ],
)
def test_a_wrong_manifest_is_a_sentence(here: Path, capsys, content, words) -> None:
    if content is not None:
        Path("wrong.csv").write_text(content)
    else:
        Path("wrong.csv").unlink(missing_ok=True)
    code, out, err = asked(capsys, "--manifest", "wrong.csv")
    assert (code, out) == (1, "")
    assert re.search(words, err)
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("word", ["empty", "films/*.mkv"])
def test_nothing_to_predict_is_a_sentence(here: Path, capsys, word: str) -> None:
    Path("empty").mkdir(exist_ok=True)
    code, _, err = asked(capsys, word)
    assert code == 1
    assert word in err


def test_neighbours_do_not_fit_into_csv(here: Path, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        predict.main(["one.avi", "--format", "csv", "--neighbours", "1"])
    assert stopped.value.code == 2


def test_a_wrong_folder_is_a_sentence(here: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    code, _, err = asked(capsys, "one.avi", "--model", "data")
    assert code == 1
    assert err.startswith("error: data holds no student (card.json is missing)")
    broken = tmp_path / "broken"
    shutil.copytree("student/avlips", broken)
    (broken / "card.json").write_text("{")
    assert "card.json cannot be read" in asked(capsys, "one.avi", "--model", str(broken))[2]
    (broken / "card.json").write_text("[]")
    assert "is no student's card" in asked(capsys, "one.avi", "--model", str(broken))[2]
    shutil.copy("student/avlips/card.json", broken)
    (broken / "model.safetensors").write_bytes(b"torn")
    assert "model.safetensors cannot be read" in asked(capsys, "x.avi", "--model", str(broken))[2]
    (broken / "model.safetensors").unlink()
    assert "model.safetensors is missing" in asked(capsys, "x.avi", "--model", str(broken))[2]
    monkeypatch.chdir(tmp_path)
    assert "There is no student below student/" in asked(capsys, "one.avi")[2]


def test_of_several_students_one_is_to_be_named(here: Path, tmp_path: Path, monkeypatch, capsys):
    for name in ("a", "b"):
        shutil.copytree("student/avlips", tmp_path / "student" / name)
    monkeypatch.chdir(tmp_path)
    assert "--model student/a or student/b" in asked(capsys, "one.avi")[2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda given: given.update(extractor="frame_dtc"), "no extractor 'frame_dtc'"),
        (lambda given: given["options"].update(frames=0), "refuses its option 'frames'"),
        (lambda given: given["options"].update(colour=True), "refuses its option 'colour'"),
    ],
)
def test_a_card_of_another_version_is_a_sentence(place, tmp_path, change, words) -> None:
    folder = tmp_path / "other"
    shutil.copytree(place / "student" / "avlips", folder)
    card = json.loads((folder / "card.json").read_text())
    change(card["input"])
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(AmidError, match=words):
        student.load(folder)


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (np.zeros((2, 8, 7)), r"of clip 0 are 8 x 7, but this student takes video as 8 x 6"),
        (np.zeros((1, 8)), r"are 8, but"),
        ([[["a"]]], "no array of numbers"),
        (np.full((1, 8, 6), math.nan), "NaN or infinity"),
        (np.zeros((0, 8, 6)), "No clip was given"),
    ],
)
def test_features_of_another_kind_are_refused(place: Path, features, words) -> None:
    with pytest.raises(AmidError, match=words):
        student.load(place / "student" / "avlips").represent(features)


@pytest.mark.parametrize(
    "words", [["--top", "0"], ["--neighbours", "-1"], ["--start", "nan"], ["--end", "-2"], []]
)
def test_a_wrong_command_exits_with_2(words: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        predict.main([*(["one.avi"] if words else []), *words])
    assert stopped.value.code == 2


@pytest.mark.slow
def test_the_command_imports_no_mlflow(place: Path) -> None:
    code = (
        "import sys; from amid.predict import main; main(['one.avi', '--neighbours', '1']);"
        "assert 'mlflow' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("one.avi")


def test_what_stands_in_a_label_cannot_steer_the_terminal() -> None:
    near = student.Neighbour("c\x1b]0;x\x07", "la\nbel", 0.5, "p\x1b[2J.npy", None, None)
    found = {"red\x1b[31m": 0.75, "blue": 0.25}
    shown = predict.table(student.Prediction("clip\x1b[2J", found, (near,)), 5)
    assert all(line.isprintable() for line in shown.split("\n"))
    assert "red\\x1b[31m" in shown
    assert "la\\nbel" in shown

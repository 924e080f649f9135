"""ucf51 and activitynet from end to end: made-up clips in their layouts, through to Table 1."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from amid.datasets.ucf51 import CLASSES
from tests.media.clips import activity, write_avi
from tests.params import put_params, read_params
from tests.small import ROOT

LABELS = CLASSES[2:8]


def ucf51(folder: Path) -> dict:
    """60 clips of 6 classes: 5 groups of two clips a class, the first group tests."""
    lists: dict[str, list[str]] = {"train": [], "test": []}
    for label, name in enumerate(LABELS):
        for n in range(10):
            file = f"{name}/v_{name}_g{1 + n // 2:02d}_c{1 + n % 2:02d}.avi"
            lists["test" if n < 2 else "train"].append(file)
            write_avi(folder / "UCF-101" / file, *activity(label, n))
    (folder / "ucfTrainTestlist").mkdir()
    for kind, files in lists.items():
        text = "".join(f"{f} 1\n" if kind == "train" else f"{f}\n" for f in files)
        (folder / "ucfTrainTestlist" / f"{kind}list01.txt").write_text(text)
    return {"train": 36, "validation": 12, "test": 12}


def activitynet(folder: Path) -> dict:
    """30 videos of two segments, 6 labels; every fifth video tests."""
    database = {}
    for n in range(30):
        label, subset = n % 6, "validation" if n >= 24 else "training"
        spans = [[0.0, 0.8], [0.9, 1.8]]
        annotations = [{"label": LABELS[label], "segment": span} for span in spans]
        database[f"video{n:02d}"] = {"subset": subset, "duration": 1.8}
        database[f"video{n:02d}"]["annotations"] = annotations
        write_avi(folder / "videos" / f"v_video{n:02d}.avi", *activity(label, n, 1.8))
    text = json.dumps({"database": database})
    (folder / "activity_net.v1-3.min.json").write_text(text)
    return {"train": 36, "validation": 12, "test": 12}


def run(python: Path, place: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_ROOT": str(place)}
    done = subprocess.run(
        [python, "-m", *words], cwd=place, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow(seconds=50)
@pytest.mark.parametrize("make", [ucf51, activitynet])
def test_from_the_layout_to_table_1(make, tmp_path: Path, warm: Path) -> None:
    python = warm / "python"
    name = make.__name__
    source = tmp_path / "source"
    source.mkdir()
    expected = make(source)
    values = read_params()
    values["data"][name]["options"] |= {"recordings": str(source), "validation": 0.25}
    values["datasets"], values["seeds"] = [name], [0]
    values["training"] |= {"epochs": 2, "warmup_epochs": 1, "batch_size": 12}
    values["table1"] = ["student_alone", "crd", "ccl", "amid"]
    put_params(tmp_path, values)
    said = run(python, tmp_path, "stages.download", name)
    counts = ", ".join(f"{expected[split]} {split}" for split in sorted(expected))
    assert f"download@{name}: 60 clips ({counts})" in said
    said = run(python, tmp_path, "stages.extract", name)
    assert f"extract@{name}: 60 of 60 clips kept" in said
    stages = ("auxiliary", "train baselines", "train compared", "train warmup", "train amid")
    for stage in stages:
        run(python, tmp_path, *f"stages.{stage} {name}".split())
    run(python, tmp_path, "stages.table", "table1")
    table = pd.read_csv(tmp_path / "reports" / "table1.csv").set_index("configuration")
    assert list(table.index) == ["student_alone", "crd", "ccl", "amid"]
    assert table["student"].between(0, 100).all()
    record = tmp_path / "runs" / "baselines" / name / "student_alone" / "seed0" / "record.json"
    first, last = (epoch["train_loss"] for epoch in json.loads(record.read_text())["history"])
    assert last < first
    for configuration, row in table.iterrows():
        print(f"{name}: {configuration} {row['student']:.1f}")

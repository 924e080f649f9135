"""What a user gets wrong ends in one sentence and an exit code, not in a traceback."""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from ruamel.yaml import YAML

from amid.errors import ConfigError
from amid.studies import load_params
from tests.params import put_params, read_params, write_params
from tests.small import ROOT
from tests.stores import put_store
from tests.warm import python

pytestmark = pytest.mark.usefixtures("warm")


def stage(place: Path, *words: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [python(), "-m", *words],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DVC_ROOT": str(place), **environment},
        capture_output=True,
        text=True,
    )


def refused(done: subprocess.CompletedProcess, code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in last, last


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.update(alhpa=v.pop("alpha")), ["'alhpa'", "did you mean 'alpha'?"]),
        (lambda v: v.update(alpha=-1), ["'alpha' is -1"]),
    ],
)
def test_a_mistake_in_params_exits_with_2(tmp_path: Path, change, words) -> None:
    write_params(tmp_path, change)
    refused(stage(tmp_path, "stages.download", "avlips"), 2, *words)


def test_an_unknown_data_set_is_named(tmp_path: Path) -> None:
    write_params(tmp_path, lambda v: None)
    refused(
        stage(tmp_path, "stages.extract", "gird"), 2, "no data set 'gird'", "grid, grid_sentences"
    )


def test_a_missing_params_file_is_named(tmp_path: Path) -> None:
    refused(stage(tmp_path, "stages.download", "avlips"), 2, "params.yaml is missing")


def test_a_stage_without_its_argument_says_how_to_call_it(tmp_path: Path) -> None:
    done = stage(tmp_path, "stages.train", "amid")
    assert done.returncode != 0
    assert "usage: python -m stages.train NAME DATASET" in done.stderr


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_a_command_says_what_it_does(tmp_path: Path, word: str) -> None:
    done = stage(tmp_path, "stages.describe", word)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: python -m stages.describe FOLDER [NAME]\n")
    assert "a folder without a manifest gets one." in done.stdout
    assert not done.stderr


def test_a_missing_mirror_file_is_named(tmp_path: Path) -> None:
    write_params(tmp_path, lambda v: None)
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    done = stage(tmp_path, "stages.download", "grid", AMID_MIRROR=str(mirror))
    refused(done, 1, "alignments.zip", str(mirror))


def test_a_wrong_sum_names_both_and_leaves_the_mirror_alone(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for name in ("s1.zip", "alignments.zip"):
        with zipfile.ZipFile(mirror / name, "w") as archive:
            archive.writestr("s1/bbaf2n.mpg", b"no video")
    pin = {"alignments.zip": "0" * 64}
    write_params(tmp_path, lambda v: v["data"]["grid"]["options"].update(sha256=pin))
    done = stage(tmp_path, "stages.download", "grid", AMID_MIRROR=str(mirror))
    refused(done, 1, "alignments.zip", "0" * 64, "sha256")
    assert sorted(p.name for p in mirror.iterdir()) == ["alignments.zip", "s1.zip"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small avlips with its manifest."""
    place = tmp_path_factory.mktemp("made")

    def small(values) -> None:
        values["data"]["avlips"]["options"] |= {
            "words": ["bin", "lay"], "clips_per_word": 6, "train": 4, "validation": 4, "test": 4,
            "auxiliary_clips_per_word": 2,
        }  # fmt: skip
        values["data"]["avlips"]["quarantine_limit"] = 0.5

    write_params(place, small)
    put_store(place)
    done = stage(place, "stages.download", "avlips")
    assert done.returncode == 0, done.stderr
    return place


@pytest.mark.slow
def test_damaged_clips_are_set_aside_by_name_and_the_rest_goes_on(made: Path) -> None:
    folder = made / "data" / "avlips"
    manifest = pd.read_parquet(folder / "manifest.parquet")
    # a second clip of a word on each side, so that no word is lost
    victims = manifest[manifest["split"] == "validation"]["id"].tolist()[:2]
    rows = manifest.set_index("id")
    cut = folder / rows.loc[victims[0], "video_path"]
    silent = folder / rows.loc[victims[1], "audio_path"]
    kept = {path: path.read_bytes() for path in (cut, silent)}
    try:
        cut.write_bytes(kept[cut][: len(kept[cut]) // 2])
        samples, rate = soundfile.read(silent)
        soundfile.write(silent, np.zeros_like(samples), rate, subtype="PCM_16")
        done = stage(made, "stages.extract", "avlips")
        assert done.returncode == 0, done.stderr
        assert "14 of 16 clips kept" in done.stdout
        quarantine = pd.read_parquet(folder / "quarantine.parquet").set_index("id")
        assert quarantine.loc[victims[0], "reason"] == "truncated"
        assert quarantine.loc[victims[1], "reason"] == "silent"
    finally:
        for path, data in kept.items():
            path.write_bytes(data)


@pytest.mark.slow
def test_too_many_damaged_clips_stop_the_stage_and_name_the_worst_reason(made: Path) -> None:
    block = made / "dataset" / "avlips.yaml"
    text = block.read_text()
    folder = made / "data" / "avlips"
    manifest = pd.read_parquet(folder / "manifest.parquet")
    victim = folder / manifest[manifest["split"] == "validation"]["audio_path"].iloc[0]
    before = victim.read_bytes()
    try:
        block.write_text(text.replace("quarantine_limit: 0.5", "quarantine_limit: 0.0"))
        victim.write_bytes(b"<!doctype html><html><body>404</body></html>")
        done = stage(made, "stages.extract", "avlips")
        refused(done, 1, "1 not_media", "quarantine_limit", "quarantine.parquet")
    finally:
        victim.write_bytes(before)
        block.write_text(text)


def test_a_label_that_is_never_trained_is_named(made: Path) -> None:
    path = made / "data" / "avlips" / "manifest.parquet"
    manifest = pd.read_parquet(path)
    row = manifest.index[manifest["split"] == "test"][0]
    try:
        manifest.assign(
            label=manifest["label"].mask(manifest.index == row, "xylophone")
        ).to_parquet(path)
        refused(stage(made, "stages.extract", "avlips"), 1, "xylophone", "train")
    finally:
        manifest.to_parquet(path, index=False)


def test_training_before_extracting_says_what_is_missing(tmp_path: Path) -> None:
    write_params(tmp_path, lambda v: None)
    refused(stage(tmp_path, "stages.train", "amid", "avlips"), 1, "is missing", "dvc repro")


HOSTILE = ["a; touch pwned", "$(touch pwned)", "`touch pwned`", "../x", "/x", "a/b", "-rf", "a b"]
HOSTILE += ["a\nb", "a\0b", "a|b", "a&b", "a'b", "Ä", "", "."]


@pytest.fixture(scope="module")
def raw() -> dict:
    return read_params()


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("key", ["datasets", "extract", "auxiliary", "sections"])
def test_no_name_of_params_can_leave_its_folder_or_reach_a_shell(raw, key, name, tmp_path):
    values = copy.deepcopy(raw)
    block = values["data"]["avlips"]
    if key == "datasets":
        values["datasets"] = [name]
    elif key == "sections":
        values["sections"] |= {name: ["amid"]}
    elif key == "extract":
        block["extract"][name] = block["extract"]["audio"]
    else:
        block["auxiliary"] = [name]
    put_params(tmp_path, values)
    file = "params" if key in ("datasets", "sections") else "dataset/avlips"
    with pytest.raises(ConfigError, match=rf"{file}\.yaml: .*{key.removesuffix('s')}") as caught:
        load_params(tmp_path / "params.yaml")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", [n for n in HOSTILE if n.strip(".") and not set(n) & set("/\0")])
def test_no_file_of_such_a_name_is_a_data_set(name: str, tmp_path: Path) -> None:
    params = write_params(tmp_path)
    shutil.copy(tmp_path / "dataset" / "avlips.yaml", tmp_path / "dataset" / f"{name}.yaml")
    read = load_params(params)
    assert name not in read.data
    assert "cannot name a data set" in read.unusable[name]
    assert read.unusable[name].isprintable()


def test_names_are_checked_before_dvc_makes_commands_of_them(tmp_path: Path) -> None:
    """DVC itself would run what stands there: hence the stage that every download waits for, and
    the line of the Makefile that tells it in one sentence."""
    download = YAML(typ="safe").load((ROOT / "pipelines" / "data" / "dvc.yaml").read_text())
    assert "data/checked" in download["stages"]["download"]["do"]["deps"]
    write_params(tmp_path, lambda v: v.update(datasets=["a; touch pwned"]))
    refused(stage(tmp_path, "stages.check"), 2, "a; touch pwned")
    makefile = (ROOT / "Makefile").read_text()
    lines = [line.strip().lstrip("@") for line in makefile.partition("\nrepro:")[2].splitlines()]
    assert lines.index("python -m stages.check") < next(
        n for n, line in enumerate(lines) if "dvc repro" in line or "stages.repair" in line
    )


def test_commands_of_the_dag_take_nothing_of_params_but_names_of_data_sets() -> None:
    found = set()
    for path in [ROOT / "dvc.yaml", *ROOT.glob("pipelines/**/dvc.yaml")]:
        for stage_name, entry in YAML(typ="safe").load(path.read_text())["stages"].items():
            command = entry.get("do", entry)["cmd"]
            used = set(re.findall(r"\$\{(.*?)\}", command))
            assert used <= {"key", "item.dataset"}, stage_name
            if "key" in used:
                assert entry["foreach"] == "${asked}"  # names that were checked: stages.request
            if "item.dataset" in used:
                named = ("${datasets}", "${asked.datasets}", "${asked.extracted}")
                assert entry["matrix"]["dataset"] in named
            found |= {(stage_name, name) for name in used}
    assert found >= {("download", "key"), ("extract", "item.dataset"), ("amid", "item.dataset")}

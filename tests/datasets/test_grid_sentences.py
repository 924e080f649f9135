"""GRID's sentences as pairs: made of grid's words, in the same splits, with the same losses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from amid.data.manifest import check_manifest
from amid.datasets import grid, grid_sentences
from amid.datasets.grid_sentences import Options
from tests.datasets.test_grid import MIRROR, align, mirror_of, sentences

NAMES = sentences(120)


def fetched(options: Options, mirror: Path, folder: Path, **given: object) -> dict:
    told = {"mirror": str(mirror), "workers": 1, "echo": lambda line: None, **given}
    return grid_sentences.fetch(options, folder, **told)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    folder = tmp_path / "grid_sentences"
    fetched(Options(), mirror_of(tmp_path / "mirror", {"s1": NAMES}), folder)
    return folder


def test_one_row_a_sentence_from_its_first_word_to_its_last(small: Path) -> None:
    manifest = grid_sentences.rows(Options(), small)
    check_manifest(manifest)
    assert manifest["id"].tolist() == sorted(f"s1-{name}" for name in NAMES)
    row = manifest.set_index("id").loc["s1-bbaaza"]
    assert row["label"] == "zero"
    assert row["group"] == "s1"
    assert row["video_path"] == row["audio_path"] == "raw/s1/bbaaza.mpg"
    assert (row["audio_start"], row["audio_end"]) == pytest.approx((0.4, 1.6))
    assert (row["video_start"], row["video_end"]) == pytest.approx((0.4, 1.6))
    assert row["text_path"] == "raw/text/s1/bbaaza.txt"
    assert np.isnan(row["text_start"])
    assert manifest[["text_start", "text_end"]].isna().all(axis=None)
    for name in ("video_path", "text_path"):
        assert all((small / path).is_file() for path in manifest[name])
    assert (small / "raw/text/s1/bbaaza.txt").read_text() == "bin blue at a zero again\n"


def test_every_sentence_is_in_the_split_and_fold_of_its_words(small: Path) -> None:
    words = grid.rows(grid.Options(train_words=None), small)
    manifest = grid_sentences.rows(Options(), small).set_index("video_path")
    assert len(words) == 6 * len(manifest)
    for column in ("split", "fold", "group"):
        assert (words[column] == words["video_path"].map(manifest[column])).all()
    assert manifest["split"].value_counts().to_dict() == {"train": 84, "validation": 12, "test": 24}


def test_a_bad_sentence_is_one_problem_and_moves_no_other(tmp_path: Path) -> None:
    alignments = {f"alignments/s1/{name}.align": align(name) for name in NAMES[:40]}
    whole, lacking = tmp_path / "whole", tmp_path / "lacking"
    fetched(Options(), mirror_of(tmp_path / "a", {"s1": NAMES[:40]}, alignments), whole)
    bad, gone = NAMES[7], NAMES[9]
    alignments[f"alignments/s1/{bad}.align"] = "0 10 bin"
    del alignments[f"alignments/s1/{gone}.align"]
    mirror = mirror_of(tmp_path / "b", {"s1": [*NAMES[:40], "spare-0-bin"]}, alignments)
    sources = fetched(Options(), mirror, lacking)
    assert sources["talkers"]["s1"]["set_aside"] == {"bad_alignment": 2, "missing_file": 1}
    before = grid_sentences.rows(Options(), whole).set_index("id")
    after = grid_sentences.rows(Options(), lacking).set_index("id")
    pd.testing.assert_frame_equal(after, before.drop([f"s1-{bad}", f"s1-{gone}"]))
    problems = grid_sentences.problems(Options(), lacking)
    assert list(problems.columns) == ["id", "modality", "reason", "detail"]
    ids = sorted([f"s1-{bad}", f"s1-{gone}", "s1-spare-0-bin"])
    assert problems["id"].tolist() == ids
    assert problems.set_index("id").loc[f"s1-{gone}", "reason"] == "missing_file"
    assert not (lacking / f"raw/text/s1/{bad}.txt").exists()
    assert len(grid_sentences.problems(Options(), whole)) == 0


def test_errors_of_the_texts_are_drawn_for_each_sentence_alone(tmp_path: Path) -> None:
    mirror = mirror_of(tmp_path / "mirror", {"s1": NAMES, "s2": NAMES})
    noisy = Options(talkers=["s1", "s2"], mishearing=0.2, typing_errors=0.1)

    def written(options: Options, name: str) -> dict[str, str]:
        folder = tmp_path / name
        fetched(options, mirror, folder)
        paths = grid_sentences.rows(options, folder)["text_path"]
        return {path: (folder / path).read_text() for path in paths}

    first = written(noisy, "one")
    alone = written(noisy.model_copy(update={"talkers": ("s1",)}), "two")
    assert alone == {path: text for path, text in first.items() if "/s1/" in path}
    right = written(Options(talkers=["s1", "s2"]), "three")
    share = np.mean([first[path] != text for path, text in right.items()])
    assert 0.8 < share < 1  # six words, of which each stays right with less than 0.6
    said = [(a.split(), b.split()) for a, b in zip(first.values(), right.values(), strict=True)]
    assert all(len(a) == len(b) == 6 for a, b in said)
    letters = np.mean([a[3] != b[3] for a, b in said])  # misheard, never mistyped
    assert 0.12 < letters < 0.28
    other = written(noisy.model_copy(update={"seed": 1}), "four")
    assert other != first


def test_a_download_lies_beside_grids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def fetch(options: object, folder: Path, **given: object) -> dict:
        seen.update(given)
        mirror_of(tmp_path / "mirror", {"s1": NAMES})
        given |= {"mirror": str(tmp_path / "mirror"), "echo": lambda line: None}
        return original(options, folder, **given)

    original = grid.fetch
    monkeypatch.setattr(grid, "fetch", fetch)
    cache = tmp_path / ".archives" / "grid_sentences"
    fetched(Options(), tmp_path, tmp_path / "data", cache=cache)
    assert seen["cache"] == tmp_path / ".archives" / "grid"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train_words": 1500}, "train_words"),
        ({"mishearing": 1.5}, "less than or equal to 1"),
        ({"typing_error": 0.1}, "Extra inputs"),
        ({"talkers": ["s21"]}, "s21 has no videos"),
    ],
)
def test_impossible_options(values: dict, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Options.model_validate(values)
    assert message in str(caught.value)


def test_the_real_talker(tmp_path: Path) -> None:
    if not (MIRROR / "s1.zip").is_file():
        pytest.skip("no mirror of the GRID corpus beside the repository")
    fetched(Options(), MIRROR, tmp_path / "grid_sentences", workers=2)
    manifest = grid_sentences.rows(Options(), tmp_path / "grid_sentences")
    assert manifest["split"].value_counts().to_dict() == {
        "train": 700,
        "validation": 100,
        "test": 200,
    }
    assert manifest["label"].value_counts().to_dict() == dict.fromkeys(
        grid.GRAMMAR[4].values(), 100
    )
    row = manifest.set_index("id").loc["s1-bbaf2n"]
    assert (row["audio_start"], row["audio_end"]) == (23750 / 25000, 53000 / 25000)
    text = (tmp_path / "grid_sentences" / row["text_path"]).read_text()
    assert text == "bin blue at f two now\n"
    assert len(grid_sentences.problems(Options(), tmp_path / "grid_sentences")) == 0

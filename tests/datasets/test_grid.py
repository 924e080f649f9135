"""GRID: the manifest, the draws, and what becomes of sentences that are not as they should be."""

from __future__ import annotations

import itertools
import json
import zipfile
from collections import Counter
from collections.abc import Iterable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from amid.datasets import grid
from amid.datasets.grid import CLASSES, Options
from amid.datasets.grid.manifest import _proportional
from amid.errors import AmidError
from amid.media import Reason

MIRROR = Path(__file__).parents[2].parent / "shared" / "data" / "grid"


def sentences(count: int, *, skip: int = 0) -> list[str]:
    """Names of the grammar, neighbours unlike each other so that every word soon occurs."""
    names = ["".join(name) for name in itertools.product(*grid.GRAMMAR)]
    step = 7919  # prime to their number, 64,000
    return [names[(skip + i) * step % len(names)] for i in range(count)]


def align(name: str, start: int = 10_000, length: int = 5_000) -> str:
    """The alignment of a sentence, each word `length` units, with the release's CR LF."""
    lines = [f"0 {start} sil"]
    for word in grid.spoken(name):
        lines.append(f"{start} {start + length} {word}")
        start += length
    return "\r\n".join([*lines, f"{start} 74500 sil", ""])


def mirror_of(
    folder: Path,
    talkers: dict[str, Iterable[str]],
    alignments: dict[str, str | bytes] | None = None,
    *,
    videos: str = "{talker}/{name}.mpg",
) -> Path:
    """A folder with the release's archives; `alignments`: path in the archive -> text."""
    folder.mkdir(parents=True, exist_ok=True)
    for talker, names in talkers.items():
        with zipfile.ZipFile(folder / f"{talker}.zip", "w") as file:
            for name in names:
                file.writestr(videos.format(talker=talker, name=name), f"{talker} {name}")
    if alignments is None:
        alignments = {
            f"alignments/{talker}/{name}.align": align(name)
            for talker, names in talkers.items()
            for name in names
        }
    with zipfile.ZipFile(folder / "alignments.zip", "w") as file:
        for path, text in alignments.items():
            file.writestr(path, text)
    return folder


def fetched(options: Options, mirror: Path, folder: Path, workers: int = 1) -> dict:
    return grid.fetch(options, folder, mirror=str(mirror), workers=workers, echo=lambda line: None)


@pytest.fixture
def small(tmp_path: Path) -> tuple[Options, Path]:
    """200 sentences of one talker, fetched."""
    options = Options(train_words=300)
    fetched(options, mirror_of(tmp_path / "mirror", {"s1": sentences(200)}), tmp_path / "grid")
    return options, tmp_path / "grid"


def manifest_of(folder: Path, **options: object) -> pd.DataFrame:
    return grid.rows(Options(**options), folder)


# ------------------------------------------------------------------------------- the rows


def test_one_row_a_word(small):
    manifest = grid.rows(*small)
    assert list(manifest.columns) == [
        *("id", "label", "split", "fold", "group"),
        *("video_path", "video_start", "video_end"),
        *("audio_path", "audio_start", "audio_end"),
    ]
    assert len(manifest) == 200 * 6
    assert manifest["id"].is_unique
    assert manifest["id"].is_monotonic_increasing
    assert manifest["fold"].dtype == "int64"
    name = sentences(1)[0]
    assert name == "bbaaza"
    rows = manifest[manifest["video_path"] == f"raw/s1/{name}.mpg"]
    words = ["bin", "blue", "at", "a", "zero", "again"]
    assert rows["label"].tolist() == words
    assert rows["id"].tolist() == [f"s1-{name}-{i}-{word}" for i, word in enumerate(words)]
    assert rows["video_start"].tolist() == pytest.approx([0.4, 0.6, 0.8, 1.0, 1.2, 1.4])
    assert rows["video_end"].tolist() == pytest.approx([0.6, 0.8, 1.0, 1.2, 1.4, 1.6])
    assert rows["group"].unique().tolist() == ["s1"]
    for column in ("path", "start", "end"):
        assert manifest[f"audio_{column}"].equals(
            manifest[f"video_{column}"].rename(f"audio_{column}")
        )
    for path in manifest["video_path"].unique():
        assert (small[1] / path).is_file()


def test_there_are_51_classes_and_the_letter_a_is_not_at(small):
    assert len(CLASSES) == 51
    assert {"a", "at"} <= set(CLASSES)
    assert "w" not in CLASSES
    assert set(grid.rows(*small)["label"]) == set(CLASSES)


def test_names_are_spelt_out():
    assert grid.spoken("bbaf2n") == ("bin", "blue", "at", "f", "two", "now")
    assert grid.spoken("swwzzs") == ("set", "white", "with", "z", "zero", "soon")
    for name in ("bbaw2n", "bbaf0n", "bbaf2", "bbaf2nn", "", "BBAF2N"):
        assert grid.spoken(name) is None


def test_silence_and_short_pauses_are_skipped_and_may_be_empty():
    text = "0 0 sil\n0 10 bin\n10 12 sp\n\n12 20 blue\n20 20 sil\n"
    assert grid.word_times(text) == [(0, 10, "bin"), (12, 20, "blue")]


# ----------------------------------------------------------------------------- the draws


def test_words_of_a_sentence_stay_on_one_side_in_the_shares_asked_for(small):
    manifest = manifest_of(small[1], train_words=None)
    assert manifest["split"].value_counts().to_dict() == {
        "train": 840,
        "validation": 120,
        "test": 240,
    }
    assert manifest.groupby("video_path")["split"].nunique().max() == 1
    assert manifest.groupby("video_path")["fold"].nunique().max() == 1
    assert manifest["fold"].value_counts().to_dict() == dict.fromkeys(range(5), 240)


def test_the_draws_are_the_same_on_every_machine(small):
    manifest = manifest_of(small[1], train_words=None, seed=3)
    test = manifest.loc[manifest["split"] == "test", "video_path"].str[7:13].unique()
    assert sorted(test)[:5] == ["bbad5s", "bbay3p", "bbiv9p", "bgaq9s", "bgau5p"]
    assert sorted(test) != sorted(
        manifest_of(small[1], train_words=None, seed=4)
        .loc[lambda frame: frame["split"] == "test", "video_path"]
        .str[7:13]
        .unique()
    )


def test_labelled_words_are_drawn_in_proportion_and_the_rest_is_auxiliary(small):
    everything = manifest_of(small[1], train_words=None)
    manifest = grid.rows(*small)
    available = everything.loc[everything["split"] == "train", "label"].value_counts()
    drawn = manifest.loc[manifest["split"] == "train", "label"].value_counts()
    assert drawn.sum() == 300
    assert set(drawn.index) == set(available.index)
    for label, number in drawn.items():
        exact = 300 * available[label] / 840
        assert number == 1 or abs(number - exact) < 1
    merged = manifest["split"].replace("auxiliary", "train")
    assert merged.equals(everything["split"])
    assert (manifest["split"] == "auxiliary").sum() == 540


def test_as_many_labelled_words_as_there_are_leave_no_auxiliary(small):
    splits = manifest_of(small[1], train_words=840)["split"]
    assert splits.equals(manifest_of(small[1], train_words=None)["split"])


@pytest.mark.parametrize("count", [841, 10**6])
def test_more_labelled_words_than_there_are(small, count):
    with pytest.raises(AmidError, match=f"train_words is {count}, .* 840 words of 51 classes"):
        manifest_of(small[1], train_words=count)


@given(
    st.dictionaries(st.sampled_from(CLASSES), st.integers(1, 300), min_size=1),
    st.floats(0, 1),
)
def test_quotas_sum_up_and_are_near_their_shares(available, share):
    least, most = len(available), sum(available.values())
    count = least + round(share * (most - least))
    quotas = _proportional(pd.Series(available), count)
    assert sum(quotas.values()) == count
    for label, quota in quotas.items():
        assert 1 <= quota <= available[label]
        exact = count * available[label] / most
        # Words that would get none take theirs from the others.
        assert quota <= max(1, exact + 1)


def test_repeats_and_workers_give_equal_bytes(tmp_path):
    options = Options(talkers=["s2", "s1"], train_words=300)
    mirror = mirror_of(tmp_path / "mirror", {"s1": sentences(100), "s2": sentences(100, skip=500)})
    outcomes = []
    for workers in (1, 3):
        folder = tmp_path / f"grid{workers}"
        sources = fetched(options, mirror, folder, workers)
        assert fetched(options, mirror, folder, workers) == sources
        grid.rows(options, folder).to_parquet(folder / "manifest.parquet")
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        outcomes.append((json.dumps(sources), files))
    assert outcomes[0] == outcomes[1]


TALKERS = ("s1", "s2", "s3", "s10")


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four talkers with 100 sentences each, fetched."""
    folder = tmp_path_factory.mktemp("grid")
    talkers = {talker: sentences(100, skip=300 * n) for n, talker in enumerate(TALKERS)}
    fetched(Options(talkers=TALKERS), mirror_of(folder / "mirror", talkers), folder / "grid")
    return folder / "grid"


def test_a_split_by_talker_tests_on_talkers_that_never_train(four):
    options = {"talkers": TALKERS, "train_words": None, "test_talkers": ["s3"]}
    manifest = manifest_of(four, **options)
    counts = manifest.groupby(["group", "split"]).size().to_dict()
    # Of the others' sentences 0.7 of 0.8 train: the shares of train and validation alone.
    assert counts == {
        **{(talker, "train"): 528 for talker in ("s1", "s2", "s10")},
        **{(talker, "validation"): 72 for talker in ("s1", "s2", "s10")},
        ("s3", "test"): 600,
    }
    assert manifest.groupby("group")["fold"].unique().map(list).to_dict() == {
        "s1": [0],
        "s2": [1],
        "s3": [2],
        "s10": [3],
    }


def test_talkers_may_validate_too_and_labelled_words_are_of_the_others(four):
    options = {"talkers": TALKERS, "test_talkers": ["s3"], "validation_talkers": ["s10"]}
    manifest = manifest_of(four, **options, train_words=500)
    counts = manifest.groupby("split")["group"].apply(lambda of: sorted(set(of))).to_dict()
    assert counts == {
        "train": ["s1", "s2"],
        "auxiliary": ["s1", "s2"],
        "validation": ["s10"],
        "test": ["s3"],
    }
    assert manifest["split"].value_counts().to_dict() == {
        "auxiliary": 700,
        "test": 600,
        "validation": 600,
        "train": 500,
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"test_talkers": ["s2"]}, "'s2' is held out but not among `talkers`"),
        ({"test_talkers": ["s1"]}, "none is left to train on"),
        ({"validation_talkers": ["s1"]}, "name test_talkers, too"),
        (
            {"talkers": ["s1", "s2"], "test_talkers": ["s2"], "validation_talkers": ["s2"]},
            "stands twice",
        ),
    ],
)
def test_a_split_by_talker_that_cannot_be(values, message):
    with pytest.raises(ValidationError, match=message):
        Options(**values)


def test_every_talker_is_split_alike(tmp_path):
    options = Options(talkers=["s10", "s2"], train_words=None)
    talkers = {"s2": sentences(40), "s10": sentences(60)}
    fetched(options, mirror_of(tmp_path / "mirror", talkers), tmp_path / "grid")
    manifest = grid.rows(options, tmp_path / "grid")
    assert manifest["id"].is_monotonic_increasing
    counts = manifest.groupby(["group", "split"]).size().to_dict()
    assert counts == {
        ("s10", "train"): 252,
        ("s10", "validation"): 36,
        ("s10", "test"): 72,
        ("s2", "train"): 168,
        ("s2", "validation"): 24,
        ("s2", "test"): 48,
    }


# --------------------------------------------------------------- excluded sentences

GOOD = sentences(40)
BROKEN: dict[str, tuple[str | bytes | None, str, str]] = {
    "missing": (None, "missing_file", "no raw/alignments/s1/"),
    "empty": (b"", "empty_file", "is empty"),
    "blank": ("\r\n \r\n", "empty_file", "is empty"),
    "not text": (b"\xff\xfe\x00", "bad_alignment", "no plain text"),
    "not three fields": ("0 10 bin extra", "bad_alignment", "line 1 is not 'start end word'"),
    "not numbers": ("0 ten bin", "bad_alignment", "line 1 is not"),
    "negative": ("-5 10 bin", "bad_alignment", "line 1 is not"),
    "endless number": (f"0 {'9' * 5000} bin", "bad_alignment", "line 1 is not"),
    "backwards": ("0 10 bin\n5 20 blue", "bad_alignment", "line 2 do not run forward"),
    "no length": ("7 7 bin", "bad_alignment", "line 1 do not run forward"),
    "five words": (
        "\n".join(align(GOOD[7]).splitlines()[:-2]),
        "bad_alignment",
        "the name says",
    ),
    "another word": (align(GOOD[8]), "bad_alignment", "the name says"),
    "silence alone": ("0 74500 sil", "bad_alignment", "the alignment no word"),
    "a long word": (f"0 10 {'bin' * 999}", "bad_alignment", "'binbin"),
    "control signs": ("0 10 \x1b[2J", "bad_alignment", r"'\x1b[2J'"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_bad_alignment_goes_on_record_and_moves_no_other_sentence(tmp_path, kind):
    text, reason, detail = BROKEN[kind]
    alignments = {f"alignments/s1/{name}.align": align(name) for name in GOOD}
    options = Options(train_words=None)
    whole = mirror_of(tmp_path / "whole", {"s1": GOOD}, alignments)
    fetched(options, whole, tmp_path / "grid0")
    name = GOOD[7]
    alignments[f"alignments/s1/{name}.align"] = text
    alignments = {path: value for path, value in alignments.items() if value is not None}
    broken = mirror_of(tmp_path / "broken", {"s1": GOOD}, alignments)
    sources = fetched(options, broken, tmp_path / "grid1")
    assert sources["talkers"]["s1"]["sentences"] == 40
    assert sources["talkers"]["s1"]["set_aside"] == {reason: 1}

    before = grid.rows(options, tmp_path / "grid0")
    after = grid.rows(options, tmp_path / "grid1")
    lost = before["video_path"] == f"raw/s1/{name}.mpg"
    assert after.equals(before[~lost].reset_index(drop=True))
    problems = grid.problems(options, tmp_path / "grid1")
    assert problems["id"].tolist() == before.loc[lost, "id"].tolist()
    assert set(problems["modality"]) == {"alignment"}
    assert set(problems["reason"]) == {reason}
    assert problems["detail"].str.contains(detail, regex=False).all()
    assert all(detail.isprintable() and len(detail) < 150 for detail in problems["detail"])


def test_no_problems_are_an_empty_table_of_the_same_kind(small):
    problems = grid.problems(*small)
    assert list(problems.columns) == ["id", "modality", "reason", "detail"]
    assert len(problems) == 0


def test_reasons_are_those_of_the_media_or_the_alignment():
    reasons = {reason for _, reason, _ in BROKEN.values()}
    assert reasons - {"bad_alignment"} <= set(Reason)


def test_an_alignment_without_video_and_a_video_of_another_name_go_on_record(tmp_path):
    names = [*GOOD, "spare"]
    alignments = {f"alignments/s1/{name}.align": align(name) for name in sentences(41)}
    options = Options(train_words=None)
    sources = fetched(
        options, mirror_of(tmp_path / "mirror", {"s1": names}, alignments), tmp_path / "grid"
    )
    assert sources["talkers"]["s1"]["set_aside"] == {"bad_alignment": 1, "missing_file": 1}
    problems = grid.problems(options, tmp_path / "grid")
    assert problems["reason"].value_counts().to_dict() == {"missing_file": 6, "bad_alignment": 1}
    assert problems.loc[problems["reason"] == "bad_alignment", "id"].tolist() == ["s1-spare"]
    missing = problems[problems["reason"] == "missing_file"]
    assert set(missing["modality"]) == {"video"}
    assert missing["id"].str.startswith(f"s1-{sentences(41)[40]}-").all()
    assert len(grid.rows(options, tmp_path / "grid")) == 240


def test_no_usable_sentence_at_all(tmp_path):
    alignments = {f"alignments/s1/{name}.align": "broken" for name in GOOD}
    options = Options()
    mirror = mirror_of(tmp_path / "mirror", {"s1": GOOD}, alignments)
    fetched(options, mirror, tmp_path / "grid")
    with pytest.raises(AmidError, match="holds no sentence with a video and a usable alignment"):
        grid.rows(options, tmp_path / "grid")


def test_rows_before_the_download(tmp_path):
    with pytest.raises(AmidError, match="lacks the videos of talker s1: run the download stage"):
        grid.rows(Options(), tmp_path)


# --------------------------------------------------------------------------- the archives


@pytest.mark.parametrize(
    ("videos", "alignments"),
    [
        ("{name}.mpg", "s1/{name}.align"),
        ("s1/video/mpg_vcd/{name}.mpg", "GRID/alignments/s1/align/{name}.align"),
        ("S1/{name}.MPG", "alignments/s1/{name}.ALIGN"),
    ],
)
def test_layouts_of_the_archives(tmp_path, videos, alignments):
    texts = {alignments.format(name=name): align(name) for name in GOOD}
    texts["alignments/readme.txt"] = "notes"
    texts["__MACOSX/s1/._bbaaza.align"] = "junk"
    texts["__MACOSX/s1/bbaaza.align"] = "junk"
    mirror = mirror_of(tmp_path / "mirror", {"s1": GOOD}, texts, videos=videos)
    with zipfile.ZipFile(mirror / "s1.zip", "a") as file:
        file.writestr("__MACOSX/s1/._bbaaza.mpg", "junk")
        file.writestr("__MACOSX/s1/bbaaza.mpg", "junk")
        file.writestr("s1/Thumbs.db", "junk")
    options = Options(train_words=None)
    fetched(options, mirror, tmp_path / "grid")
    assert len(grid.rows(options, tmp_path / "grid")) == 240
    assert len(grid.problems(options, tmp_path / "grid")) == 0
    names = {path.name for path in (tmp_path / "grid" / "raw").iterdir()}
    assert names == {"s1", "alignments"}


def test_other_talkers_alignments_are_left_in_the_archive(tmp_path):
    texts = {f"alignments/s1/{name}.align": align(name) for name in GOOD}
    texts |= {f"alignments/s2/{name}.align": align(name) for name in sentences(40, skip=900)}
    options = Options(train_words=None)
    fetched(options, mirror_of(tmp_path / "mirror", {"s1": GOOD}, texts), tmp_path / "grid")
    folders = (tmp_path / "grid" / "raw" / "alignments").iterdir()
    assert [path.name for path in folders] == ["s1"]


def test_alignments_filed_under_another_number_are_found_by_their_sentences(tmp_path):
    """As in the public release; the few sentences that both talkers say mislead nobody."""
    first, second = sentences(40), [*sentences(2), *sentences(38, skip=900)]
    texts = {f"alignments/s5/{name}.align": align(name, 20_000) for name in second}
    texts |= {f"alignments/s6/{name}.align": align(name, 10_000) for name in first}
    options = Options(talkers=["s5", "s6"], train_words=None)
    mirror = mirror_of(tmp_path / "mirror", {"s5": first, "s6": second}, texts)
    lines: list[str] = []
    sources = grid.fetch(
        options, tmp_path / "grid", mirror=str(mirror), workers=1, echo=lines.append
    )
    folders = {talker: found["alignments_folder"] for talker, found in sources["talkers"].items()}
    assert folders == {"s5": "s6", "s6": "s5"}
    assert "alignments.zip: folder s6 fits the videos of talker s5; taken for it." in lines
    manifest = grid.rows(options, tmp_path / "grid")
    assert len(manifest) == 480
    starts = manifest.groupby("group")["video_start"].min().to_dict()
    assert starts == pytest.approx({"s5": 0.4, "s6": 0.8})


@pytest.mark.parametrize("own", [True, False])
def test_a_talker_whose_alignments_are_nowhere(tmp_path, own):
    texts = {"alignments/readme.txt": "notes"}
    if own:
        texts |= {f"alignments/s1/{name}.align": align(name) for name in GOOD[:10]}
    mirror = mirror_of(tmp_path / "mirror", {"s1": GOOD}, texts)
    with pytest.raises(AmidError, match=rf"no alignments of talker s1 .*{10 * own} of 40 videos"):
        fetched(Options(), mirror, tmp_path / "grid")


def test_two_talkers_do_not_share_one_folder(tmp_path):
    """They may say the same, but not at the same times."""
    texts = {f"alignments/s1/{name}.align": align(name) for name in GOOD}
    mirror = mirror_of(tmp_path / "mirror", {"s1": GOOD, "s2": GOOD}, texts)
    with pytest.raises(AmidError, match="no alignments of talker s2"):
        fetched(Options(talkers=["s2", "s1"]), mirror, tmp_path / "grid")


def test_an_archive_without_videos(tmp_path):
    mirror = mirror_of(tmp_path / "mirror", {"s1": GOOD}, videos="{name}.avi")
    with pytest.raises(AmidError, match=r"s1\.zip holds no \.mpg file"):
        fetched(Options(), mirror, tmp_path / "grid")


def test_a_damaged_archive(tmp_path):
    mirror = mirror_of(tmp_path / "mirror", {"s1": GOOD})
    (mirror / "s1.zip").write_bytes((mirror / "s1.zip").read_bytes()[:1000])
    with pytest.raises(AmidError, match=r"s1\.zip is damaged"):
        fetched(Options(), mirror, tmp_path / "grid")
    assert not (tmp_path / "grid" / "raw" / "s1").exists()


def test_missing_mirror_file_and_wrong_sum(tmp_path):
    mirror = mirror_of(tmp_path / "mirror", {"s1": GOOD})
    with pytest.raises(AmidError, match=r"s2\.zip is not in the mirror folder"):
        fetched(Options(talkers=["s2"]), mirror, tmp_path / "grid")
    with pytest.raises(AmidError, match=r"wrong sha256 .* options\.sha256 of dataset.grid\.yaml"):
        fetched(Options(sha256={"s1.zip": "0" * 64}), mirror, tmp_path / "grid")


def test_sources_name_files_and_nothing_of_the_machine(tmp_path):
    mirror = mirror_of(tmp_path / "mirror", {"s1": GOOD})
    unpinned = fetched(Options(), mirror, tmp_path / "grid")
    assert [file["name"] for file in unpinned["files"]] == ["alignments.zip", "s1.zip"]
    sums = {file["name"]: file["sha256"] for file in unpinned["files"]}
    pinned = fetched(Options(sha256=sums), mirror, tmp_path / "grid")
    assert [file["pinned"] for file in pinned["files"]] == [True, True]
    for file in pinned["files"]:
        assert file["size"] == (mirror / file["name"]).stat().st_size
    assert str(tmp_path) not in json.dumps([unpinned, pinned])


def test_a_mirror_on_the_web_fills_the_cache_once(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    mirror = mirror_of(tmp_path / "mirror", {"s1": GOOD})
    asked: list[str] = []

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(mirror)))
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        outcomes = [
            grid.fetch(
                Options(),
                tmp_path / "data" / "grid",
                mirror=f"http://127.0.0.1:{server.server_port}",
                workers=1,
                echo=lambda line: None,
            )
            for _ in range(2)
        ]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert outcomes[0] == outcomes[1] == fetched(Options(), mirror, tmp_path / "other")
    assert asked == ["/alignments.zip", "/s1.zip"]
    assert (tmp_path / "data" / ".archives" / "grid" / "s1.zip").is_file()


# ---------------------------------------------------------------------------- the options


def test_default_options():
    options = Options.model_validate({})
    assert options.talkers == ("s1",)
    assert (options.record, options.train_words, options.folds) == ("3625687", 1500, 5)
    assert options.shares.model_dump() == {"train": 0.7, "validation": 0.1, "test": 0.2}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"talkers": ["s35"]}, "'s35' is no talker"),
        ({"talkers": ["s0"]}, "'s0' is no talker"),
        ({"talkers": ["s01"]}, "'s01' is no talker"),
        ({"talkers": ["1"]}, "'1' is no talker"),
        ({"talkers": ["../s1"]}, "no talker"),
        ({"talkers": ["s21"]}, "s21 has no videos"),
        ({"talkers": ["s1", "s1"]}, "twice"),
        ({"talkers": []}, "at least 1"),
        ({"talker": ["s1"]}, "Extra inputs"),
        ({"shares": {"train": 0.9}}, "add up to 1.2, not to 1"),
        ({"shares": {"train": 0.0, "test": 0.9}}, "greater than 0"),
        ({"shares": {"tests": 0.2}}, "Extra inputs"),
        ({"train_words": 50}, "greater than or equal to 51"),
        ({"train_words": "1500"}, "valid integer"),
        ({"folds": 1}, "greater than or equal to 2"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"seed": True}, "valid integer"),
        ({"record": "../x"}, "match pattern"),
        ({"sha256": {"s1": "0" * 64}}, "'s1' is none of the files"),
        ({"sha256": {"s1.zip": "abc"}}, "not 64 hexadecimal digits"),
    ],
)
def test_impossible_options(values, message):
    with pytest.raises(ValidationError) as caught:
        Options.model_validate(values)
    assert message in str(caught.value)


# --------------------------------------------------------------------- the real recordings


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Options, Path]:
    if not (MIRROR / "s1.zip").is_file():
        pytest.skip("no mirror of the GRID corpus beside the repository")
    folder = tmp_path_factory.mktemp("grid")
    options = Options()
    return fetched(options, MIRROR, folder, workers=2), options, folder


def test_the_real_talker(real):
    sources, options, folder = real
    assert sources["talkers"] == {
        "s1": {"alignments_folder": "s1", "sentences": 1000, "set_aside": {}}
    }
    sums = dict(line.split()[::-1] for line in (MIRROR / "sha256.txt").read_text().splitlines())
    assert {file["name"]: file["sha256"] for file in sources["files"]} == sums
    manifest = grid.rows(options, folder)
    assert len(manifest) == 6000
    assert set(manifest["label"]) == set(CLASSES)
    counts = Counter(manifest["label"])
    assert (counts["bin"], counts["at"], counts["a"], counts["zero"]) == (240, 252, 40, 100)
    assert manifest["split"].value_counts().to_dict() == {
        "train": 1500,
        "auxiliary": 2700,
        "validation": 600,
        "test": 1200,
    }
    for _, part in manifest.groupby("split"):
        assert set(part["label"]) == set(CLASSES)
    sides = manifest["split"].replace("auxiliary", "train")
    assert sides.groupby(manifest["video_path"]).nunique().max() == 1
    lengths = manifest["video_end"] - manifest["video_start"]
    assert lengths.min() == pytest.approx(0.04)
    assert lengths.max() == pytest.approx(0.84)
    assert manifest["video_end"].max() <= 2.98
    assert len(grid.problems(options, folder)) == 0


def test_the_real_example(real):
    manifest = grid.rows(real[1], real[2]).set_index("id")
    row = manifest.loc["s1-bbaf2n-3-f"]
    assert (row["video_start"], row["video_end"]) == (35500 / 25000, 41000 / 25000)
    assert row["audio_path"] == "raw/s1/bbaf2n.mpg"

"""Extraction end to end on small real files, the quarantine, and what is stored."""

import shutil

import numpy as np
import pandas as pd
import pytest

from amid.data import decoding
from amid.data.extraction import counts, extract_features, lost_classes, plan_tasks
from amid.data.feature_store import FeatureStore
from amid.data.manifest import UNLABELLED, check_manifest
from amid.errors import AmidError
from amid.extractors import frame_dct, log_mel, ngrams
from tests.media.clips import (
    NAN,
    cut,
    die_of_ab,
    die_of_pictures,
    grid_clips,
    tone,
    write_both,
    write_sound,
    write_video,
)
from tests.small import sum_all

EXTRACTORS = {
    "video": ("frame_dct", frame_dct.Options(frames=4, size=[8, 8], coefficients=6)),
    "audio": ("log_mel", log_mel.Options(steps=4, bands=8, snr_db=0.0)),
    "text": ("ngrams", ngrams.Options(dims=16)),
}
FILES = ["index.parquet", "video.npy", "audio.npy", "text.npy", "sums.json"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Raw files of eight clips and their manifest; a and b are two spans of the same files."""
    folder = tmp_path_factory.mktemp("raw")
    rows = []
    for number, name in enumerate("abcdefgh"):
        stem = "ab" if name in "ab" else name
        span = {"a": (0.0, 0.6), "b": (0.6, 1.2)}.get(name, (NAN, NAN))
        if name != "b":
            write_video(folder / f"{stem}.avi")
            write_sound(folder / f"{stem}.wav", tone(1.2, hertz=300.0 + 40 * number))
        (folder / f"{name}.txt").write_text(f"word {name}\n")
        row = {"id": name, "label": "yes" if number % 2 else "no", "fold": -1, "group": "g"}
        row["split"] = {"g": "validation", "h": "test"}.get(name, "train")
        for modality, file in zip(EXTRACTORS, ("avi", "wav", "txt"), strict=True):
            row[f"{modality}_path"] = f"{name if file == 'txt' else stem}.{file}"
            row[f"{modality}_start"], row[f"{modality}_end"] = span
        rows.append(row)
    return folder, pd.DataFrame(rows)


@pytest.fixture
def raw(clips, tmp_path):
    """A copy of the files to damage: (folder, manifest)."""
    folder, manifest = clips
    return shutil.copytree(folder, tmp_path / "raw"), manifest.copy()


def run(raw, *, workers=1, required=("video", "audio"), out="features"):
    folder, manifest = raw
    target = folder.parent / out
    index, quarantine, _ = extract_features(
        manifest, folder, target, EXTRACTORS, workers=workers, required=list(required)
    )
    return FeatureStore.open(target), index, quarantine


def test_good_clips_are_stored_in_order(raw):
    folder, manifest = raw
    store, index, quarantine = run(raw)
    assert quarantine.empty
    assert list(quarantine.columns) == ["id", "modality", "reason", "detail"]
    assert index["id"].tolist() == list("abcdefgh")
    assert list(index.columns) == [
        "id", "label", "label_index", "split", "fold", "group",
        "has_video", "has_audio", "has_text",
    ]  # fmt: skip
    assert index["label_index"].dtype == index["fold"].dtype == np.int64
    assert store.classes == ["no", "yes"]
    assert [store.classes[i] for i in index["label_index"]] == index["label"].tolist()
    assert store.modalities == ["video", "audio", "text"]
    pd.testing.assert_frame_equal(store.index, index)
    for modality, (_, options) in EXTRACTORS.items():
        module = {"video": frame_dct, "audio": log_mel, "text": ngrams}[modality]
        array = store.array(modality)
        assert array.shape == (8, *module.shape(options))
        assert array.dtype == np.float32
        assert not array.flags.writeable
        for row, clip in enumerate(manifest.itertuples()):
            span = module.Span(
                clip.id, *(getattr(clip, f"{modality}_{x}") for x in ("start", "end"))
            )
            path = folder / getattr(clip, f"{modality}_path")
            np.testing.assert_array_equal(array[row], module.extract(path, [span], options)[0])


def test_bytes_do_not_depend_on_workers_or_earlier_output(raw):
    one, _, _ = run(raw, out="one")
    (raw[0].parent / "two").mkdir()
    (raw[0].parent / "two" / "left_over.npy").write_bytes(b"old")
    two, _, _ = run(raw, out="two", workers=2)
    assert sorted(p.name for p in two.folder.iterdir()) == sorted(FILES)
    for name in FILES:
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()
    assert one.fingerprint() == two.fingerprint()
    assert not list(raw[0].parent.glob("*.partial"))


def test_each_file_is_one_task(raw):
    folder, manifest = raw
    tasks = plan_tasks(manifest, folder, EXTRACTORS)
    seen = [(task.modalities, task.path.name) for task in tasks]
    assert len(seen) == len(set(seen)) == 7 + 7 + 8
    (shared,) = next(task for task in tasks if task.path.name == "ab.avi").parts
    assert shared.rows == [0, 1]
    assert [span.id for span in shared.spans] == ["a", "b"]


def test_a_film_with_its_sound_is_one_task(raw):
    folder, manifest = raw
    manifest["audio_path"] = manifest["video_path"]
    tasks = plan_tasks(manifest, folder, EXTRACTORS)
    assert [task.modalities for task in tasks] == [("video", "audio")] * 7 + [("text",)] * 8
    manifest.loc[3, "audio_path"] = "d.wav"
    tasks = plan_tasks(manifest, folder, EXTRACTORS)
    assert [task.modalities for task in tasks if task.path.stem == "d"] == [
        ("video",), ("audio",), ("text",),
    ]  # fmt: skip


@pytest.mark.parametrize("workers", [1, 3])
def test_a_film_read_once_gives_what_two_readings_give(raw, workers):
    folder, manifest = raw
    for name in ("ab", *"cdefgh"):
        times = np.arange(30) / 25
        write_both(folder / f"{name}.mkv", times, tone(1.2, hertz=300.0 + 10 * ord(name[0])))
        shutil.copy(folder / f"{name}.mkv", folder / f"{name}_sound.mkv")
    data = bytearray((folder / "c.mkv").read_bytes())
    data[40000:40600] = bytes(600)  # of pictures: nothing tells that sound was not zero
    for name in ("c.mkv", "c_sound.mkv"):
        (folder / name).write_bytes(data)
    stems = manifest["video_path"].str.removesuffix(".avi")
    joined = manifest.assign(video_path=stems + ".mkv", audio_path=stems + ".mkv")
    apart = joined.assign(audio_path=stems + "_sound.mkv")
    one, index, lost = run((folder, joined), workers=workers, out="one")
    two, _, lost_there = run((folder, apart), workers=1, out="two")
    assert "c" in set(lost["id"])
    assert set(index["id"]) == set("abdefgh")
    assert lost[["id", "modality", "reason"]].equals(lost_there[["id", "modality", "reason"]])
    for modality in EXTRACTORS:
        np.testing.assert_array_equal(one.array(modality), two.array(modality))


def test_a_picture_that_ends_its_process_does_not_cost_the_sound(raw, monkeypatch):
    folder, manifest = raw
    for name in ("ab", *"cdefgh"):
        write_both(folder / f"{name}.mkv", np.arange(30) / 25, tone(1.2))
    stems = manifest["video_path"].str.removesuffix(".avi")
    manifest = manifest.assign(video_path=stems + ".mkv", audio_path=stems + ".mkv")
    manifest["split"] = "train"
    monkeypatch.setattr(decoding, "decode", die_of_pictures)
    _, index, lost = run((folder, manifest), required=["audio"])
    assert lost[["id", "modality", "reason"]].values.tolist() == [["c", "video", "crashed"]]
    assert index.set_index("id").loc["c", ["has_video", "has_audio"]].tolist() == [False, True]


def test_what_was_put_right_is_counted(raw):
    folder, manifest = raw
    manifest.loc[1, "video_end"] = manifest.loc[1, "audio_end"] = 1.4  # of 1.2 s
    found = extract_features(
        manifest, folder, folder.parent / "features", EXTRACTORS, workers=1, required=["video"]
    )
    assert found.notes == {"video": {"clamped_spans": 1}, "audio": {"clamped_spans": 1}}
    assert counts(found)["notes"] == found.notes
    assert "notes" not in counts(found._replace(notes={}))


def test_boxes_of_the_manifest_are_those_of_the_spans(raw):
    folder, manifest = raw
    first, second = (
        plan_tasks(
            manifest.assign(video_box=[text] + [None] * (len(manifest) - 1)), folder, EXTRACTORS
        )
        for text in ("0 1 0.5 1", None)
    )
    parts = [part for task in first for part in task.parts]
    boxes = {(p.modality, s.id): s.box for p in parts for s in p.spans if s.box is not None}
    assert boxes == {("video", manifest["id"][0]): (0.0, 1.0, 0.5, 1.0)}
    assert str(second) == str(plan_tasks(manifest, folder, EXTRACTORS))
    for text in ("0 1 0.5", "0 1 0.5 x", "0 1 0.5 0.5", "0 1 nan 1", "0 2 0 1", ""):
        with pytest.raises(AmidError, match="give four shares from 0 to 1"):
            plan_tasks(manifest.assign(video_box=text), folder, EXTRACTORS)


def test_damage_is_set_aside_with_a_reason(raw):
    folder, manifest = raw
    before, _, _ = run(raw, out="before")
    cut(folder / "c.avi", 0.7).replace(folder / "c.avi")
    (folder / "d.avi").write_text("<html>404</html>")
    write_sound(folder / "d.wav", np.zeros(19200))
    manifest.loc[1, "video_end"] = manifest.loc[1, "audio_end"] = 1.5
    store, index, quarantine = run(raw)
    assert index["id"].tolist() == list("aefgh")
    found = quarantine[["id", "modality", "reason"]].values.tolist()
    assert found == [
        ["b", "video", "span_outside"],
        ["b", "audio", "span_outside"],
        ["c", "video", "truncated"],
        ["d", "video", "not_media"],
        ["d", "audio", "silent"],
    ]
    assert all(quarantine["detail"].str.len() > 10)
    for modality in EXTRACTORS:
        kept = before.array(modality)[[0, 4, 5, 6, 7]]
        np.testing.assert_array_equal(store.array(modality), kept)
    assert len(store.index) == 5


def test_a_class_of_which_nothing_is_kept_is_told(raw):
    folder, manifest = raw
    manifest.loc[[2, 3], "label"] = "perhaps"
    cut(folder / "c.avi", 0.7).replace(folder / "c.avi")
    (folder / "d.avi").write_text("<html>404</html>")
    found = extract_features(
        manifest, folder, folder.parent / "out", EXTRACTORS, workers=1, required=["video", "audio"]
    )
    (told,) = lost_classes(manifest, found)
    assert told == (
        "the class perhaps is wholly absent, none of its 2 clips was kept (1 truncated, "
        "1 not_media)"
    )
    assert lost_classes(manifest.drop([2, 3]), found) == []


def test_a_modality_that_is_not_required_does_not_cost_the_clip(raw):
    folder, manifest = raw
    (folder / "c.txt").write_bytes(b"\xff\xfe\xfd")
    manifest.loc[3, "text_path"] = None
    store, index, quarantine = run(raw)
    assert index["id"].tolist() == list("abcdefgh")
    assert index["has_text"].tolist() == [True, True, False, False, True, True, True, True]
    assert index["has_video"].all()
    assert not store.array("text")[[2, 3]].any()
    assert quarantine[["id", "modality", "reason"]].values.tolist() == [
        ["c", "text", "unreadable_text"]
    ]


def test_rows_of_the_auxiliary_corpus_may_lack_modalities(raw):
    _, manifest = raw
    manifest.loc[2, "split"] = "auxiliary"
    manifest.loc[[2, 3], "video_path"] = None
    store, index, quarantine = run(raw)
    assert index["id"].tolist() == list("abcefgh")  # d, a training clip, lacks its video
    assert quarantine[["id", "modality", "reason"]].values.tolist() == [
        ["d", "video", "missing_file"]
    ]
    assert not index["has_video"][2]
    assert index["has_audio"][2]
    assert not store.array("video")[2].any()
    assert store.array("audio")[2].any()

    manifest.loc[2, ["audio_path", "text_path"]] = None
    _, index, quarantine = run(raw)
    assert index["id"].tolist() == list("abefgh")
    assert quarantine["id"].tolist() == ["c", "c", "c", "d"]
    manifest.loc[2, ["audio_path"]] = "absent.wav"
    _, index, quarantine = run(raw)
    assert quarantine["reason"].tolist() == ["missing_file"] * 4
    assert "absent.wav" in quarantine["detail"][1]


def test_files_of_one_clip_must_last_equally_long(raw):
    folder, manifest = raw
    write_sound(folder / "c.wav", tone(1.4))
    write_sound(folder / "d.wav", tone(1.5))
    manifest.loc[0, "audio_end"] = 0.2  # not the whole file: the spans' lengths are compared
    _, index, quarantine = run(raw)
    assert quarantine[["id", "modality", "reason"]].values.tolist() == [
        ["a", "audio", "durations_disagree"],
        ["d", "audio", "durations_disagree"],
    ]
    assert quarantine["detail"][1] == "video lasts 1.20 s, audio 1.50 s"
    assert index["id"].tolist() == list("bcefgh")
    store, index, quarantine = run(raw, required=["audio"])
    assert quarantine["modality"].tolist() == ["video", "video"]
    assert index["id"].tolist() == list("abcdefgh")
    assert not store.array("video")[[0, 3]].any()


def test_a_remainder_that_cannot_be_trained_on_is_an_error(raw):
    folder, _ = raw
    for name in ("a", "c", "e"):  # all training clips of "no"
        shutil.copy(folder / "h.txt", folder / f"{'ab' if name == 'a' else name}.avi")
    with pytest.raises(AmidError, match=r"4 of 8 clips were excluded \(4 not_media.*label 'no'"):
        run(raw)
    assert not list(folder.parent.glob("features*"))


def test_the_fingerprint_follows_values_alone(raw):
    store, _, _ = run(raw)
    before = store.fingerprint()
    index = pd.read_parquet(store.folder / "index.parquet")
    index.to_parquet(store.folder / "index.parquet", index=False, compression="gzip")
    sum_all(store.folder)
    assert FeatureStore.open(store.folder).fingerprint() == before
    array = np.load(store.folder / "audio.npy", mmap_mode="r+", allow_pickle=False)
    array[3, 2, 1] += 1e-3
    array.flush()
    sum_all(store.folder)
    assert store.fingerprint() != before
    array[3, 2, 1] -= 1e-3
    index.loc[2, "split"] = "test"
    index.to_parquet(store.folder / "index.parquet", index=False)
    sum_all(store.folder)
    assert FeatureStore.open(store.folder).fingerprint() != before


@pytest.mark.parametrize("workers", [1, 3])
def test_a_file_that_ends_its_process_costs_its_clips_alone(raw, monkeypatch, workers):
    whole, _, _ = run(raw, out="whole")
    monkeypatch.setattr(decoding, "decode", die_of_ab)
    store, index, quarantine = run(raw, workers=workers, required=["video"])
    assert quarantine[["id", "modality", "reason"]].values.tolist() == [
        [name, modality, "crashed"] for name in "ab" for modality in ("video", "audio")
    ]
    assert quarantine["detail"][0] == "ab.avi: decoding ends its process: exit code 3"
    assert index["id"].tolist() == list("cdefgh")
    for modality in EXTRACTORS:
        np.testing.assert_array_equal(store.array(modality), whole.array(modality)[2:])


def test_what_is_not_stored_is_one_sentence(raw, tmp_path):
    with pytest.raises(AmidError, match="extract the features first"):
        FeatureStore.open(tmp_path / "nothing")
    store, _, _ = run(raw)
    with pytest.raises(AmidError, match="'smell': it holds video, audio, text"):
        store.array("smell")


def without(column):
    return lambda manifest: manifest.drop(columns=column)


def setting(row, column, value):
    def change(manifest):
        manifest.loc[row, column] = value
        return manifest

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda manifest: manifest.iloc[:0], "has no rows"),
        (without("label"), "lacks the column 'label'"),
        (without(["audio_start", "group"]), "lacks the column 'group', 'audio_start'"),
        (setting(3, "id", "c"), "more than one row with the id 'c'"),
        (setting(3, "split", "dev"), "'d' into the split 'dev': use one of train, validation"),
        (setting(7, "label", None), "row 7 has no label: .*only rows of the split 'train' may"),
        (setting(6, "label", None), "row 6 has no label"),
        (setting(range(6), "label", None), "no label in the split 'train': give some"),
        (setting(7, "label", "maybe"), "label 'maybe' in the split 'test' but not in 'train'"),
        (setting(6, "label", "maybe"), "label 'maybe' in the split 'validation'"),
        (lambda manifest: manifest.iloc[6:], "no rows in the split 'train'"),
    ],
)
def test_manifests_that_cannot_be_used(clips, change, message):
    _, manifest = clips
    with pytest.raises(AmidError, match=message) as caught:
        check_manifest(change(manifest.copy()))
    assert str(caught.value).count(". ") == 0
    assert str(caught.value).endswith(".")


def test_a_training_clip_without_a_label_has_the_index_of_none(raw):
    _, manifest = raw
    manifest.loc[2, "label"] = None
    check_manifest(manifest)
    store, index, _ = run(raw)
    assert store.classes == ["no", "yes"]
    assert index["label_index"][2] == UNLABELLED
    assert (index["label_index"].drop(2) >= 0).all()
    assert pd.isna(index["label"][2])


def test_the_auxiliary_corpus_may_have_its_own_labels(raw):
    _, manifest = raw
    manifest.loc[2, ["split", "label"]] = ["auxiliary", "maybe"]
    check_manifest(manifest)
    store, index, _ = run(raw)
    assert store.classes == ["maybe", "no", "yes"]
    assert index["label_index"][2] == 0


def test_modalities_without_a_column_are_named(raw):
    folder, manifest = raw
    with pytest.raises(AmidError, match="no column text_path"):
        run((folder, manifest.drop(columns=["text_path", "text_start", "text_end"])))


def test_real_clips_are_never_set_aside(shared, tmp_path):
    rows = []
    for path, spans in grid_clips(shared, tmp_path, 20).items():
        for number, (start, end) in enumerate(spans):
            row = {"id": f"{path.stem}_{number}", "label": str(number), "split": "train"}
            row |= {"fold": -1, "group": "s1"}
            for name in ("video", "audio"):
                row |= {f"{name}_path": path.name, f"{name}_start": start, f"{name}_end": end}
            rows.append(row)
    manifest = pd.DataFrame(rows)
    box = frame_dct.Options(box=[0.6389, 0.8333, 0.3222, 0.5556], size=[32, 48])
    extractors = {"video": ("frame_dct", box), "audio": ("log_mel", log_mel.Options())}
    index, quarantine, _ = extract_features(
        manifest, tmp_path, tmp_path / "out", extractors, workers=1, required=["video", "audio"]
    )
    assert len(index) == 120
    assert quarantine.empty
    store = FeatureStore.open(tmp_path / "out")
    for modality in ("video", "audio"):
        values = store.array(modality).reshape(120, -1)
        assert len(np.unique(values, axis=0)) == 120

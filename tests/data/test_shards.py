"""Shards: what decides on their names, that they land once and whole, and that the bytes assembled
from them are those of an extraction without them."""

from __future__ import annotations

import gc
import shutil
import tracemalloc
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from amid.data import decoding, shards
from amid.data.decoding import Part, Task
from amid.data.extraction import extract_features, plan_tasks
from amid.data.shards import FILES, Settings, cut, decoder, make, named, sharded, share
from amid.errors import AmidError, ConfigError, Stopped
from amid.executors import Pool, WorkerLost, executor_from_env
from amid.executors.local import Local
from amid.extractors import Span, features, frame_dct, log_mel, ngrams
from amid.io.checksums import sha256_bytes
from amid.io.content_store import ContentStore
from amid.media import MediaError, Reason
from amid.media.guard import LIMITS, Limits
from amid.studies import load_params
from benchmarks import assembly
from stages import extract_shard
from tests.media.clips import NAN, die_of_ab, tone, write_sound, write_video
from tests.media.clips import cut as cut_file
from tests.params import read_params, write_params

EXTRACTORS = {
    "video": ("frame_dct", frame_dct.Options(frames=4, size=[8, 8], coefficients=6)),
    "audio": ("log_mel", log_mel.Options(steps=4, bands=8, snr_db=0.0)),
    "steps": ("features", features.Options(dims=3, sequence=True)),
    "text": ("ngrams", ngrams.Options(dims=16)),
}
ENDINGS = dict(zip(EXTRACTORS, ("avi", "wav", "npy", "txt"), strict=True))


class Inline:
    """Another executor than the local one, whose workers are this process."""

    here = True

    def __init__(self, *, lost: bool = False) -> None:
        self.lost, self.done = lost, 0

    def pool(self, workers: int, *, jobs: int, gpu: bool = False) -> Pool:
        executor = self

        class InlinePool(Pool):
            def submit(self, function: Callable[[Any], Any], job: Any) -> Future:
                future: Future = Future()
                try:
                    if executor.lost and executor.done:
                        raise WorkerLost
                    future.set_result(function(job))
                    executor.done += 1
                except Exception as error:
                    future.set_exception(error)
                return future

            def close(self) -> None: ...

            def stop(self, grace: float) -> None: ...

        return InlinePool()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """Ten clips: a and b share files, c's film is cut, d's sound is silent, e has none, f's is of
    another length, g's film does not exist."""
    folder = tmp_path_factory.mktemp("shards") / "raw"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number, name in enumerate("abcdefghij"):
        stem = "ab" if name in "ab" else name
        span = {"a": (0.0, 0.6), "b": (0.6, 1.2)}.get(name, (NAN, NAN))
        if name not in "bg":
            write_video(folder / f"{stem}.avi")
        if name != "b":
            length = 1.8 if name == "f" else 1.2
            sound = tone(length, hertz=300.0 + 40 * number) * (name != "d")
            write_sound(folder / f"{stem}.wav", sound)
            steps = rng.normal(size=(3 + number, 3)).astype(np.float32)
            np.save(folder / f"{stem}.npy", steps, allow_pickle=False)
        (folder / f"{name}.txt").write_text(f"word {name}\n")
        row = {"id": name, "label": "yes" if number % 2 else "no", "fold": -1, "group": "g"}
        row["split"] = {"i": "validation", "j": "test"}.get(name, "train")
        for modality, ending in ENDINGS.items():
            row[f"{modality}_path"] = f"{name if ending == 'txt' else stem}.{ending}"
            row[f"{modality}_start"], row[f"{modality}_end"] = span
        for modality in ("steps", "text"):
            row[f"{modality}_start"] = row[f"{modality}_end"] = NAN
        row["audio_path"] = None if name == "e" else row["audio_path"]
        rows.append(row)
    cut_file(folder / "c.avi", 0.7).replace(folder / "c.avi")
    return folder, pd.DataFrame(rows)


def extracted(clips: tuple[Path, pd.DataFrame], out: Path, **options: Any) -> dict[str, Any]:
    """The bytes of an extraction, and its quarantine."""
    folder, manifest = clips
    index, lost, _ = extract_features(
        manifest, folder, out, EXTRACTORS, workers=1, required=["video", "audio"], **options
    )
    assert len(index) < len(manifest)
    return {**contents(out), "lost": lost.values.tolist()}


@pytest.fixture(scope="module")
def whole(clips, tmp_path_factory) -> dict[str, Any]:
    """Without shards, decoded by guarded children."""
    return extracted(clips, tmp_path_factory.mktemp("whole") / "features")


def tasks_of(clips: tuple[Path, pd.DataFrame]) -> list[Task]:
    folder, manifest = clips
    return plan_tasks(manifest, folder, EXTRACTORS)


def contents(store: Path) -> dict[str, bytes]:
    files = [path for path in sorted(store.rglob("*")) if path.is_file()]
    return {str(path.relative_to(store)): path.read_bytes() for path in files}


def settings(files: int = FILES) -> Settings:
    return Settings("", 1, files)


@pytest.mark.parametrize("files", [1, 3, FILES])
@pytest.mark.parametrize("executor", [Local(), Inline()], ids=["local", "elsewhere"])
def test_the_bytes_are_those_without_shards(
    clips, whole, tmp_path: Path, in_process, files: int, executor: Any
) -> None:
    store = tmp_path / "store"
    decode = sharded(ContentStore(str(store)), executor, settings(files))
    assert extracted(clips, tmp_path / "features", decoder=decode) == whole
    assert len(whole["lost"]) >= 5
    assert len(list((store / "names" / "shards").iterdir())) == len(cut(tasks_of(clips), files))


def test_guarded_children_hold_in_an_executors_worker(clips, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(decoding, "decode", die_of_ab)
    executor = Inline()
    decode = sharded(ContentStore(str(tmp_path / "store")), executor, settings(4))
    alike = clips[0], clips[1].assign(label="word")  # so many are lost
    found = extracted(alike, tmp_path / "features", decoder=decode)
    assert executor.done == len(cut(tasks_of(clips), 4))
    crashed = [row[:3] for row in found["lost"] if row[2] == "crashed"]
    # b's files are a's; its text and its steps have names of their own
    assert {(name, modality) for name, modality, _ in crashed} == {
        (name, modality) for name in "ab" for modality in ("video", "audio", "steps")
    }


def test_what_the_store_has_is_not_decoded_again(clips, whole, tmp_path, in_process, monkeypatch):
    store = tmp_path / "store"
    extracted(
        clips, tmp_path / "one", decoder=sharded(ContentStore(str(store)), Local(), settings(3))
    )
    before = contents(store)
    monkeypatch.setattr(shards, "decoded", None)
    again = sharded(ContentStore(str(store)), Local(), settings(3))
    assert extracted(clips, tmp_path / "two", decoder=again) == whole
    assert contents(store) == before


def test_a_shard_made_twice_has_the_same_bytes(clips, tmp_path: Path, in_process) -> None:
    mine = named(cut(tasks_of(clips), 3), LIMITS, 2)
    for name in ("one", "two", "two"):
        list(make(mine, ContentStore(str(tmp_path / name)), workers=2, limits=LIMITS))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_damaged_shard_is_made_again(clips, whole, tmp_path, in_process, capsys) -> None:
    store = tmp_path / "store"
    decode = sharded(ContentStore(str(store)), Local(), settings(3))
    extracted(clips, tmp_path / "one", decoder=decode)
    before = contents(store)
    for path in (store / "objects").rglob("*"):
        if path.is_file():
            data = bytearray(path.read_bytes())
            data[-1] ^= 1  # same size: seen when it is read, not before
            path.write_bytes(data)
    assert extracted(clips, tmp_path / "two", decoder=decode) == whole
    assert "damaged" in capsys.readouterr().err
    shutil.rmtree(store / "objects")
    assert extracted(clips, tmp_path / "three", decoder=decode) == whole
    assert contents(store) == before


def test_a_name_depends_on_what_decides_on_the_result_and_on_nothing_else(
    clips, tmp_path: Path
) -> None:
    folder = shutil.copytree(clips[0], tmp_path / "elsewhere")
    task = next(t for t in tasks_of(clips) if t.path.name == "ab.wav")

    (part,) = task.parts

    def changed(**values: Any) -> Task:
        return task._replace(parts=[part._replace(**values)])

    def name(task: Task, limits: Limits = LIMITS) -> str:
        return named([(task,)], limits, 1)[0].name

    same = [
        task,
        changed(rows=[7, 8], modality="sound"),
        task._replace(path=folder / "ab.wav"),
        changed(spans=[Span(s.id, float(s.start), float(s.end)) for s in part.spans]),
    ]
    assert len({name(one) for one in same}) == 1
    shutil.copy(folder / "ab.wav", folder / "ab.mp3")
    (folder / "sub").mkdir()
    data = bytearray((folder / "ab.wav").read_bytes())
    data[-1] ^= 1
    (folder / "sub" / "ab.wav").write_bytes(data)
    other = [
        task._replace(path=folder / "ab.mp3"),
        task._replace(path=folder / "sub" / "ab.wav"),
        task._replace(path=folder / "none" / "ab.wav"),
        task._replace(path=folder / "sub"),
        task._replace(parts=[part, part]),
        changed(timed=not part.timed),
        changed(spans=part.spans[:1]),
        changed(spans=[Span("x", 0.0, 0.6), part.spans[1]]),
        changed(spans=[Span(part.spans[0].id, 0.0, 0.5), part.spans[1]]),
        changed(spans=[part.spans[0]._replace(box=(0, 1, 0, 1)), part.spans[1]]),
        changed(options=log_mel.Options(steps=4, bands=8, snr_db=1.0)),
        changed(extractor="cnn14"),
    ]
    names = [name(task), *map(name, other), name(task, Limits(seconds=1.0))]
    assert len(set(names)) == len(names)


def test_weights_beside_the_project_decide_too(clips, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    (tmp_path / "net").mkdir()
    (tmp_path / "one.pth").write_bytes(b"1")
    (tmp_path / "net" / "model.safetensors").write_bytes(b"2")
    one, net = shards._trained("one.pth"), shards._trained("net")
    assert one == [sha256_bytes(b"1")]
    assert net == [sha256_bytes(b"2")]
    assert shards._trained("google-bert/bert-base-uncased") == []


def test_all_shares_together_are_all_groups_once(clips) -> None:
    groups = cut(tasks_of(clips), 2)
    assert {len({task.modalities for task in group}) for group in groups} == {1}
    assert max(map(len, groups)) == 2
    order = {m: [t.path for g in groups for t in g if t.modalities == (m,)] for m in EXTRACTORS}
    assert all(paths == sorted(paths) for paths in order.values())
    for of in (1, 3, 50):
        parts = [group for index in range(of) for group in share(groups, index, of)]
        assert sorted(map(repr, parts)) == sorted(map(repr, groups))
    for index, of in ((3, 3), (-1, 3), (0, 0)):
        with pytest.raises(AmidError, match="count from 0"):
            share(groups, index, of)


def test_a_worker_with_other_files_says_so_and_decodes_nothing(clips, tmp_path, in_process):
    (shard,) = named(cut(tasks_of(clips)[:1], 1), LIMITS, 1)
    moved = shard.tasks[0]._replace(path=tmp_path / shard.tasks[0].path.name)
    job = shards.Job(shards.Shard(shard.name, (moved,)), str(tmp_path / "s"), tmp_path, LIMITS)
    with pytest.raises(AmidError, match="not the same files as the stage"):
        shards.work(job)
    assert not (tmp_path / "s").exists()


def test_a_worker_that_is_told_to_stop_makes_no_shard(clips, tmp_path, in_process, monkeypatch):
    (shard,) = named(cut(tasks_of(clips), 3)[:1], LIMITS, 1)
    job = shards.Job(shard, f"file://user:secret@{tmp_path}/s", tmp_path, LIMITS)
    assert "secret" not in repr(job)
    job = replace(job, store=str(tmp_path / "s"))
    for files in range(4):
        calls = iter(range(10**6))
        monkeypatch.setattr(
            shards, "stop_requested", lambda calls=calls, last=files: next(calls) == last
        )
        with pytest.raises(Stopped):
            shards.work(job)
    assert not (tmp_path / "s").exists()


def test_a_lost_worker_is_one_sentence_and_what_was_made_stays(clips, whole, tmp_path, in_process):
    store = ContentStore(str(tmp_path / "store"))
    with pytest.raises(AmidError, match="run the same command again"):
        extracted(clips, tmp_path / "one", decoder=sharded(store, Inline(lost=True), settings(3)))
    assert not (tmp_path / "one").exists()
    assert len(list((tmp_path / "store" / "names" / "shards").iterdir())) == 1
    go_on = Inline()
    assert extracted(clips, tmp_path / "one", decoder=sharded(store, go_on, settings(3))) == whole
    assert go_on.done == len(cut(tasks_of(clips), 3)) - 1


def test_a_worker_that_writes_elsewhere_is_one_sentence(clips, tmp_path, in_process, monkeypatch):
    monkeypatch.setattr(shards, "work", lambda job: None)
    with pytest.raises(AmidError, match="set AMID_STORE to a folder that all nodes share"):
        extracted(
            clips,
            tmp_path / "one",
            decoder=sharded(ContentStore(str(tmp_path / "store")), Inline(), settings()),
        )


def test_shards_are_only_where_somebody_takes_part(tmp_path: Path) -> None:
    assert decoder(Settings.of({}, 0), executor_from_env({}), tmp_path) is None
    assert callable(decoder(Settings.of({}, 0), Inline(), tmp_path))
    given = Settings.of({"AMID_STORE": str(tmp_path / "s"), "AMID_SHARD_FILES": "5"}, 3)
    assert given == Settings(str(tmp_path / "s"), 3, 5)
    assert decoder(given, executor_from_env({}), tmp_path) is not None
    assert Settings.of({"AMID_STORE": "here", "AMID_WORKERS": "7"}, 3).workers == 7
    assert Settings.of({"AMID_STORE": "here"}, 3).store == str(Path("here").absolute())
    assert Settings.of({"AMID_STORE": "s3://bucket/x"}, 3).store == "s3://bucket/x"
    for variable in ("AMID_WORKERS", "AMID_SHARD_FILES"):
        for text in ("0", "-1", "many", "1.5"):
            with pytest.raises(ConfigError, match=f"{variable} is '{text}'"):
                Settings.of({variable: text}, 0)


def test_reasons_and_lengths_survive_the_store(tmp_path: Path, in_process, monkeypatch) -> None:
    values = [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        MediaError(Reason.silent, 'x "y" ä'),
        np.zeros((0, 3), np.float32),
        np.full((1, 3), 0.1, np.float32),
    ]
    notes = {"sound_gaps": 2}

    def decode(task: Task) -> list[decoding.Outcome]:
        return [decoding.Outcome(values, 1 / 3 if p.timed else None, notes) for p in task.parts]

    monkeypatch.setattr(decoding, "decode", decode)
    spans = [Span(name, NAN, NAN) for name in "abcd"]
    name, options = EXTRACTORS["steps"]
    part = Part("steps", name, options, [0, 1, 2, 3], spans, True)
    other = part._replace(modality="more")
    task = Task(tmp_path / "x.npy", [part, other])
    untimed = task._replace(parts=[part._replace(timed=False), other])
    (shard,) = named([(task, untimed)], LIMITS, 1)
    store = ContentStore(str(tmp_path / "store"))
    list(make([shard], store, workers=1, limits=LIMITS))
    first, second = shards._read(shard, store, LIMITS)
    assert [outcome.seconds for outcome in (*first, *second)] == [1 / 3, 1 / 3, None, 1 / 3]
    for outcome in (*first, *second):
        assert outcome.notes == notes
        for found, wanted in zip(outcome.values, values, strict=True):
            if isinstance(wanted, MediaError):
                assert (found.reason, found.detail) == (wanted.reason, wanted.detail)
            else:
                np.testing.assert_array_equal(found, wanted)
                assert found.dtype == np.float32


def test_shares_of_the_stage_fill_a_store_that_the_other_stage_assembles(
    clips, tmp_path: Path, in_process, monkeypatch, capsys
) -> None:
    """stages.extract_shard, as pods of an Indexed Job call it, for avlips' extractors."""
    place = tmp_path / "project"
    raw = shutil.copytree(clips[0], place / "data" / "avlips" / "raw")
    write_params(place)
    block = read_params()["data"]["avlips"]
    manifest = clips[1].drop(columns=[c for c in clips[1] if c.startswith("steps_")])
    for modality in block["extract"]:
        manifest[f"{modality}_path"] = f"{raw.name}/" + manifest[f"{modality}_path"].astype(object)
    manifest.to_parquet(raw.parent / "manifest.parquet")
    monkeypatch.chdir(place)
    with pytest.raises(ConfigError, match="AMID_STORE is not set"):
        extract_shard.main("avlips", "0", "3")
    monkeypatch.setenv("AMID_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("AMID_SHARD_FILES", "2")
    with pytest.raises(ConfigError, match="JOB_COMPLETION_INDEX is 'not set'"):
        extract_shard.main("avlips")
    with pytest.raises(AmidError, match="share 3 of 3 does not exist"):
        extract_shard.main("avlips", "3", "3")
    monkeypatch.setenv("AMID_SHARDS", "")  # which is not "one share that has all"
    with pytest.raises(ConfigError, match="AMID_SHARDS is 'not set'"):
        extract_shard.main("avlips", "0")
    monkeypatch.setenv("AMID_SHARDS", "3")
    for index in "012":
        monkeypatch.setenv("JOB_COMPLETION_INDEX", index)
        extract_shard.main("avlips")
    extract_shard.main("avlips", "1", "3")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("extract_shard@avlips 1 of 3: ")
    numbers = [int(word) for word in lines[-1].split() if word.isdecimal()][1:]
    assert numbers[0] == numbers[1] > 0  # all of them were there already

    extractors = load_params(Path("params.yaml")).dataset("avlips").extract
    monkeypatch.setattr(shards, "decoded", None)  # the other stage has nothing to decode
    made = {}
    for name, environment in (("sharded", {"AMID_STORE": str(tmp_path / "store")}), ("plain", {})):
        chosen_settings = Settings.of({**environment, "AMID_SHARD_FILES": "2"}, 1)
        extract_features(
            manifest,
            raw.parent,
            tmp_path / name,
            extractors,
            workers=1,
            required=["video", "audio"],
            decoder=decoder(chosen_settings, Local(), tmp_path / "spare"),
        )
        made[name] = contents(tmp_path / name)
    assert made["sharded"] == made["plain"]
    assert not (tmp_path / "spare").exists()


def test_memory_of_plan_and_assembly_grows_no_faster_than_the_clips(tmp_path: Path) -> None:
    """Of one process, however many others decode; benchmarks.assembly goes up to a million."""

    def most(clips: int) -> int:
        table = assembly.manifest(clips)
        gc.collect()
        tracemalloc.start()
        extract_features(
            table,
            tmp_path,
            tmp_path / str(clips),
            assembly.EXTRACTORS,
            workers=1,
            required=["video"],
            decoder=assembly.made_up,
        )
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    seldom = gc.get_threshold()
    gc.set_threshold(700, 10, 10)  # as without these tests, else garbage is counted
    try:
        most(100)  # what is imported late
        assert most(1600) <= 4 * 1.15 * most(400)
    finally:
        gc.set_threshold(*seldom)

"""The feature store: one .npy memory map a modality and one index.parquet, in manifest order.

Clips that cannot be used are left out of it and listed with a reason: the quarantine.

An extractor whose `shape` starts with None gives sequences of any length (L, *rest). They lie one
after another in `<modality>.npy` (total, *rest), and the index says where: int64 columns
`<modality>_start` and `<modality>_length`, 0 and 0 for a clip without the modality.

sums.json holds the sha256 of all these files, which are compared when they are opened.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel

from amid.decoding import Outcome, Part, Task, decoded
from amid.errors import AmidError
from amid.extractors import Span, load
from amid.media import NOTES, MediaError, Reason
from amid.media.guard import LIMITS, Limits
from amid.progress import Progress
from amid.sums import check_sum, sum_files

SPLITS = ("train", "validation", "test", "auxiliary")
COLUMNS = ("id", "label", "split", "fold", "group")
QUARANTINE = ("id", "modality", "reason", "detail")
JUDGED = ("validation", "test")
DURATION_TOLERANCE = 0.25  # seconds that the files of one clip may differ in length

Extractors = Mapping[str, tuple[str, BaseModel]]
# Tasks with the outcomes of their parts, in the order in which they were given.
Decoder = Callable[[Sequence[Task]], Iterator[tuple[Task, list[Outcome]]]]


def check_manifest(manifest: pd.DataFrame) -> None:
    """Raise AmidError, in one sentence, for a manifest that cannot be trained and tested on."""
    missing = [name for name in COLUMNS if name not in manifest.columns]
    for modality in modalities(manifest):
        names = (f"{modality}_start", f"{modality}_end")
        missing += [name for name in names if name not in manifest.columns]
    if missing:
        raise AmidError(f"The manifest lacks the column {_words(missing)}: add it.")
    if not len(manifest):
        raise AmidError("The manifest has no rows: give it one a clip.")
    for name in ("id", "label", "split"):
        if manifest[name].isna().any():
            row = int(np.flatnonzero(manifest[name].isna())[0])
            raise AmidError(f"The manifest's row {row} has no {name}: fill it in.")
    repeated = manifest["id"][manifest["id"].duplicated()].unique()
    if len(repeated):
        raise AmidError(
            f"The manifest has more than one row with the id {_words(repeated)}: "
            "give every clip its own."
        )
    unknown = manifest[~manifest["split"].isin(SPLITS)]
    if len(unknown):
        row = unknown.iloc[0]
        raise AmidError(
            f"The manifest puts {row['id']!r} into the split {row['split']!r}: use one of "
            f"{', '.join(SPLITS)}."
        )
    _check_labels(manifest, "The manifest")


def modalities(manifest: pd.DataFrame) -> list[str]:
    """Names of the modalities for which the manifest has paths."""
    return [name.removesuffix("_path") for name in manifest.columns if name.endswith("_path")]


class Extraction(NamedTuple):
    """What `extract_features` found. notes: modality -> what was put right while its files were
    read -> how often (amid.media.Reading)."""

    index: pd.DataFrame
    quarantine: pd.DataFrame
    notes: dict[str, dict[str, int]]


def counts(found: Extraction) -> dict[str, Any]:
    """How many clips there were, were kept and set aside, by reason; where training clips lack a
    modality, modality -> how many are `without` it; and the notes, where there are any."""
    index, quarantine, notes = found
    lost = len(set(quarantine["id"]) - set(index["id"]))
    numbers: dict[str, Any] = {
        "clips": lost + len(index),
        "kept": len(index),
        "quarantined": lost,
        "reasons": quarantine["reason"].value_counts().to_dict(),
    }
    trained = index[index["split"] == "train"]
    flags = [name for name in index if name.startswith("has_")]
    absent = {name.removeprefix("has_"): int((~trained[name]).sum()) for name in flags}
    absent = {name: count for name, count in absent.items() if count}
    numbers |= {"without": absent} if absent else {}
    return numbers | ({"notes": notes} if notes else {})


def flat(numbers: dict[str, Any]) -> dict[str, int]:
    """`counts` as metrics, each with a name of its own."""
    found = {name: numbers[name] for name in ("clips", "kept", "quarantined")}
    found |= {f"without_{name}": number for name, number in numbers.get("without", {}).items()}
    for modality, notes in numbers.get("notes", {}).items():
        found |= {f"{modality}_{name}": number for name, number in notes.items()}
    return found


def worst(numbers: dict[str, Any]) -> str:
    """The reasons of `counts`, the most frequent first."""
    reasons = sorted(numbers["reasons"].items(), key=lambda reason: -reason[1])
    return ", ".join(f"{number} {reason}" for reason, number in reasons)


def told(numbers: dict[str, Any]) -> str:
    """`counts` in a line."""
    parts = [f"{numbers['kept']} of {numbers['clips']} clips kept", worst(numbers)]
    without = numbers.get("without", {})
    parts += [f"{number} training clips without {name}" for name, number in without.items()]
    for modality, notes in numbers.get("notes", {}).items():
        parts += [f"{modality}: {number} {NOTES[name]}" for name, number in notes.items()]
    return "; ".join(filter(None, parts))


def extract_features(
    manifest: pd.DataFrame,
    folder: Path,
    out: Path,
    extractors: Extractors,
    *,
    workers: int,
    required: list[str],
    optional: list[str] | None = None,
    limits: Limits = LIMITS,
    decoder: Decoder | None = None,
) -> Extraction:
    """Write out/<modality>.npy (N, *shape) and out/index.parquet.

    `extractors`: modality -> (name, options). Paths of the manifest are relative to `folder`.
    Every file is decoded once, by one of `workers` child processes; the bytes written do not depend
    on their number. A file that crashes its process or exceeds `limits` is damaged like any other.
    Another `decoder`, which has workers and limits of its own (amid/shards.py), writes the same
    bytes.

    A clip is left out, and its quarantine rows tell why, if a `required` modality is damaged, if it
    has no file for one (rows of the split `auxiliary` may lack some, training rows those that are
    `optional` as well), if it has none at all, or if it is to be judged by (validation, test) and
    lacks any: all runs of a data set are judged by the same clips.
    Another modality that is damaged has a quarantine row too, but the clip stays: like a modality
    that is not there it is all zeros, and has_<modality> is False.

    Replaces `out` at the end, so that an interrupted call leaves what was there.
    Raises AmidError for a manifest or a remainder that cannot be trained on.
    """
    check_manifest(manifest)
    for modality in (*extractors, *required):
        if modality not in modalities(manifest):
            raise AmidError(
                f"The manifest has no column {modality}_path, but the modality {modality!r} is to "
                "be extracted: add it or take the modality out."
            )
    part = out.with_name(out.name + ".partial")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        found = _extract(
            manifest.reset_index(drop=True),
            folder,
            part,
            extractors,
            decoder or partial(decoded, workers=workers, limits=limits),
            required,
            optional or [],
        )
        shutil.rmtree(out, ignore_errors=True)
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return found


def plan(manifest: pd.DataFrame, folder: Path, extractors: Extractors) -> list[Task]:
    """The files to decode, each once: those of the same modalities in the order of their paths.

    A column `<modality>_box`, where there is one, says which part of the picture is the clip's:
    "top bottom left right" in shares, or nothing for all of it. Raises AmidError for another text.
    """
    files: dict[str, dict[str, list[int]]] = {}  # path -> modality -> rows
    paths = {m: [_text(p) for p in manifest[f"{m}_path"]] for m in extractors}
    # lists: to take one value out of a column costs a hundred times as much
    columns = {m: [manifest[c].tolist() for c in ("id", f"{m}_start", f"{m}_end")] for m in paths}
    for modality, values in columns.items():
        if f"{modality}_box" in manifest:
            values.append(_boxes(manifest, f"{modality}_box"))
    timed: set[tuple[str, str]] = set()
    for row, clip in enumerate(zip(*paths.values(), strict=True)):
        given = [(path, m) for path, m in zip(clip, extractors, strict=True) if path is not None]
        for path, modality in given:
            files.setdefault(path, {}).setdefault(modality, []).append(row)
        if len({path for path, _ in given}) > 1:
            timed.update(given)
    tasks = []
    for path, found in files.items():
        parts = []
        for modality in filter(found.__contains__, extractors):
            name, options = extractors[modality]
            spans = [
                Span(*(column[row] for column in columns[modality])) for row in found[modality]
            ]
            whole = any(math.isnan(span.start) or math.isnan(span.end) for span in spans)
            asked = whole and (path, modality) in timed
            parts.append(Part(modality, name, options, found[modality], spans, asked))
        tasks.append(Task(folder / path, parts))
    order = {modality: number for number, modality in enumerate(extractors)}
    return sorted(tasks, key=lambda task: ([order[m] for m in task.modalities], str(task.path)))


class FeatureStore:
    """Read access to what `extract_features` wrote."""

    def __init__(self, folder: Path, index: pd.DataFrame) -> None:
        self.folder = folder
        self.index = index

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Raises AmidError if there is no feature store in `folder`, or its index is damaged."""
        path = folder / "index.parquet"
        if not path.exists():
            raise AmidError(f"{path} is missing: extract the features first.")
        check_sum(path)
        return cls(folder, pd.read_parquet(path))

    @property
    def modalities(self) -> list[str]:
        return [name.removeprefix("has_") for name in self.index if name.startswith("has_")]

    @property
    def classes(self) -> list[str]:
        """Labels by their label_index."""
        return sorted(self.index["label"].unique())

    def ragged(self, modality: str) -> bool:
        """Whether the clips' features are sequences of any length."""
        return f"{modality}_length" in self.index

    def array(self, modality: str) -> np.memmap:
        """(N, *shape), row i belongs to row i of the index; read only. Of sequences of any length
        all rows, (total, *rest): `spans` says whose they are. AmidError for a damaged file."""
        if modality not in self.modalities:
            known = ", ".join(self.modalities)
            raise AmidError(f"{self.folder} has no features of {modality!r}: it holds {known}.")
        path = self.folder / f"{modality}.npy"
        check_sum(path)
        return np.load(path, mmap_mode="r", allow_pickle=False)

    def spans(self, modality: str) -> tuple[np.ndarray, np.ndarray]:
        """First row in `array` and number of rows of each clip's sequence, (N,), (N,) int64."""
        return tuple(
            self.index[f"{modality}_{part}"].to_numpy(np.int64) for part in ("start", "length")
        )

    def clips(self, modality: str, rows: np.ndarray) -> np.ndarray:
        """Features of the clips at `rows` (K,) of the index: (K, *shape).

        Sequences of any length, float32 ones, are filled up at the end with rows of NaN, all to the
        longest of the store, which a caller can tell from real rows as these are finite.
        """
        array = self.array(modality)
        if not self.ragged(modality):
            return np.ascontiguousarray(array[rows])
        starts, lengths = self.spans(modality)
        result = np.full((len(rows), lengths.max(), *array.shape[1:]), np.nan, array.dtype)
        for filled, start, length in zip(result, starts[rows], lengths[rows], strict=True):
            filled[:length] = array[start : start + length]
        return result

    def fingerprint(self) -> str:
        """sha256 over the values of the index and of all arrays, not over how they are stored."""
        digest = hashlib.sha256(self.index.to_csv(index=False, lineterminator="\n").encode())
        for modality in self.modalities:
            array = self.array(modality)
            digest.update(f"{modality} {array.dtype.str} {array.shape}\n".encode())
            for start in range(0, len(array), 1024):
                digest.update(np.ascontiguousarray(array[start : start + 1024]))
        return digest.hexdigest()


def _extract(
    manifest: pd.DataFrame,
    folder: Path,
    part: Path,
    extractors: Extractors,
    decoder: Decoder,
    required: list[str],
    optional: list[str],
) -> Extraction:
    """`extract_features` into the empty folder `part`."""
    arrays = {
        modality: _store(part / f"{modality}.npy", len(manifest), extractor)
        for modality, extractor in extractors.items()
    }
    good = {modality: np.zeros(len(manifest), bool) for modality in extractors}
    seconds = {modality: np.full(len(manifest), np.nan) for modality in extractors}
    errors: dict[tuple[int, str], MediaError] = {}  # (row, modality) -> what is wrong
    notes: dict[str, Counter[str]] = {modality: Counter() for modality in extractors}
    tasks = plan(manifest, folder, extractors)
    with Progress("files", len(tasks)) as progress:
        for task, outcomes in decoder(tasks):
            for asked, outcome in zip(task.parts, outcomes, strict=True):
                for row, span, value in zip(asked.rows, asked.spans, outcome.values, strict=True):
                    if hasattr(load(asked.extractor), "request"):  # else time has no sense
                        seconds[asked.modality][row] = _clip_seconds(span, outcome.seconds)
                    if isinstance(value, MediaError):
                        errors[row, asked.modality] = value
                    else:
                        arrays[asked.modality].put(row, value)
                        good[asked.modality][row] = True
                notes[asked.modality].update(outcome.notes)
            progress.advance()
    _compare_durations(seconds, good, errors, required)
    kept = _judge(manifest, good, errors, required, optional)

    order = {modality: number for number, modality in enumerate(extractors)}
    listed = sorted(errors.items(), key=lambda item: (item[0][0], order[item[0][1]]))
    quarantine = pd.DataFrame(
        [(manifest["id"][r], m, str(e.reason), e.detail) for (r, m), e in listed],
        columns=list(QUARANTINE),
        dtype=str,
    )
    index = _index(manifest, good, kept, quarantine)
    for modality, array in arrays.items():
        for name, values in array.close(good[modality], kept).items():
            index[f"{modality}_{name}"] = values
    index.to_parquet(part / "index.parquet", index=False)
    sum_files(part, "index.parquet", *(f"{modality}.npy" for modality in arrays))
    told = {modality: dict(sorted(found.items())) for modality, found in notes.items() if found}
    return Extraction(index, quarantine, told)


class _Fixed:
    """Clips of one shape, written in any order: row i of the file is row i of the manifest."""

    def __init__(self, path: Path, count: int, shape: tuple[int, ...], dtype: type) -> None:
        self.path = path
        self.array = _open_whole(path, dtype, (count, *shape))

    def put(self, row: int, value: np.ndarray) -> None:
        self.array[row] = value

    def close(self, good: np.ndarray, kept: np.ndarray) -> dict[str, np.ndarray]:
        """Leaves the rows `kept` (rows,) bool, zeros where they are not `good`."""
        self.array[~good] = 0
        _keep(self.path, self.array, kept)
        return {}


class _Ragged:
    """Sequences of any length, written one after another as they come: in the order of the files'
    paths, which does not depend on the number of workers."""

    def __init__(self, path: Path, count: int, shape: tuple[int, ...], dtype: type) -> None:
        self.path, self.rest, self.dtype = path, shape[1:], np.dtype(dtype)
        self.starts, self.lengths = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.total = 0
        self.file = path.open("w+b")
        self._write_header(0)
        self.offset = self.file.tell()

    def put(self, row: int, value: np.ndarray) -> None:
        self.file.write(np.ascontiguousarray(value, self.dtype).tobytes())
        self.starts[row], self.lengths[row] = self.total, len(value)
        self.total += len(value)

    def close(self, good: np.ndarray, kept: np.ndarray) -> dict[str, np.ndarray]:
        """Leaves the sequences that are `good` and `kept`, each (rows,) bool, and no gaps between
        them; the index's columns of the kept rows."""
        used = good & kept & (self.lengths > 0)
        self.lengths[~used] = 0
        width = self.dtype.itemsize * math.prod(self.rest)  # bytes a row
        total = 0
        for row in sorted(np.flatnonzero(used), key=self.starts.__getitem__):
            if self.starts[row] != total:  # moved towards the front, in place: no second file
                self.file.seek(self.offset + int(self.starts[row]) * width)
                data = self.file.read(int(self.lengths[row]) * width)
                self.file.seek(self.offset + total * width)
                self.file.write(data)
            self.starts[row] = total
            total += int(self.lengths[row])
        self.starts[~used] = 0
        self.file.truncate(self.offset + total * width)
        self.file.seek(0)
        self._write_header(total)
        if self.file.tell() != self.offset:  # numpy leaves room for a growing first axis
            raise AmidError(f"{self.path.name}: numpy wrote a header of another length.")
        self.file.close()
        return {"start": self.starts[kept], "length": self.lengths[kept]}

    def _write_header(self, total: int) -> None:
        np.lib.format.write_array_header_1_0(
            self.file,
            {
                "descr": np.lib.format.dtype_to_descr(self.dtype),
                "fortran_order": False,
                "shape": (total, *self.rest),
            },
        )


def _store(path: Path, count: int, extractor: tuple[str, BaseModel]) -> _Fixed | _Ragged:
    """Where the features of one modality of `count` clips are written."""
    name, options = extractor
    shape = load(name).shape(options)
    kind = _Ragged if shape[0] is None else _Fixed
    return kind(path, count, shape, getattr(load(name), "DTYPE", np.float32))


def _clip_seconds(span: Span, seconds: float | None) -> float:
    """Length of a clip: its span's, if that has two ends, else as far as the file goes; or NaN."""
    start = 0.0 if math.isnan(span.start) else span.start
    end = span.end if seconds is None or not math.isnan(span.end) else seconds
    return end - start


def _compare_durations(
    seconds: dict[str, np.ndarray],
    good: dict[str, np.ndarray],
    errors: dict[tuple[int, str], MediaError],
    required: list[str],
) -> None:
    """Mark clips whose modalities last unequally long as bad in one of the two modalities.

    That is the one that is not required, else the later one.
    """
    names = list(seconds)
    for number, later in enumerate(names):
        for earlier in names[:number]:
            gap = np.abs(seconds[later] - seconds[earlier])  # (rows,), NaN where one is unknown
            blamed = earlier if later in required and earlier not in required else later
            wrong = good[later] & good[earlier] & (gap > DURATION_TOLERANCE)
            for row in np.flatnonzero(wrong):
                good[blamed][row] = False
                errors[int(row), blamed] = MediaError(
                    Reason.durations_disagree,
                    f"{earlier} lasts {seconds[earlier][row]:.2f} s, "
                    f"{later} {seconds[later][row]:.2f} s",
                )


def _judge(
    manifest: pd.DataFrame,
    good: dict[str, np.ndarray],
    errors: dict[tuple[int, str], MediaError],
    required: list[str],
    optional: list[str],
) -> np.ndarray:
    """(rows,) bool, the clips that stay; adds to `errors` what is missing of the others."""
    apart = (manifest["split"] == "auxiliary").to_numpy()
    trained = (manifest["split"] == "train").to_numpy()
    judged = manifest["split"].isin(JUDGED).to_numpy()
    anything = np.any(list(good.values()), axis=0)
    kept = anything.copy()
    for modality in good:
        damaged = np.zeros(len(manifest), bool)
        damaged[[row for row, name in errors if name == modality]] = True
        absent = ~good[modality] & ~damaged
        if modality in required:
            excused = apart | trained if modality in optional else apart
            kept &= ~damaged & (excused | ~absent)
            absent &= ~excused | ~anything
        else:
            kept &= good[modality] | ~judged
            absent &= judged | ~anything
        for row in np.flatnonzero(absent):
            errors[int(row), modality] = MediaError(
                Reason.missing_file, "the manifest names no file"
            )
    return kept


def _index(
    manifest: pd.DataFrame,
    good: dict[str, np.ndarray],
    kept: np.ndarray,
    quarantine: pd.DataFrame,
) -> pd.DataFrame:
    index = manifest.loc[kept, list(COLUMNS)].reset_index(drop=True)
    lost = int((~kept).sum())
    whose = "The manifest"
    if lost:
        counts = quarantine["reason"].value_counts()
        worst = ", ".join(f"{number} {reason}" for reason, number in counts.head(3).items())
        first = quarantine.iloc[0]
        whose = (
            f"After {lost} of {len(manifest)} clips were set aside ({worst}; first "
            f"{first['id']!r}: {first['detail']}) the manifest"
        )
    _check_labels(index, whose)
    classes = {label: number for number, label in enumerate(sorted(index["label"].unique()))}
    index.insert(2, "label_index", index["label"].map(classes).astype(np.int64))
    index["fold"] = index["fold"].astype(np.int64)
    for modality, flags in good.items():
        index[f"has_{modality}"] = flags[kept]
    return index


def _check_labels(rows: pd.DataFrame, whose: str) -> None:
    """Raise AmidError if there is nothing to train on, or a label only to be tested on."""
    trained = set(rows["label"][rows["split"] == "train"])
    if not trained:
        raise AmidError(f"{whose} has no rows in the split 'train': there is nothing to train on.")
    for split in ("validation", "test"):
        unseen = sorted(set(rows["label"][rows["split"] == split]) - trained)
        if unseen:
            raise AmidError(
                f"{whose} has the label {_words(unseen)} in the split {split!r} but not in "
                "'train': add training clips of it or leave its clips out."
            )


def _open_whole(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap:
    """A new memory map whose room on the disk is taken at once: OSError says where there is none.
    Without that a full disk ends the process by a signal, at some later write."""
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from None
    return array


def _keep(path: Path, array: np.memmap, kept: np.ndarray) -> None:
    """Reduce the memory map at `path` to the rows `kept`."""
    array.flush()
    if kept.all():
        return
    rows = np.flatnonzero(kept)
    smaller = path.with_suffix(".smaller")
    target = _open_whole(smaller, array.dtype, (len(rows), *array.shape[1:]))
    for start in range(0, len(rows), 1024):
        target[start : start + 1024] = array[rows[start : start + 1024]]
    target.flush()
    smaller.replace(path)


def _text(path: Any) -> str | None:
    return None if pd.isna(path) else str(path)


def _boxes(manifest: pd.DataFrame, name: str) -> list[tuple[float, ...] | None]:
    """The manifest's column of boxes, one a row."""
    found: list[tuple[float, ...] | None] = []
    for clip, text in zip(manifest["id"], map(_text, manifest[name]), strict=True):
        try:
            box = None if text is None else tuple(float(share) for share in text.split())
            if box is not None:
                top, bottom, left, right = box
                if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
                    raise ValueError
        except ValueError:
            raise AmidError(
                f"The manifest's {name} of {clip!r} is {text!r}: give four shares from 0 to 1, "
                "top, bottom, left and right, with top < bottom and left < right."
            ) from None
        found.append(box)
    return found


def _words(values: Any) -> str:
    """At most five of `values`, quoted."""
    values = [repr(str(value)) for value in values]
    return ", ".join(values[:5]) + (f" and {len(values) - 5} more" if len(values) > 5 else "")

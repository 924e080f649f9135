"""Extract the features of every clip of a manifest into a feature store.

Each media file is decoded once. Clips that cannot be used are left out of the store and listed with
a reason: the quarantine.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel

from amid.data.array_writers import open_writer
from amid.data.decoding import Outcome, Part, Task, decoded
from amid.data.manifest import (
    COLUMNS,
    EVALUATED,
    UNLABELLED,
    boxes,
    check_labels,
    check_manifest,
    modalities,
    path_or_none,
)
from amid.errors import AmidError
from amid.extractors import Span, load
from amid.io.atomic import replace_dir
from amid.io.checksums import record_checksums
from amid.io.progress import Progress
from amid.media import NOTES, MediaError, Reason
from amid.media.guard import LIMITS, Limits

QUARANTINE = ("id", "modality", "reason", "detail")
DURATION_TOLERANCE = 0.25  # seconds that the files of one clip may differ in length

Extractors = Mapping[str, tuple[str, BaseModel]]
# Tasks with the outcomes of their parts, in the order in which they were given.
Decoder = Callable[[Sequence[Task]], Iterator[tuple[Task, list[Outcome]]]]


class Extraction(NamedTuple):
    """The result of `extract_features`.

    index: one row per clip of the store. quarantine: one row per clip and modality that cannot be
        used, with columns QUARANTINE.
    notes: modality -> what the reader corrected in its files -> how often (amid.media.Reading).
    """

    index: pd.DataFrame
    quarantine: pd.DataFrame
    notes: dict[str, dict[str, int]]


def counts(found: Extraction) -> dict[str, Any]:
    """Count the clips of an extraction.

    Keys: "clips", "kept", "quarantined"; "reasons": reason -> rows of the quarantine; "without",
    where training clips lack a modality: modality -> how many; "unlabelled" training clips and
    "notes", where there are any.
    """
    index, quarantine, notes = found
    lost = len(set(quarantine["id"]) - set(index["id"]))
    numbers: dict[str, Any] = {
        "clips": lost + len(index),
        "kept": len(index),
        "quarantined": lost,
        "reasons": quarantine["reason"].value_counts().to_dict(),
    }
    trained = index[index["split"] == "train"]
    if unlabelled := int(trained["label"].isna().sum()):
        numbers["unlabelled"] = unlabelled
    flags = [name for name in index if name.startswith("has_")]
    absent = {name.removeprefix("has_"): int((~trained[name]).sum()) for name in flags}
    absent = {name: count for name, count in absent.items() if count}
    numbers |= {"without": absent} if absent else {}
    return numbers | ({"notes": notes} if notes else {})


def lost_classes(manifest: pd.DataFrame, found: Extraction) -> list[str]:
    """A sentence for each class of the manifest of which no clip was kept."""
    kept = set(found.index["label"])
    labels = manifest["label"][~manifest["label"].isin(kept)]
    reasons = found.quarantine.groupby("id")["reason"].first()
    sentences = []
    for label, ids in manifest["id"].groupby(labels):
        of_class = Counter(reasons.reindex(ids).dropna())
        shown = ", ".join(f"{number} {reason}" for reason, number in of_class.most_common())
        text = f"the class {label} is wholly absent, none of its {len(ids)} clips was kept"
        sentences.append(text + (f" ({shown})" if shown else ""))
    return sentences


def as_metrics(numbers: dict[str, Any]) -> dict[str, int]:
    """The numbers of `counts` as a flat dict of metrics."""
    found = {name: numbers[name] for name in ("clips", "kept", "quarantined")}
    found |= {name: numbers[name] for name in ("unlabelled",) if name in numbers}
    found |= {f"without_{name}": number for name, number in numbers.get("without", {}).items()}
    for modality, notes in numbers.get("notes", {}).items():
        found |= {f"{modality}_{name}": number for name, number in notes.items()}
    return found


def frequent_reasons(numbers: dict[str, Any]) -> str:
    """The reasons of `counts` as text, the most frequent first."""
    reasons = sorted(numbers["reasons"].items(), key=lambda reason: -reason[1])
    return ", ".join(f"{number} {reason}" for reason, number in reasons)


def summary(numbers: dict[str, Any]) -> str:
    """The numbers of `counts` as one line of text."""
    parts = [f"{numbers['kept']} of {numbers['clips']} clips kept", frequent_reasons(numbers)]
    without = numbers.get("without", {})
    if number := numbers.get("unlabelled"):
        parts.append(f"{number} training clips without a label")
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
    """Write out/<modality>.npy (N, *shape), out/index.parquet and their checksums.

    extractors: modality -> (name of the extractor, its options).
    folder: the paths in the manifest are relative to it.
    workers: number of child processes that decode; the bytes written do not depend on it. A file
        that crashes its process or exceeds `limits` counts as damaged.
    decoder: decodes the files instead, with workers and limits of its own (amid/data/shards.py);
        writes the same bytes.

    A clip is excluded, with its reasons in the quarantine, if
    - a `required` modality of it is damaged;
    - it has no file for a required modality. Clips of the split `auxiliary` may lack some of them,
      training clips those that are also `optional`;
    - it has no modality at all;
    - it is a validation or test clip and lacks any modality: all runs of a data set are evaluated
      on the same clips.
    Damage to any other modality is listed in the quarantine as well, but the clip stays: the
    features of the missing modality are zeros, and has_<modality> is False.

    `out` is replaced at the end, so an interrupted call leaves the former one.
    Raises AmidError if the manifest, or what remains of it, cannot be trained and tested on.
    """
    check_manifest(manifest)
    for modality in (*extractors, *required):
        if modality not in modalities(manifest):
            raise AmidError(
                f"The manifest has no column {modality}_path, but the modality {modality!r} is to "
                "be extracted: add it or take the modality out."
            )
    with replace_dir(out) as part:
        return _extract(
            manifest.reset_index(drop=True),
            folder,
            part,
            extractors,
            decoder or partial(decoded, workers=workers, limits=limits),
            required,
            optional or [],
        )


def plan_tasks(manifest: pd.DataFrame, folder: Path, extractors: Extractors) -> list[Task]:
    """List the files to decode, each once, ordered by their modalities and then by path.

    An optional column `<modality>_box` crops the picture to the clip's part of it: "top bottom left
    right" as shares of the picture, empty for all of it. Raises AmidError for any other text.
    """
    files: dict[str, dict[str, list[int]]] = {}  # path -> modality -> rows
    paths = {m: [path_or_none(p) for p in manifest[f"{m}_path"]] for m in extractors}
    # lists: to take one value out of a column costs a hundred times as much
    columns = {m: [manifest[c].tolist() for c in ("id", f"{m}_start", f"{m}_end")] for m in paths}
    for modality, values in columns.items():
        if f"{modality}_box" in manifest:
            values.append(boxes(manifest, f"{modality}_box"))
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


def _extract(
    manifest: pd.DataFrame,
    folder: Path,
    part: Path,
    extractors: Extractors,
    decoder: Decoder,
    required: list[str],
    optional: list[str],
) -> Extraction:
    """Extract into the empty folder `part`."""
    arrays = {
        modality: open_writer(part / f"{modality}.npy", len(manifest), extractor)
        for modality, extractor in extractors.items()
    }
    good = {modality: np.zeros(len(manifest), bool) for modality in extractors}
    seconds = {modality: np.full(len(manifest), np.nan) for modality in extractors}
    errors: dict[tuple[int, str], MediaError] = {}  # (row, modality) -> what is wrong
    notes: dict[str, Counter[str]] = {modality: Counter() for modality in extractors}
    tasks = plan_tasks(manifest, folder, extractors)
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
    kept = _select_clips(manifest, good, errors, required, optional)

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
    record_checksums(part, "index.parquet", *(f"{modality}.npy" for modality in arrays))
    told = {modality: dict(sorted(found.items())) for modality, found in notes.items() if found}
    return Extraction(index, quarantine, told)


def _clip_seconds(span: Span, seconds: float | None) -> float:
    """Duration of a clip's span in seconds; without an end, to the end of the file; or NaN."""
    start = 0.0 if math.isnan(span.start) else span.start
    end = span.end if seconds is None or not math.isnan(span.end) else seconds
    return end - start


def _compare_durations(
    seconds: dict[str, np.ndarray],
    good: dict[str, np.ndarray],
    errors: dict[tuple[int, str], MediaError],
    required: list[str],
) -> None:
    """Mark clips whose modalities differ in duration as bad in one of the two modalities: the one
    that is not required, else the later one."""
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


def _select_clips(
    manifest: pd.DataFrame,
    good: dict[str, np.ndarray],
    errors: dict[tuple[int, str], MediaError],
    required: list[str],
    optional: list[str],
) -> np.ndarray:
    """(rows,) bool, the clips to keep; adds to `errors` which files are missing."""
    apart = (manifest["split"] == "auxiliary").to_numpy()
    trained = (manifest["split"] == "train").to_numpy()
    evaluated = manifest["split"].isin(EVALUATED).to_numpy()
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
            kept &= good[modality] | ~evaluated
            absent &= evaluated | ~anything
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
            f"After {lost} of {len(manifest)} clips were excluded ({worst}; first "
            f"{first['id']!r}: {first['detail']}) the manifest"
        )
    check_labels(index, whose)
    known = sorted(index["label"].dropna().unique())
    classes = {label: number for number, label in enumerate(known)}
    numbers = index["label"].map(classes).fillna(UNLABELLED)
    index.insert(2, "label_index", numbers.astype(np.int64))
    index["fold"] = index["fold"].astype(np.int64)
    for modality, flags in good.items():
        index[f"has_{modality}"] = flags[kept]
    return index

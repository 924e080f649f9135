"""ActivityNet 1.3: the trimmed segments of 200 activities, cut from videos that are on the disk.

F. Caba Heilbron, V. Escorcia, B. Ghanem, J. C. Niebles (2015), ActivityNet: a large-scale video
benchmark for human activity understanding, CVPR. The annotation file names a subset for every
video; the labels of its `testing` are not public, so the official `validation` tests here, and a
share of the training videos validates.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from amid.errors import AmidError
from amid.io.atomic import replace_dir
from amid.io.checksums import sha256_file
from amid.io.project import find_input
from amid.media import MediaError, Reason, clamp_span
from amid.sources.local_media import (
    absent_classes,
    drawn_share,
    read_problems,
    shuffled,
    sound_problems,
    take,
    write_problems,
)

if TYPE_CHECKING:  # read with params.yaml by every stage: pandas waits until it is needed
    import pandas as pd

    from amid.sources.download import Patience

KINDS = (".mp4", ".mkv", ".webm", ".avi")
# Videos of the annotated subsets in release 1.3.
EXPECTED = {"training": 10_024, "validation": 4_926}
CLASSES = 200
SPLITS = {"training": "train", "validation": "test"}


class Options(BaseModel):
    """recordings: where the annotation file and the videos lie. annotations, videos: names there.

    validation: share of the training videos, drawn from the seed. folds: of whole videos.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Not in records of runs: another folder with the same files is the same data set.
    recordings: str | None = Field(default=None, exclude=True, min_length=1)
    annotations: Annotated[str, Field(min_length=1)] = "activity_net.v1-3.min.json"
    videos: Annotated[str, Field(min_length=1)] = "videos"
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    seed: Annotated[int, Field(strict=True, ge=0)] = 0
    folds: Annotated[int, Field(strict=True, ge=3)] = 5

    @field_validator("annotations", "videos")
    @classmethod
    def _below(cls, name: str) -> str:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError("it must be a path below `recordings`")
        return name


class Segment(NamedTuple):
    """An annotated segment of a video, start and end in seconds. duration: of the whole video."""

    id: str
    video: str
    subset: str
    label: str
    start: float
    end: float
    duration: float


# ---------------------------------------------------------------------------------- the files


def fetch(
    options: Options,
    folder: Path,
    *,
    mirror: str | None = None,
    workers: int = 1,
    cache: Path | None = None,
    patience: Patience | None = None,
    echo: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Annotations and the videos they name as `folder`/raw; returns counts. Downloads nothing.

    Videos that are missing or have no sound and segments that lie outside go to `problems`. Raises
    AmidError: no folder, no annotation file or not one of ActivityNet, no video of it at all.
    """
    annotations, videos = _places(options, folder.name)
    segments = _segments(annotations)
    files = _files(videos)
    named = sorted({segment.video for segment in segments})
    present = [name for name in named if name in files]
    if not present:
        raise AmidError(
            f"{videos} holds none of the {len(named)} videos of {annotations.name}, such as "
            f"{named[0]}.mp4 or v_{named[0]}.mp4: put them there."
        )
    raw = folder / "raw"
    with replace_dir(raw) as part:
        paths = []
        for name in present:
            paths.append(part / "videos" / f"{name}{files[name].suffix.lower()}")
            take(files[name], paths[-1])
        (part / "annotations.json").write_bytes(annotations.read_bytes())
        errors = dict(zip(present, sound_problems(paths, workers), strict=True))
        found = [p for segment in segments if (p := _problem(segment, errors)) is not None]
        write_problems(part / "problems.json", found)
    counts = _counts(segments, set(present), {problem["id"] for problem in found})
    counts["reasons"] = _by_reason(found)
    for line in _shown(counts):
        echo(line)
    paths = [(segment.label, f"{segment.video}.mp4") for segment in segments]
    there = {segment.label for segment in segments if segment.video in files}
    for sentence in absent_classes("activitynet", paths, there, videos):
        echo(sentence)
    return {
        "files": [],
        "annotations": {"name": annotations.name, "sha256": sha256_file(annotations)},
        "counts": counts,
    }


def _places(options: Options, name: str) -> tuple[Path, Path]:
    """The annotation file and the folder of videos. Raises AmidError if one is missing."""
    if options.recordings is None:
        raise AmidError(
            f"ActivityNet is not downloaded: put {options.annotations} and the folder "
            f"{options.videos} with <id>.mp4 (or .mkv, .webm, .avi) into one folder, and set "
            f"'options.recordings' in dataset/{name}.yaml to it."
        )
    folder = find_input(options.recordings)
    annotations, videos = folder / options.annotations, folder / options.videos
    if not annotations.is_file():
        raise AmidError(
            f"{annotations} does not exist: put ActivityNet's annotation file there, or correct "
            f"'options' in dataset/{name}.yaml."
        )
    if not videos.is_dir():
        raise AmidError(
            f"{videos} does not exist: put the videos there as <id>.mp4 (or .mkv, .webm, .avi), or "
            f"correct 'options' in dataset/{name}.yaml."
        )
    return annotations, videos


def _files(videos: Path) -> dict[str, Path]:
    """Id -> video file. `v_<id>` counts as `<id>`; `<id>` wins, then the order of KINDS."""
    found: dict[str, Path] = {}

    def rank(path: Path) -> tuple[int, str]:
        return KINDS.index(path.suffix.lower()), path.name

    files = [path for path in videos.iterdir() if path.suffix.lower() in KINDS and path.is_file()]
    for path in sorted(files, key=rank):
        found.setdefault(path.stem, path)
    for path in sorted(files, key=rank):  # ids are 11 characters and may begin with v_ themselves
        if path.stem.startswith("v_") and len(path.stem) > len("v_"):
            found.setdefault(path.stem.removeprefix("v_"), path)
    return found


def _problem(segment: Segment, errors: dict[str, Any]) -> dict[str, str] | None:
    """Why a segment is excluded, None if it is not. errors: of each video that is there."""

    def problem(modality: str, reason: Reason, detail: str) -> dict[str, str]:
        return {"id": segment.id, "modality": modality, "reason": str(reason), "detail": detail}

    if segment.video not in errors:
        return problem("video", Reason.missing_file, f"no video of {segment.video}")
    error = errors[segment.video]
    if error is not None:
        modality = "audio" if error.reason is Reason.no_sound else "video"
        return problem(modality, error.reason, error.detail)
    span = clamp_span(segment.start, segment.end, segment.duration)
    return problem("video", span.reason, span.detail) if isinstance(span, MediaError) else None


def _counts(segments: list[Segment], present: set[str], lost: set[str]) -> dict[str, Any]:
    """Numbers of videos and segments per subset: annotated, found, usable."""
    found: dict[str, Any] = {"classes": len({segment.label for segment in segments})}
    for subset in SPLITS:
        chosen = [segment for segment in segments if segment.subset == subset]
        videos = {segment.video for segment in chosen}
        found[subset] = {
            "videos_expected": EXPECTED[subset],
            "videos_annotated": len(videos),
            "videos_present": len(videos & present),
            "segments": len(chosen),
            "segments_usable": sum(segment.id not in lost for segment in chosen),
        }
    return found


def _by_reason(found: list[dict[str, str]]) -> dict[str, int]:
    reasons = [problem["reason"] for problem in found]
    return {name: reasons.count(name) for name in sorted(set(reasons))}


def _shown(counts: dict[str, Any]) -> list[str]:
    lines = [
        f"activitynet, {subset}: found {n['videos_present']} of {n['videos_annotated']} annotated "
        f"videos (release 1.3 has {n['videos_expected']}); {n['segments_usable']} of "
        f"{n['segments']} segments usable"
        for subset, n in ((subset, counts[subset]) for subset in SPLITS)
    ]
    reasons = ", ".join(f"{count} {name}" for name, count in counts["reasons"].items())
    lines.append(
        f"activitynet: {counts['classes']} classes (release 1.3 has {CLASSES})"
        + (f"; segments left out: {reasons}" if reasons else "")
    )
    return lines


# ---------------------------------------------------------------------------------- annotations


def _segments(path: Path) -> list[Segment]:
    """All segments of the annotated subsets, sorted by id: `<video>-<number from 000>`."""
    try:
        database = json.loads(path.read_text(encoding="utf-8"))["database"]
        items = sorted(database.items())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise AmidError(
            f"{path.name} is not ActivityNet's annotation file (JSON with a `database` of videos): "
            "take activity_net.v1-3.min.json."
        ) from None
    found = []
    for video, entry in items:
        try:
            if entry["subset"] not in SPLITS:
                continue
            if not re.fullmatch(r"[A-Za-z0-9_-]+", video):  # it becomes a file's name
                raise ValueError
            duration = _number(entry["duration"])
            for number, item in enumerate(entry["annotations"]):
                start, end = (_number(value) for value in item["segment"])
                label = item["label"]
                if not isinstance(label, str) or not label.strip():
                    raise ValueError
                name = f"{video}-{number:03d}"
                subset = entry["subset"]
                found.append(Segment(name, video, subset, label, start, end, duration))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise AmidError(
                f"{path.name}: the entry of {ascii(video)[:60]} is not as in ActivityNet 1.3 "
                "(subset, duration, annotations with label and segment): fix it or take it out."
            ) from None
    if not found:
        raise AmidError(
            f"{path.name} has no segment in {' or '.join(SPLITS)}: is it the right one?"
        )
    return sorted(found)


def _end(segment: Segment) -> float:
    return min(segment.end, segment.duration)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(value)
    return float(value)


# ---------------------------------------------------------------------------------- the manifest


def rows(options: Options, folder: Path) -> pd.DataFrame:
    """The manifest, one row a segment, sorted by id; segments with a problem are left out.

    Videos go to validation whole. The draws are over all annotated videos, so that a missing one
    moves no other.
    """
    import pandas as pd

    raw = folder / "raw"
    segments = _segments(raw / "annotations.json")
    lost = set(problems(options, folder)["id"])
    kept = [segment for segment in segments if segment.id not in lost]
    if not kept:
        raise AmidError(
            f"None of the {len(segments)} segments in {raw} can be used: see "
            f"{raw / 'problems.json'}."
        )
    training = {segment.video for segment in segments if segment.subset == "training"}
    validation = drawn_share(training, options.validation, options.seed, "validation")
    order = shuffled({segment.video for segment in segments}, options.seed, "fold")
    folds = {video: rank % options.folds for rank, video in enumerate(order)}
    files = _files(raw / "videos")
    columns: dict[str, Any] = {
        "id": [segment.id for segment in kept],
        "label": [segment.label for segment in kept],
        "split": [
            "validation" if segment.video in validation else SPLITS[segment.subset]
            for segment in kept
        ],
        "fold": [folds[segment.video] for segment in kept],
        "group": [segment.video for segment in kept],
    }
    for modality in ("video", "audio"):
        columns[f"{modality}_path"] = [f"raw/videos/{files[s.video].name}" for s in kept]
        columns[f"{modality}_start"] = [segment.start for segment in kept]
        columns[f"{modality}_end"] = [_end(segment) for segment in kept]
    return pd.DataFrame(columns).astype({"fold": "int64"})


def problems(options: Options, folder: Path) -> pd.DataFrame:
    """The segments that `rows` leaves out: id, modality, reason, detail (all str)."""
    return read_problems(folder / "raw" / "problems.json")

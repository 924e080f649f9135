"""Use media files that are already on this machine: link them into a data set, check headers."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from amid.media import MediaError, Reason
from amid.media.guard import guarded

if TYPE_CHECKING:
    import pandas as pd


def take(source: Path, target: Path) -> None:
    """Make `target` a hard link to a file, or a copy on another disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source = source.resolve()  # a link to a symbolic link would be one itself
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def sound_problems(paths: Sequence[Path], workers: int) -> list[MediaError | None]:
    """The `sound_problem` of each file, found by `workers` child processes."""
    return list(guarded(sound_problem, paths, [path.name for path in paths], workers=workers))


def sound_problem(path: Path) -> MediaError | None:
    """Why a file has no usable picture or sound, by its header alone; None if it has both."""
    import av

    from amid.media.container import check, unopened

    try:
        whole = check(path)
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.video:
                return MediaError(Reason.no_picture, f"{path.name} has no video stream")
            if not container.streams.audio:
                return MediaError(Reason.no_sound, f"{path.name} has no sound track")
    except MediaError as error:
        return error
    except (av.error.FFmpegError, OSError) as error:
        words = error.strerror or "no container"
        return MediaError(unopened(path, whole), f"{path.name} cannot be opened: {words}")
    return None


def absent_classes(
    dataset: str, listed: Sequence[tuple[str, str]], present: Iterable[str], files: Path
) -> list[str]:
    """A sentence for each class that is wholly absent, with the likely cause where a file is there
    under a name in other letters, capital or small.

    listed: (class, path below `files`) of every clip; present: the classes with a file.
    """
    absent: dict[str, list[str]] = {}
    there = set(present)
    for label, path in listed:
        if label not in there:
            absent.setdefault(label, []).append(path)
    if not absent:
        return []
    found = (path.relative_to(files).as_posix() for path in sorted(files.rglob("*")))
    names = {name.lower(): name for name in found}
    sentences = []
    for label, paths in sorted(absent.items()):
        clips = f"{len(paths)} clip" + ("s" if len(paths) > 1 else "")
        text = f"{dataset}: the class {label} is wholly absent, none of its {clips} is there"
        close = names.get(paths[0].lower())
        hint = f"; {close} should be called {paths[0]}, and so for the others" if close else ""
        sentences.append(f"{text} (such as {paths[0]}){hint}")
    return sentences


def write_problems(path: Path, problems: list[dict[str, str]]) -> None:
    """Write problems, dicts of id, modality, reason and detail, as JSON sorted by id."""
    path.write_text(json.dumps(sorted(problems, key=lambda p: p["id"]), indent=1) + "\n")


def read_problems(path: Path) -> pd.DataFrame:
    """Read what `write_problems` wrote: one row per problem, all columns text."""
    import pandas as pd

    columns = ["id", "modality", "reason", "detail"]
    return pd.DataFrame(json.loads(path.read_text()), columns=columns, dtype="str")


def shuffled(names: Iterable[str], seed: int, purpose: str) -> list[str]:
    """The names in a random order that depends on seed and purpose alone, not on a library."""
    return sorted(names, key=lambda n: hashlib.sha256(f"{seed}/{purpose}/{n}".encode()).digest())


def drawn_share(names: Iterable[str], share: float, seed: int, purpose: str) -> set[str]:
    """Draw a share of the names: at least one unless the share is 0, and never all."""
    order = shuffled(names, seed, purpose)
    count = max(1, round(share * len(order))) if share > 0 else 0
    return set(order[: min(count, len(order) - 1)] if order else ())

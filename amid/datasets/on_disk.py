"""Media files that lie on a disk already: taken into a data set, and looked at from outside."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from amid.errors import AmidError
from amid.media import MediaError, Reason
from amid.media.guard import guarded

if TYPE_CHECKING:
    import pandas as pd


@contextlib.contextmanager
def renewed(target: Path) -> Iterator[Path]:
    """An empty folder that becomes `target` at the end; after an error `target` stays as it was."""
    part = target.with_name(f"{target.name}.partial")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        yield part
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    except OSError as error:
        raise AmidError(
            f"{target} could not be filled: {error.strerror or error}; make room or mend the "
            "folder, and run again."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def take(source: Path, target: Path) -> None:
    """The file at a second place: a hard link, or a copy where the disks differ."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source = source.resolve()  # a link to a symbolic link would be one itself
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def sound_problems(paths: Sequence[Path], workers: int) -> list[MediaError | None]:
    """Of each file what keeps it from being used with its sound, None for a usable one."""
    return list(guarded(sound_problem, paths, [path.name for path in paths], workers=workers))


def sound_problem(path: Path) -> MediaError | None:
    """What a file's header says: no container, or no picture or no sound in it. Decodes nothing."""
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


def write_problems(path: Path, problems: list[dict[str, str]]) -> None:
    """Problems as they were found: id, modality, reason, detail of each."""
    path.write_text(json.dumps(sorted(problems, key=lambda p: p["id"]), indent=1) + "\n")


def read_problems(path: Path) -> pd.DataFrame:
    """What `write_problems` wrote, one row a clip, all columns text."""
    import pandas as pd

    columns = ["id", "modality", "reason", "detail"]
    return pd.DataFrame(json.loads(path.read_text()), columns=columns, dtype="str")


def shuffled(names: Iterable[str], seed: int, purpose: str) -> list[str]:
    """In an order drawn from the seed: by sum, so that no library's version changes it."""
    return sorted(names, key=lambda n: hashlib.sha256(f"{seed}/{purpose}/{n}".encode()).digest())


def drawn_share(names: Iterable[str], share: float, seed: int, purpose: str) -> set[str]:
    """A share of the names, at least one where the share is not 0, never all of them."""
    order = shuffled(names, seed, purpose)
    count = max(1, round(share * len(order))) if share > 0 else 0
    return set(order[: min(count, len(order) - 1)] if order else ())

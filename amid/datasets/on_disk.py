"""Media files that lie on a disk already: taken into a data set, and looked at from outside."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from amid.errors import AmidError
from amid.media import MediaError, Reason


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


def sound_problems(
    paths: Sequence[Path],
    workers: int,
    check: Callable[[Path], MediaError | None] | None = None,
) -> list[MediaError | None]:
    """Of each file what keeps it from being used with its sound, None for a usable one."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        return list(pool.map(check or sound_problem, paths))


def sound_problem(path: Path) -> MediaError | None:
    """What a file's header says: no container, or no picture or no sound in it. Decodes nothing."""
    import av

    from amid.media.container import check

    try:
        check(path)
        with av.open(str(path)) as container:
            if not container.streams.video:
                return MediaError(Reason.no_picture, f"{path.name} has no video stream")
            if not container.streams.audio:
                return MediaError(Reason.no_sound, f"{path.name} has no sound track")
    except MediaError as error:
        return error
    except OSError as error:  # av's errors for files it cannot open among them
        return MediaError(Reason.not_media, f"{path.name}: {error.strerror or 'no container'}")
    except ValueError:  # av's InvalidDataError
        return MediaError(Reason.not_media, f"{path.name} is no container of picture and sound")
    return None


def absent(folder: Path, wanted: Iterable[str]) -> list[str]:
    """Those of the names that `folder` does not hold."""
    return [name for name in wanted if not (folder / name).exists()]

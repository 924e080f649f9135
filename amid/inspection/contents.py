"""What the files of a modality hold, by their names and headers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from amid.errors import AmidError
from amid.inspection.folder import KINDS
from amid.io.progress import Progress
from amid.media import MediaError

LOOKED_AT = 100  # media files of a modality, evenly over the data set


class Contents(NamedTuple):
    """kind: video, audio, text or features. dims, sequence: of features. lengths: vectors of each
    sequence, seconds of each film or sound. with_sound: share of films that have a sound track.
    bad: what cannot be read, one sentence a file."""

    kind: str
    dims: int = 0
    sequence: bool = False
    lengths: Sequence[float] = ()
    with_sound: float = 0.0
    bad: Sequence[str] = ()


def kind_of(paths: Sequence[str]) -> str | None:
    """The kind of most files; None where they have names of no kind that can be read."""
    kinds = [KINDS.get(Path(path).suffix.lower()) for path in paths]
    return max(set(kinds), key=lambda kind: (kinds.count(kind), str(kind))) if kinds else None


def look(modality: str, kind: str, paths: Sequence[Path], workers: int) -> Contents:
    """Reads the headers of all feature files, or of `LOOKED_AT` films or sounds. Raises AmidError
    where features have shapes that do not fit together."""
    if kind == "features":
        return _features(modality, paths)
    if kind == "text":
        return Contents(kind)
    return _media(modality, kind, paths, workers)


def _features(modality: str, paths: Sequence[Path]) -> Contents:
    import numpy as np

    shapes: dict[Path, tuple[int, ...]] = {}
    bad = []
    with Progress(f"{modality}: headers", len(paths)) as progress:
        for path in paths:
            progress.advance()
            try:
                shapes[path] = np.load(path, mmap_mode="r", allow_pickle=False).shape
            except (OSError, ValueError, EOFError) as error:
                bad.append(f"{path.name}: {' '.join(str(error).split())}")
    ends = {(len(shape), shape[-1] if shape else 0) for shape in shapes.values()}
    if not shapes:
        raise AmidError(f"`{modality}`: none of its {len(paths)} .npy files can be read: {bad[0]}.")
    if len(ends) > 1 or next(iter(ends))[0] not in (1, 2):
        seen = sorted({shape: str(path) for path, shape in shapes.items()}.items())[:3]
        shown = ", ".join(f"{shape} of {Path(path).name}" for shape, path in seen)
        raise AmidError(
            f"`{modality}`: its arrays have the shapes {shown}: save vectors (dims,) or sequences "
            "(length, dims), all with the same dims."
        )
    ((axes, dims),) = ends
    lengths = [shape[0] for shape in shapes.values()] if axes == 2 else []
    return Contents("features", dims, axes == 2, lengths, bad=bad)


def _media(modality: str, kind: str, paths: Sequence[Path], workers: int) -> Contents:
    from amid.media.guard import guarded

    step = max(1, len(paths) // LOOKED_AT)
    chosen = list(paths)[::step][:LOOKED_AT]
    lengths, sounds, bad = [], 0, []
    with Progress(f"{modality}: headers", len(chosen)) as progress:
        for found in guarded(_tracks, chosen, [p.name for p in chosen], workers=workers):
            progress.advance()
            if isinstance(found, MediaError):
                bad.append(found.detail)
                continue
            picture, sound, seconds = found
            sounds += sound
            if kind == "video" and not picture:
                bad.append("a file without a picture")
            elif seconds is not None:
                lengths.append(seconds)
    if len(bad) == len(chosen):
        raise AmidError(f"`{modality}`: none of its files can be read: {bad[0]}.")
    return Contents(kind, lengths=lengths, with_sound=sounds / len(chosen), bad=bad)


def _tracks(path: Path) -> tuple[bool, bool, float | None]:
    """Whether a file has a picture and a sound, and its seconds, by its header."""
    import av

    from amid.media.container import check, unopened

    whole = check(path)
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            seconds = None if container.duration is None else container.duration / av.time_base
            return bool(container.streams.video), bool(container.streams.audio), seconds
    except (av.error.FFmpegError, OSError) as error:
        words = error.strerror or "no container"
        raise MediaError(unopened(path, whole), f"{path.name} cannot be opened: {words}") from error

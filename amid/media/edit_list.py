"""What the edit list of an MP4 or MOV film says of its picture, where FFmpeg is a little off.

A trimming tool that does not encode again keeps the whole group of pictures before the cut and
writes an edit list that hides them. Where an edit begins inside a frame, FFmpeg drops that frame
and shows the next one at once, up to a frame too early, while it cuts the sound exactly.

ISO/IEC 14496-12, boxes moov, trak, edts, elst, mdhd, stts, ctts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

LARGEST = 1 << 26  # bytes of a box `moov` that is read: days of film


class Edit(NamedTuple):
    """The one edit of a film's first video track, in seconds.

    delay: of the film before the edit begins. duration: of the edit. lead: from the edit's
    beginning to the first frame that begins in it.
    """

    delay: float
    duration: float
    lead: float


def video_edit(path: Path) -> Edit | None:
    """None for films in fragments, without an edit list or with one of several pieces, and for
    other files."""
    with open(path, "rb") as file:
        moov = _moov(file)
    try:
        return None if moov is None else _edit(moov)
    except (struct.error, IndexError, ValueError, ZeroDivisionError):
        return None  # boxes that are cut or odd are FFmpeg's to judge


def _moov(file: BinaryIO) -> bytes | None:
    """The content of the box `moov`."""
    position = 0
    while True:
        file.seek(position)
        head = file.read(16)
        if len(head) < 8:
            return None
        size, header = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, header = int.from_bytes(head[8:16], "big"), 16
        if size < header:
            return None
        if head[4:8] == b"moov":
            file.seek(position + header)
            return file.read(size - header) if size <= LARGEST else None
        position += size


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, content) of the boxes in the content of another."""
    position = 0
    while position + 8 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        if size < 8:
            return
        yield data[position + 4 : position + 8], data[position + 8 : position + size]
        position += size


def _find(data: bytes, *names: bytes) -> bytes | None:
    """The content of the first box with this path."""
    for name in names:
        data = next((content for found, content in _boxes(data) if found == name), None)
        if data is None:
            return None
    return data


def _edit(moov: bytes) -> Edit | None:
    if _find(moov, b"mvex") is not None:  # the times of fragments stand elsewhere
        return None
    for name, track in _boxes(moov):
        handler = _find(track, b"mdia", b"hdlr") if name == b"trak" else None
        if handler is not None and handler[8:12] == b"vide":
            break
    else:
        return None
    edits, film = _find(track, b"edts", b"elst"), _find(moov, b"mvhd")
    clock, table = _find(track, b"mdia", b"mdhd"), _find(track, b"mdia", b"minf", b"stbl")
    if edits is None or film is None or clock is None or table is None:
        return None
    entries = _entries(edits)
    delay = entries.pop(0)[0] if entries and entries[0][1] == -1 else 0
    if len(entries) != 1:
        return None
    duration, start = entries[0]
    times = _times(table)  # (frames,)
    shown = times[times >= start]
    if not len(shown):
        return None
    ticks = _timescale(film)
    return Edit(delay / ticks, duration / ticks, int(shown.min() - start) / _timescale(clock))


def _entries(elst: bytes) -> list[tuple[int, int]]:
    """(duration on the film's clock, start on the track's; -1: nothing is shown)."""
    form = ">Qqi" if elst[0] == 1 else ">Iii"
    (count,) = struct.unpack_from(">I", elst, 4)
    size = struct.calcsize(form)
    return [struct.unpack_from(form, elst, 8 + size * n)[:2] for n in range(count)]


def _timescale(header: bytes) -> int:
    """Ticks a second, of a box mvhd or mdhd."""
    return struct.unpack_from(">I", header, 20 if header[0] == 1 else 12)[0]


def _times(table: bytes) -> np.ndarray:
    """When each frame of the file is shown, (frames,) int64 ticks of the track's clock."""
    steps = _runs(_find(table, b"stts") or b"")
    times = np.cumsum(steps) - steps
    offsets = _find(table, b"ctts")
    if offsets is not None:
        times = times + _runs(offsets)[: len(times)]
    return times


def _runs(box: bytes) -> np.ndarray:
    """The values of a box of (count, value) pairs, each as often as it counts, int64."""
    (entries,) = struct.unpack_from(">I", box, 4)
    pairs = np.frombuffer(box, ">i4", 2 * entries, 8).reshape(-1, 2).astype(np.int64)
    if not 0 <= pairs[:, 0].sum() <= LARGEST:
        raise ValueError("frames without number")
    return np.repeat(pairs[:, 1], pairs[:, 0])

"""FFmpeg, by PyAV, as a strict judge: all checks on, and its complaints collected.

By itself FFmpeg conceals damage and goes on; most of what it notices is only in its log.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import av

CHECKS = {"err_detect": "crccheck+bitstream+buffer+explode"}


class Complaints:
    """What FFmpeg said, and where: the number of packets that had been read by then."""

    def __init__(self, log: list[tuple[int, str, str]]) -> None:
        self.log = log  # (level, who, words), grows by itself
        self.found: list[tuple[int, str]] = []
        self.heard = 0

    def listen(self, packet: int, error: Exception | None = None) -> None:
        """Notes whatever is new, as heard at `packet`."""
        new = [f"{who}: {words.strip()}" for _, who, words in self.log[self.heard :]]
        if error is not None and not new:
            new = [str(getattr(error, "strerror", None) or error)]
        self.heard = len(self.log)
        self.found += [(packet, words) for words in new]


def decoded(packet: av.Packet) -> list[av.VideoFrame] | list[av.AudioFrame]:
    """A packet's frames. Raises av.error.FFmpegError; MemoryError if they do not fit into memory.

    Reading a packet may want memory as well, but only for a size that is damaged: no real packet is
    larger than its file.
    """
    try:
        return packet.decode()
    except av.error.MemoryError as error:  # an FFmpegError, too
        raise MemoryError(f"frames at byte {packet.pos}") from error


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[av.container.InputContainer, Complaints]]:
    """The file, to be decoded by one thread. Raises av.error.FFmpegError."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with (
            av.logging.Capture() as log,
            av.open(str(path), metadata_errors="replace") as container,
        ):
            for stream in container.streams:
                if stream.codec_context is not None:
                    stream.codec_context.thread_type = "NONE"
                    stream.codec_context.options = CHECKS
            log.clear()  # what guessing the streams' parameters met will be met again
            yield container, Complaints(log)
    finally:
        av.logging.set_level(level)

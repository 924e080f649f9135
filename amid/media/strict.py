"""FFmpeg, by PyAV, as a strict judge: all checks on, and its complaints collected.

By itself FFmpeg conceals damage and goes on; most of what it notices is only in its log.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import av

CHECKS = "crccheck+bitstream+buffer+explode"
# MPEG-1 and MPEG-2 of a constant bit rate fill up with zeros before a start code, which is legal,
# but `bitstream` calls more than a byte of them an "end mismatch". Bits other than zero are one
# without it, too.
STUFFED = ("mpeg1video", "mpeg2video")


class Complaints:
    """What FFmpeg said of one stream, and where: the number of its packets read by then.

    log: (level, who, words), grows by itself. others: the decoders of other streams, whose words
    are not about this one.
    """

    def __init__(self, log: list[tuple[int, str, str]], others: Collection[str] = ()) -> None:
        self.log, self.others = log, others
        self.found: list[tuple[int, str]] = []
        self.heard = 0

    def listen(self, packet: int, error: Exception | None = None) -> None:
        """Notes whatever is new, as heard at `packet`."""
        if error is None and self.heard == len(self.log):
            return
        new = [
            f"{who}: {words.strip()}"
            for _, who, words in self.log[self.heard :]
            if who not in self.others
        ]
        if error is not None and not new:
            new = [str(getattr(error, "strerror", None) or error)]
        self.heard = len(self.log)
        self.found += [(packet, words) for words in new]

    def skip(self) -> None:
        """Lets whatever is new pass: it is about another stream."""
        self.heard = len(self.log)


def decoder(stream: av.stream.Stream) -> Callable[[av.Packet], list[av.frame.Frame]]:
    """What gives a packet's frames, for each of a stream's packets in turn: the method itself, as a
    call from Python takes its time. Raises av.error.FFmpegError, to be given to `damage`."""
    return stream.codec_context.decode  # what packet.decode() ends in


def damage(error: av.error.FFmpegError, packet: av.Packet) -> av.error.FFmpegError:
    """What is wrong with a packet. Raises MemoryError if its frames did not fit into memory.

    Reading a packet may want memory as well, but only for a size that is damaged: no real packet is
    larger than its file.
    """
    if isinstance(error, av.error.MemoryError):  # an FFmpegError, too
        raise MemoryError(f"frames at byte {packet.pos}") from error
    return error


@contextlib.contextmanager
def opened(
    path: Path,
) -> Iterator[tuple[av.container.InputContainer, list[tuple[int, str, str]]]]:
    """The file, to be decoded by one thread, and the log. Raises av.error.FFmpegError."""
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    # else a complaint that equals the last one, of whatever file, is not heard
    av.logging.set_skip_repeated(False)
    try:
        with (
            av.logging.Capture() as log,
            av.open(str(path), metadata_errors="replace") as container,
        ):
            for stream in container.streams:
                context = stream.codec_context
                if context is not None:
                    context.thread_type = "NONE"
                    stuffed = context.name in STUFFED
                    checks = CHECKS.replace("bitstream+", "") if stuffed else CHECKS
                    context.options = {"err_detect": checks}
            log.clear()  # what guessing the streams' parameters met will be met again
            yield container, log
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)

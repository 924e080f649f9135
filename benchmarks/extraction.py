"""What a core extracts: films like UCF101's and ActivityNet's, all their frames looked at.

Made here with PyAV: a patch that moves before a still ground, at the bit rates of the real files.
MPEG-4 (Xvid's tag) in .avi, 320 x 240, 25 frames/s, 7.2 s, 540 kbit/s; and H.264 in .mp4, 640 x
360, 30 frames/s, 120 s, 700 kbit/s, of which two thirds are asked for. Seconds are those of the
process's own processor time, which other programs disturb little: the median of the repeats.
"""

from __future__ import annotations

from benchmarks.side_by_side import arguments, show  # isort: skip  pins kernels first

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np

from amid.extractors import Span, frame_dct, frames, load, log_mel
from amid.io.checksums import sha256_file

NAN = float("nan")
RATE = 16000
EXTRACTORS = {
    "frame_dct": frame_dct.Options(frames=8, size=[48, 64], coefficients=64, differences=True),
    "frames": frames.Options(size=[128, 171], every=2),
    "log_mel": log_mel.Options(steps=32, bands=40),
}


class Film(NamedTuple):
    name: str
    codec: str
    width: int
    height: int
    rate: int
    seconds: float
    bits: int  # a second, of the picture
    spans: list[tuple[float, float]]


FILMS = (
    Film("ucf.avi", "mpeg4", 320, 240, 25, 7.2, 540_000, [(NAN, NAN)]),
    Film("activitynet.mp4", "libx264", 640, 360, 30, 120.0, 700_000, [(10.0, 90.0)]),
)


def write(film: Film, path: Path) -> None:
    rng = np.random.default_rng(0)
    size = (film.height, film.width)
    ground = cv2.resize(rng.integers(0, 255, (12, 16, 3), np.uint8), size[::-1])
    patch = cv2.resize(rng.integers(0, 255, (24, 24, 3), np.uint8), (96, 96))
    count = round(film.rate * film.seconds)
    with av.open(str(path), "w") as container:
        video = container.add_stream(film.codec, rate=film.rate)
        video.width, video.height, video.pix_fmt = film.width, film.height, "yuv420p"
        video.bit_rate = film.bits
        if film.codec == "mpeg4":
            video.codec_context.codec_tag = "XVID"
        audio = container.add_stream("aac" if path.suffix == ".mp4" else "mp3", rate=RATE)
        audio.layout = "mono"
        for number in range(count):
            picture = ground.copy()
            left, top = 3 * number % (film.width - 96), 2 * number % (film.height - 96)
            picture[top : top + 96, left : left + 96] = patch
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode())
        noise = rng.normal(0, 3000, (1, round(RATE * film.seconds))).astype(np.int16)
        for start in range(0, noise.shape[1], 1024):
            piece = np.ascontiguousarray(noise[:, start : start + 1024])
            sound = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
            sound.sample_rate, sound.pts = RATE, start
            container.mux(audio.encode(sound))
        container.mux(audio.encode())


def core_seconds(work: Callable[[], object], repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return float(np.median(times))


def main() -> None:
    given = arguments(__doc__, repeats=5)
    cv2.setNumThreads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for film in FILMS:
            path = Path(folder) / film.name
            write(film, path)
            megabytes = path.stat().st_size / 1e6
            spans = [Span(str(n), *span) for n, span in enumerate(film.spans)]
            for name, options in EXTRACTORS.items():
                module = load(name)
                (value,) = module.extract(path, spans, options)
                assert isinstance(value, np.ndarray), value
                took = core_seconds(
                    lambda module=module, path=path, spans=spans, options=options: module.extract(
                        path, spans, options
                    ),
                    given.repeats,
                )
                rows.append(
                    {
                        "film": film.name,
                        "MB": megabytes,
                        "extractor": name,
                        "core seconds a file": took,
                        "times real time": film.seconds / took,
                        "frames/s": film.seconds * film.rate / took,
                        "bytes a clip": value.astype(getattr(module, "DTYPE", np.float32)).nbytes,
                    }
                )
            took = core_seconds(lambda path=path: sha256_file(path), 50)
            rows.append(
                {
                    **dict.fromkeys(rows[-1], "-"),
                    "film": film.name,
                    "MB": megabytes,
                    "extractor": "its name: sha256",
                    "core seconds a file": took,
                    "times real time": film.seconds / took,
                }
            )
    show(rows, given.json)


if __name__ == "__main__":
    main()

"""Decoding: 8 frames of a film, strictly looked at, against OpenCV's bare grab() of all its frames;
memory of a decoding child; log-mel against real time.

On files made here: films of eight seconds with sound, 320 x 240, MPEG-4 (Xvid's tag) in .avi and
H.264 in .mp4, at the bit rates of real ones; the same at 1920 x 1080 for memory; ten seconds of
noise as a .wav. One thread, and its processor time, which other programs disturb less than the time
of the clock. `--film FILE` takes a film of yours in place of the made ones.
"""

from __future__ import annotations

from benchmarks.side_by_side import arguments, ratio, show, timed  # isort: skip  pins kernels first

import tempfile
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import soundfile

from amid.extractors import Span, log_mel
from amid.media import Pictures
from amid.media.film import read_one
from amid.media.guard import guarded, keep_memory
from amid.studies import load_params
from benchmarks.extraction import Film, write

FRAMES = 8
WHOLE = (float("nan"), float("nan"))
FILMS = (
    Film("xvid.avi", "mpeg4", 320, 240, 25, 8.0, 540_000, [WHOLE]),
    Film("h264.mp4", "libx264", 320, 240, 25, 8.0, 540_000, [WHOLE]),
)
LARGE = Film("large.mp4", "libx264", 1920, 1080, 25, 2.0, 4_000_000, [WHOLE])
SOUND_SECONDS = 10.0


def grab_all(path: Path) -> int:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    count = 0
    while capture.grab():
        count += 1
    capture.release()
    return count


def sampled(path: Path, frames: int = FRAMES) -> np.ndarray:
    (clip,) = read_one(path, Pictures([(*WHOLE, None)], frames))
    return clip


def peak(task: tuple[Path, int]) -> int:
    """MiB that a child has held at most, after it read so many frames of a film; of 0 frames: what
    it holds when it has only started."""
    path, frames = task
    if frames:
        assert len(sampled(path, frames)) == frames
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) >> 10


def main() -> None:
    given = arguments(__doc__, {"film": Path}, repeats=25)
    cv2.setNumThreads(1)
    keep_memory()  # as children do
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        films = [given.film] if given.film else [Path(folder) / film.name for film in FILMS]
        if not given.film:
            for film, path in zip(FILMS, films, strict=True):
                write(film, path)
        for path in films:
            sides = {"grab": partial(grab_all, path), "sampled": partial(sampled, path)}
            count, times = grab_all(path), timed(sides, given.repeats, clock=time.thread_time)
            rows.append(
                {
                    "film": path.name,
                    "grab(), frames/s": round(count / float(np.median(times["grab"]))),
                    "8 sampled, frames/s": round(count / float(np.median(times["sampled"]))),
                    "speed against grab()": ratio(times["grab"], times["sampled"]),
                }
            )
        show(rows, given.json)
        write(LARGE, Path(folder) / LARGE.name)
        asked = [(films[-1], 0), *((f, FRAMES) for f in films)]
        asked += [(Path(folder) / LARGE.name, frames) for frames in (2, FRAMES, 40)]
        memory = []
        for path, frames in asked:
            (most,) = guarded(peak, [(path, frames)], [path.name], workers=1)  # it never goes down
            name = path.name if frames else "none"
            memory.append({"film": name, "frames kept": frames, "peak of a child, MiB": most})
        print()
        show(memory, None)
        sound = Path(folder) / "clip.wav"
        noise = np.random.default_rng(0).normal(0, 0.1, round(16000 * SOUND_SECONDS))
        soundfile.write(sound, noise, 16000)
        _, options = load_params(Path("params.yaml")).data["avlips"].extract["audio"]
        spans = [Span("made up", 0.0, SOUND_SECONDS)]
        heard = timed({"log_mel": lambda: log_mel.extract(sound, spans, options)}, given.repeats)
    factor = SOUND_SECONDS / heard["log_mel"]
    print()
    show([{"log-mel, times real time": ratio(factor, np.ones_like(factor))}], None)


if __name__ == "__main__":
    main()

"""Decoding: 8 frames of a clip against a bare grab() of all its frames; log-mel against real time.

Both on files made here: a 320 x 240 video of three seconds (OpenCV, Motion JPEG) and ten seconds of
noise as a .wav, one thread.
"""

from __future__ import annotations

from benchmarks.side_by_side import arguments, ratio, show, timed  # isort: skip  pins kernels first

import json
import tempfile
from pathlib import Path

import cv2
import numpy as np
import soundfile

from amid import config
from amid.extractors import Span, log_mel
from amid.media.video import read_frames

SIZE, RATE, SECONDS, FRAMES = (320, 240), 25.0, 3.0, 8
SOUND_SECONDS = 10.0


def write_video(path: Path) -> None:
    rng = np.random.default_rng(0)
    fourcc = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), fourcc, RATE, SIZE)
    ground = cv2.resize(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8), SIZE)
    for frame in range(round(RATE * SECONDS)):
        picture = np.roll(ground, 3 * frame, axis=1)
        writer.write(picture)
    writer.release()


def grab_all(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.grab():
        count += 1
    capture.release()
    return count


def main() -> None:
    given = arguments(__doc__, repeats=25)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        video, sound = Path(folder) / "clip.avi", Path(folder) / "clip.wav"
        write_video(video)
        assert grab_all(video) == round(RATE * SECONDS)
        noise = np.random.default_rng(0).normal(0, 0.1, round(16000 * SOUND_SECONDS))
        soundfile.write(sound, noise, 16000)
        _, options = config.load(Path("params.yaml")).data["avlips"].extract["audio"]
        spans = [Span("made up", 0.0, SOUND_SECONDS)]
        times = timed(
            {
                "grab": lambda: grab_all(video),
                "sampled": lambda: read_frames(video, [(0.0, SECONDS)], FRAMES),
                "log_mel": lambda: log_mel.extract(sound, spans, options),
            },
            given.repeats,
        )
    frames = RATE * SECONDS
    decoding = {
        "grab(), frames/s": round(frames / float(np.median(times["grab"]))),
        "8 sampled frames, frames of the clip/s": round(
            frames / float(np.median(times["sampled"]))
        ),
        "speed against grab()": ratio(times["grab"], times["sampled"]),
    }
    factor = SOUND_SECONDS / times["log_mel"]
    hearing = {"log-mel, times real time": ratio(factor, np.ones_like(factor))}
    show([decoding], None)
    print()
    show([hearing], None)
    if given.json is not None:
        rows = json.dumps([decoding, hearing], indent=1)
        given.json.write_text(rows + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Small clips for the tests, encoded for real."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import soundfile

from amid.data import decoding
from amid.media import Box, MediaError, Pictures, Reading, Sound
from amid.media.film import read, read_one

NAN = float("nan")
WHOLE = (NAN, NAN)


def see(
    path: Path,
    spans: Sequence[tuple[float, float]] = (WHOLE,),
    frames: int | None = 8,
    box: Box | None = None,
    **options: object,
) -> list[np.ndarray | MediaError]:
    """Frames of spans of a film, one clip a span. Raises MediaError for a bad film."""
    return read_one(path, looking(spans, frames, box, **options))


def looking(
    spans: Sequence[tuple[float, float]] = (WHOLE,),
    frames: int | None = 8,
    box: Box | None = None,
    **options: object,
) -> Pictures:
    """The request for that."""
    return Pictures([(*span, None) for span in spans], frames, box, **options)


def hear(path: Path, rate: int = 16000) -> np.ndarray:
    """The whole sound of a file, (samples,). Raises MediaError for a bad one."""
    return read_one(path, Sound([WHOLE], rate))[0]


def both(path: Path, frames: int | None = 8, rate: int = 16000) -> tuple[Reading, Reading]:
    """Picture and sound of a whole film, by one pass."""
    picture, sound = read(path, [looking(frames=frames), Sound([WHOLE], rate)])
    return picture, sound


def write_video(
    path: Path, frames: int = 30, codec: str = "FFV1", size: tuple[int, int] = (48, 64)
) -> Path:
    """A clip at 25 frames/s; with FFV1, which is lossless, frame k is grey of level 8 k."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25.0, size[::-1])
    assert writer.isOpened()
    rng = np.random.default_rng(0)
    for number in range(frames):
        picture = np.full((*size, 3), 8 * number % 256, np.uint8)
        if codec != "FFV1":  # so that there is something to encode
            picture = rng.integers(0, 255, (*size, 3), np.uint8)
        writer.write(picture)
    writer.release()
    return path


def tone(seconds: float, rate: int = 16000, hertz: float = 440.0) -> np.ndarray:
    """(samples,) float32, amplitude 0.5."""
    time = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def write_sound(path: Path, signal: np.ndarray, rate: int = 16000, **options: str) -> Path:
    soundfile.write(path, signal, rate, **options)
    return path


def write_both(
    path: Path, times: Sequence[float], sound: np.ndarray | None = None, sound_start: float = 0.0
) -> Path:
    """A .mkv with frames shown at `times` seconds and sound at 16 kHz from `sound_start` on."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        if sound is not None:
            audio = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for number, time in enumerate(times):
            picture = np.full((48, 64, 3), 8 * number % 256, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if sound is not None:
            samples = (sound * 32767).astype(np.int16)[None]
            piece = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            piece.sample_rate, piece.time_base = 16000, Fraction(1, 16000)
            piece.pts = round(sound_start * 16000)
            container.mux([*audio.encode(piece), *audio.encode()])
    return path


def write_avi(
    path: Path, pictures: np.ndarray, sound: np.ndarray | None = None, codec: str = "mjpeg"
) -> Path:
    """A file of `pictures` (n, H, W, 3) uint8 at 25 a second and sound at 16 kHz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25)
        video.height, video.width = pictures.shape[1:3]
        video.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if sound is not None:
            audio = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if sound is not None:
            samples = (sound * 32767).astype(np.int16)[None]
            piece = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            piece.sample_rate = 16000
            container.mux([*audio.encode(piece), *audio.encode()])
    return path


def activity(
    label: int, clip: int, seconds: float = 1.0, labels: int = 6
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (25 a second, 48, 64, 3) uint8 and sound (16,000 a second,) of a made-up activity.

    A bright bar stands, and a tone sounds, where the label says; the clip's number draws the rest.
    """
    rng = np.random.default_rng([label, clip])
    pictures = rng.integers(40, 80, (round(25 * seconds), 48, 64, 3), np.uint8)
    left = 2 + 60 * label // labels + int(rng.integers(0, 4))
    pictures[:, 8:40, left : left + 6] = 220
    sound = tone(seconds, hertz=300.0 * (1 + label)) + rng.normal(
        0, 0.05, round(16000 * seconds)
    ).astype(np.float32)
    return pictures, np.clip(sound, -1, 1)


def cut(path: Path, share: float) -> Path:
    """Only the first `share` of a file's bytes, in a file beside it."""
    data = path.read_bytes()
    target = path.with_stem(path.stem + "_cut")
    target.write_bytes(data[: int(len(data) * share)])
    return target


def blank(path: Path, begin: float, end: float) -> Path:
    """Zero bytes from share `begin` to share `end` of a file, in a file beside it."""
    data = bytearray(path.read_bytes())
    first, last = int(len(data) * begin), int(len(data) * end)
    data[first:last] = bytes(last - first)
    target = path.with_stem(path.stem + "_blank")
    target.write_bytes(data)
    return target


def grid_clips(shared: Path, folder: Path, number: int) -> dict[Path, list[tuple[float, float]]]:
    """`number` real clips of GRID unpacked into `folder`, with the spans of their words."""
    grid = shared / "data" / "grid"
    clips = {}
    with (
        zipfile.ZipFile(grid / "s1.zip") as films,
        zipfile.ZipFile(grid / "alignments.zip") as words,
    ):
        names = [name for name in films.namelist() if name.endswith(".mpg")]
        for name in names[:: len(names) // number][:number]:
            path = folder / Path(name).name
            path.write_bytes(films.read(name))
            lines = words.read(f"alignments/s1/{path.stem}.align").decode().split("\n")
            parts = [line.split() for line in lines if line.strip()]
            clips[path] = [
                (int(start) / 25000, int(end) / 25000)
                for start, end, word in parts
                if word not in ("sil", "sp")
            ]
    return clips


def die_of_pictures(task: decoding.Task) -> list[decoding.Outcome]:
    """`decoding.decode`, with a decoder that ends its process over the pictures of c."""
    if task.path.stem == "c" and "video" in task.modalities:
        os._exit(3)
    return decoding.decode(task)


def die_of_ab(task: decoding.Task) -> list[decoding.Outcome]:
    """`decoding.decode`, with a decoder that ends its process over the files named ab."""
    if task.path.stem == "ab":
        os._exit(3)
    return decoding.decode(task)

"""Clips in four containers, and twelve ways in which they may be damaged."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np

from amid.media import Reason
from tests.media.clips import tone, write_sound


class Container(NamedTuple):
    video: str  # FFmpeg's names of the codecs
    audio: str
    rate: int  # samples a second
    pixels: str = "yuv420p"
    mark: bytes = b"mdat"  # what picture and sound begin with
    floats: bool = False  # whether it can hold sound in float32


CONTAINERS = {
    "mp4": Container("libx264", "aac", 16000),
    "avi": Container("mjpeg", "pcm_s16le", 16000, "yuvj420p", b"movi", floats=True),
    "mkv": Container("ffv1", "flac", 16000, mark=b"\x1fC\xb6u", floats=True),
    "mpg": Container("mpeg1video", "mp2", 44100, mark=b"\0\0\1[\xc0-\xef]"),
}


def pictures(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """(25 a second, 72, 96, 3) uint8: waves that wander, and noise."""
    rows, columns = np.arange(72)[:, None], np.arange(96)
    time = np.arange(round(25 * seconds))[:, None, None]
    pace = rng.uniform(1, 4, 2)
    waves = 60 * np.sin((columns + pace[0] * time) / 9) + 40 * np.cos((rows - pace[1] * time) / 7)
    noisy = 128 + waves[..., None] + rng.normal(0, 6, (len(time), 72, 96, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def sounds(rng: np.random.Generator, seconds: float, rate: int) -> np.ndarray:
    """(samples,) float32: a tone and noise."""
    clean = tone(seconds, rate, rng.uniform(200, 900))
    return clean + rng.normal(0, 0.05, len(clean)).astype(np.float32)


def write_clip(
    path: Path,
    images: np.ndarray | None,
    sound: np.ndarray | None,
    *,
    times: np.ndarray | None = None,
    turned: int = 0,
) -> Path:
    """A film of `images` (n, H, W, 3), shown at `times` seconds or 25 a second, and `sound`.

    turned: degrees, to the left, by which a player is to turn it. None leaves a stream out, sound
    that is not finite is stored as float32.
    """
    kind = CONTAINERS[path.suffix[1:]]
    with av.open(str(path), "w", options={"fflags": "bitexact"}) as film:
        if images is not None:
            video = film.add_stream(kind.video, rate=25)
            height, width = images.shape[1:3]
            video.codec_context.thread_count = 1  # the same seed gives the same bytes
            if kind.video == "libx264":
                video.codec_context.options = {"x264-params": "mbtree=0"}  # for the same reason
            video.width, video.height, video.pix_fmt = width, height, kind.pixels
            if turned:
                video.set_display_rotation(turned)
            if times is not None:
                video.codec_context.time_base = Fraction(1, 1000)
        if sound is not None:
            floats = kind.floats and not np.isfinite(sound).all()
            codec = "pcm_f32le" if floats else kind.audio
            audio = film.add_stream(codec, rate=kind.rate, layout="mono")
        for number in range(max(len(images) if images is not None else 0, 50)):
            if images is not None and number < len(images):
                frame = av.VideoFrame.from_ndarray(images[number], format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                if times is not None:
                    frame.pts, frame.time_base = round(1000 * times[number]), Fraction(1, 1000)
                film.mux(video.encode(frame))
            if sound is not None:
                start, end = (round(n * kind.rate / 25) for n in (number, number + 1))
                if len(part := sound[start:end]):
                    data = part if floats else (part * 32767).clip(-32767, 32767).astype(np.int16)
                    form = "flt" if floats else "s16"
                    piece = av.AudioFrame.from_ndarray(data[None], format=form, layout="mono")
                    piece.sample_rate, piece.time_base = kind.rate, Fraction(1, kind.rate)
                    piece.pts = start
                    film.mux(audio.encode(piece))
        if images is not None:
            film.mux(video.encode())
        if sound is not None:
            film.mux(audio.encode())
    return path


def good(path: Path, rng: np.random.Generator) -> Path:
    """An undamaged clip."""
    seconds = rng.integers(25, 40) / 25
    rate = CONTAINERS[path.suffix[1:]].rate
    return write_clip(path, pictures(rng, seconds), sounds(rng, seconds, rate))


def turned(path: Path, rng: np.random.Generator) -> Path:
    """An undamaged clip that is to be turned by a player."""
    seconds = rng.integers(25, 40) / 25
    rate = CONTAINERS[path.suffix[1:]].rate
    quarter = int(rng.choice([90, 180, -90]))
    return write_clip(path, pictures(rng, seconds), sounds(rng, seconds, rate), turned=quarter)


def variable(path: Path, rng: np.random.Generator) -> Path:
    """An undamaged clip of a variable frame rate: 10 to 50 frames a second."""
    images = pictures(rng, 1.2)
    times = np.cumsum([0.0, *rng.uniform(0.02, 0.1, len(images) - 1)])
    rate = CONTAINERS[path.suffix[1:]].rate
    seconds = times[-1] + times[-1] / (len(times) - 1)
    return write_clip(path, images, sounds(rng, seconds, rate), times=times)


def truncate(path: Path, rng: np.random.Generator) -> Path:
    data = good(path, rng).read_bytes()
    start = _media_start(path, data)
    path.write_bytes(data[: start + round(rng.uniform(0.1, 0.9) * (len(data) - start))])
    return path


def zero(path: Path, rng: np.random.Generator) -> Path:
    data = bytearray(good(path, rng).read_bytes())
    first, share = rng.uniform(0.1, 0.6), rng.uniform(0.15, 0.35)
    start, end = round(first * len(data)), round((first + share) * len(data))
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    return path


def flip(path: Path, rng: np.random.Generator, every: int = 500) -> Path:
    """One bit of `every` bytes of picture and sound, anywhere; 0: a single bit."""
    data = bytearray(good(path, rng).read_bytes())
    start = _media_start(path, data)
    count = (len(data) - start) // every if every else 1
    for bit in rng.integers(8 * start, 8 * len(data), count):
        data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    return path


def behead(path: Path, rng: np.random.Generator) -> Path:
    """The header, and nothing of what it announces."""
    data = good(path, rng).read_bytes()
    path.write_bytes(data[: _media_start(path, data) + int(rng.integers(0, 16))])
    return path


def mute(path: Path, rng: np.random.Generator) -> Path:
    return write_clip(path, pictures(rng, rng.integers(25, 40) / 25), None)


def blind(path: Path, rng: np.random.Generator) -> Path:
    rate = CONTAINERS[path.suffix[1:]].rate
    return write_clip(path, None, sounds(rng, rng.integers(25, 40) / 25, rate))


def freeze(path: Path, rng: np.random.Generator) -> Path:
    """One frame, or none where a container may announce a picture and hold none of it."""
    frames = 1 if path.suffix in (".mp4", ".mpg") else int(rng.integers(0, 2))
    rate = CONTAINERS[path.suffix[1:]].rate
    return write_clip(path, pictures(rng, 1.2)[:frames], sounds(rng, 1.2, rate))


def poison(path: Path, rng: np.random.Generator) -> Path:
    """NaN and infinity in the sound; in a .wav beside the film where that holds no floats."""
    kind = CONTAINERS[path.suffix[1:]]
    images, sound = pictures(rng, 1.2), sounds(rng, 1.2, kind.rate)
    places = rng.integers(0, len(sound), 5)
    sound[places] = rng.choice([np.nan, np.inf, -np.inf], 5)
    if kind.floats:
        return write_clip(path, images, sound)
    write_sound(path.with_suffix(".wav"), sound, kind.rate, subtype="FLOAT")
    return write_clip(path, images, None)


def silence(path: Path, rng: np.random.Generator) -> Path:
    seconds = rng.integers(25, 40) / 25
    rate = CONTAINERS[path.suffix[1:]].rate
    return write_clip(path, pictures(rng, seconds), np.zeros(round(seconds * rate), np.float32))


def shorten(path: Path, rng: np.random.Generator) -> Path:
    """The sound, or the picture, ends early."""
    seconds, less = 1.6, rng.uniform(0.45, 1.0)
    shorter = bool(rng.integers(0, 2))
    rate = CONTAINERS[path.suffix[1:]].rate
    images = pictures(rng, seconds - less * shorter)
    return write_clip(path, images, sounds(rng, seconds - less * (not shorter), rate))


def misname(path: Path, rng: np.random.Generator) -> Path:
    """Sound, a picture or an archive under a film's name."""
    image = pictures(rng, 0.04)[0]
    match int(rng.integers(0, 4)):
        case 0:
            path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
        case 1:
            path.write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
        case 2:
            path.write_bytes(b"PK\3\4" + rng.bytes(5000))
        case _:
            other = path.with_suffix(str(rng.choice([".wav", ".flac"])))
            write_sound(other, sounds(rng, 1.2, 16000)).replace(path)
    return path


def answer(path: Path, rng: np.random.Generator) -> Path:
    """A server's page in the film's place."""
    page = rng.choice(["<!DOCTYPE html>\n<title>404</title>", "<html>", "\ufeff<html lang='de'>ü"])
    path.write_text(str(page) + "<p>Sign in</p>\n" * int(rng.integers(1, 300)), "utf-8")
    return path


class Damage(NamedTuple):
    make: Callable[[Path, np.random.Generator], Path]
    reason: Reason
    modality: str = "video"  # which says so; "" for either, the damage may spare one of them


CLASSES = {
    "truncated": Damage(truncate, Reason.truncated, ""),
    "zeroed": Damage(zero, Reason.zeroed, ""),
    "bits flipped": Damage(flip, Reason.corrupt, ""),
    "header only": Damage(behead, Reason.header_only),
    "no sound track": Damage(mute, Reason.no_sound, "audio"),
    "no picture": Damage(blind, Reason.no_picture),
    "0 or 1 frame": Damage(freeze, Reason.too_few_frames),
    "NaN": Damage(poison, Reason.not_finite, "audio"),
    "silence": Damage(silence, Reason.silent, "audio"),
    "durations disagree": Damage(shorten, Reason.durations_disagree),
    "wrong extension": Damage(misname, Reason.wrong_extension),
    "html": Damage(answer, Reason.not_media),
}
GOOD = {  # and the containers that can say so
    "good": (good, ("mp4", "avi", "mkv", "mpg")),
    "turned": (turned, ("mp4", "mkv")),
    "variable rate": (variable, ("mp4", "mkv")),
}


def _media_start(path: Path, data: bytes) -> int:
    return re.search(CONTAINERS[path.suffix[1:]].mark, data).end()

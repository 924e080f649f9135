"""Draw clips of the embedded data set: frames, waveform and transcript."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import soundfile

from amid.errors import AmidError
from amid.media import Pictures
from amid.media.film import read_one

WORDS = 13  # shown at most
FRAMES = 8
FRAME_WIDTH = 96  # pixels, as shown
LEVELS = 8  # pixels are rounded to multiples of this, as noise makes PNG large
WAVE_WIDTH, LABEL_WIDTH, GAP = 200, 96, 8  # pixels
BACKGROUND, INK, FAINT, BLUE = (255, 255, 255), (40, 40, 40), (120, 120, 120), (160, 90, 30)


class Sample(NamedTuple):
    """One clip to show: frames (F, H, W, 3) uint8, sound (N,), word and transcript."""

    word: str
    frames: np.ndarray
    sound: np.ndarray
    transcript: str


def contact_sheet(folder: Path, out_png: Path) -> None:
    """Write a PNG with one clip of some words of the data set avlips that was made in `folder`.

    The words are evenly spread over the vocabulary, and each shows another one of its clips, so
    that voices and faces change. Raises AmidError when there are no clips.
    """
    videos: dict[str, list[Path]] = {}
    for path in sorted((folder / "raw" / "video").glob("*.avi")):
        videos.setdefault(path.stem.rsplit("_", 1)[0], []).append(path)
    if not videos:
        raise AmidError(f"{folder} holds no clips to show: make the data set avlips there first.")
    words = sorted(videos)[:: -(-len(videos) // WORDS)]
    strips = [
        _strip(_read(folder, word, videos[word][number % len(videos[word])]))
        for number, word in enumerate(words)
    ]
    image = np.vstack(strips)
    out_png.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out_png), image, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _strip(sample: Sample) -> np.ndarray:
    """One clip as a row: word and transcript, frames, waveform."""
    chosen = ((np.arange(FRAMES) + 0.5) / FRAMES * len(sample.frames)).astype(int)
    frames = np.hstack(list(sample.frames[chosen]))
    scale = FRAME_WIDTH / sample.frames.shape[2]
    frames = cv2.resize(frames, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    frames = frames // LEVELS * LEVELS
    height = len(frames)
    label = np.full((height, LABEL_WIDTH, 3), BACKGROUND, dtype=np.uint8)
    middle = height // 2
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(label, sample.word, (GAP, middle), font, 0.6, INK, 1, cv2.LINE_AA)
    written = f'"{sample.transcript}"'
    cv2.putText(label, written, (GAP, middle + 22), font, 0.42, FAINT, 1, cv2.LINE_AA)
    strip = np.hstack([label, frames, _wave(sample.sound, height)])
    return cv2.copyMakeBorder(strip, 0, GAP, 0, GAP, cv2.BORDER_CONSTANT, value=BACKGROUND)


def _wave(sound: np.ndarray, height: int) -> np.ndarray:
    """The waveform: lowest and highest sample per pixel, scaled to the peak."""
    image = np.full((height, WAVE_WIDTH + GAP, 3), BACKGROUND, dtype=np.uint8)
    parts = np.array_split(sound / max(float(np.abs(sound).max()), 1e-9), WAVE_WIDTH)
    for x, part in enumerate(parts):
        low, high = (int(height / 2 * (1 - value)) for value in (part.min(), part.max()))
        cv2.line(image, (x + GAP, low), (x + GAP, high), BLUE)
    return image


def _read(folder: Path, word: str, video: Path) -> Sample:
    all_of_it = Pictures([(math.nan, math.nan, None)], None, convert=np.copy)
    (frames,) = read_one(video, all_of_it)  # (frames, H, W, 3), blue first
    sound, _ = soundfile.read(folder / "raw" / "audio" / f"{video.stem}.wav")
    text = (folder / "raw" / "text" / f"{video.stem}.txt").read_text(encoding="utf-8").strip()
    return Sample(word, frames, sound, text)

"""How far picture and sound of one and the same clip are apart, for each film with a clapper.

python -m tests.media.clapper prints it as a table of Markdown.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from amid.media import Pictures, Sound
from amid.media.film import read
from tests.media.films import FILMS, Truth, bright
from tests.media.films import number_on as drawn

SOUND_RATE = 16000
MP3_DELAY = 1105 / 48000  # seconds: an .avi does not say it of its MP3, and no player cuts it
EDITED_INSIDE = ("mp4_cut.mp4", "mp4_cut_later.mp4", "mp4_inside.mp4", "mov_inside.mov")
LOUD = 0.3  # of a click, whose height is 0.9
BESIDE = 0.45  # seconds before and after a flash that a span has at most


class Clapped(NamedTuple):
    """apart: |flash - click| in seconds, of each span. half: seconds of half a frame."""

    apart: np.ndarray
    half: float


def number_on(image: np.ndarray) -> np.ndarray:
    """(2,) int16: the number drawn onto a picture (H, W, 3), and whether it flashes."""
    luma = image[..., 1].astype(np.float32)  # all grey
    return np.array([drawn(luma), bright(luma)], np.int16)


def delivered(truth: Truth) -> Truth:
    """What can be seen of a film. Where an edit begins inside a frame FFmpeg drops that frame, and
    what is shown first is the next one: from the beginning on, a little early."""
    if truth.path.name not in EDITED_INSIDE:
        return truth
    return truth._replace(
        frames=truth.frames - 1,
        times=(0.0, *truth.times[2:]),
        numbers=truth.numbers[1:],
        flashes=tuple(
            0.0 if flash == truth.times[1] else flash
            for flash in truth.flashes
            if flash != truth.times[0]
        ),
    )


def clicks_in(sound: np.ndarray, rate: int) -> np.ndarray:
    """Seconds at which something loud begins that was not loud for a tenth of a second."""
    loud = np.flatnonzero(np.abs(sound) > LOUD) / rate
    return loud[np.diff(loud, prepend=-1.0) > 0.1]


def delay(truth: Truth) -> float:
    """Seconds by which the sound of a film is late, as any player plays it."""
    return MP3_DELAY if truth.path.name in ("avi_mp3.avi", "avi_packed_mp3.avi") else 0.0


def clapper_spans(truth: Truth, count: int, seed: int = 0) -> list[tuple[float, float]]:
    """Random spans with a dark beginning and one flash, whose click is whole in them, too."""
    ends = dict(zip(truth.times, [*truth.times[1:], truth.seconds], strict=True))
    starts = np.array([time for time in truth.times if time not in truth.flashes])
    places = []
    for flash in truth.flashes:
        before = [ends[other] for other in truth.flashes if other < flash]
        dark = max([0.0, *before, flash - BESIDE])
        clicked = any(abs(click - delay(truth) - flash) < 0.001 for click in truth.clicks)
        if clicked and dark < flash - 0.01 and (starts < flash).any():
            places.append((dark, flash))
    rng = np.random.default_rng(seed)
    spans = []
    for _ in range(count if places else 0):
        dark, flash = places[rng.integers(len(places))]
        least = flash + max(0.01, delay(truth) + 0.01)
        most = max(least, min(flash + BESIDE, truth.seconds))
        spans.append((rng.uniform(dark, flash - 0.005), rng.uniform(least, most)))
    return spans


def clapped(truth: Truth, count: int = 20, seed: int = 0) -> Clapped:
    """Measured inside each span's own clips of picture and sound, to a millisecond."""
    truth = delivered(truth)
    spans = clapper_spans(truth, count, seed)
    steps = round(2000 * BESIDE)
    pictures, sound = read(
        truth.path,
        [
            Pictures([(*span, None) for span in spans], steps, convert=number_on),
            Sound(spans, SOUND_RATE),
        ],
    )
    apart = []
    for (start, end), clip, piece in zip(spans, pictures.clips, sound.clips, strict=True):
        flash = int(np.argmax(clip[:, 1])) / steps * (end - start)
        # A clip of sound begins with a whole sample.
        click = clicks_in(piece, SOUND_RATE)[0] + round(start * SOUND_RATE) / SOUND_RATE - start
        assert clip[:, 1].any()
        assert not clip[0, 1]
        apart.append(abs(flash + delay(truth) - click))
    half = float(np.median(np.diff(truth.times))) / 2
    return Clapped(np.array(apart), half)


def main() -> None:
    av.logging.set_level(av.logging.PANIC)
    print("| film | spans | median, ms | largest, ms | half a frame, ms |")
    print("|:--|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        for name, make in FILMS.items():
            found = clapped(make(Path(folder) / name))
            apart = 1000 * found.apart
            print(
                f"| {name} | {len(apart)} | {np.median(apart):.2f} | {apart.max():.2f} "
                f"| {1000 * found.half:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())

"""What the embedded data sets share: words spoken, drawn, recorded and written down.

Every clip uses random generators seeded by (seed, id of the clip, purpose): clips depend neither on
each other nor on the number of workers, and more noise in the sound does not change the picture.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from amid.errors import AmidError
from amid.io.processes import die_with_parent
from amid.io.progress import Progress

if TYPE_CHECKING:
    import pandas

    from amid.datasets.avlips.speech import Speech

# espeak-ng's voice variants that sound like people, in the five groups that make the folds; group
# -1 speaks the separate corpus on which extractors of sound and text are pre-trained.
AUXILIARY_GROUP = -1
VOICES = {
    0: "f1 m1 Alex Alicia adam anika Diogo grandma",
    1: "f2 m2 Annie antonio belinda boris Hugo klatt2",
    2: "f3 m3 Andy aunty benjamin caleb Gene linda",
    3: "f4 m4 david ed edward Henrique ian steph",
    4: "f5 m5 john Lee marcelo max Michael shelby",
    AUXILIARY_GROUP: "m6 m7 m8 Denis gustave Jacky Mario michel miguel Mike norbert pablo paul"
    " quincy Reed rob robert sandro steph2 travis",
}
# fmt: off
ACCENTS = (
    "en", "en-us", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-gb-x-rp", "en-029",
)
# fmt: on
AUXILIARY = "auxiliary"  # the split of the separate corpus
MODALITIES = ("video", "audio", "text")

SPEECH_LEVEL = 0.05  # root mean square of a word spoken with effort 1, full scale 1
MARGIN = 0.02  # seconds of a clip, at each end, in which nothing is said

Probability = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(ge=0, le=10)]
Seconds = Annotated[float, Field(ge=0, le=1)]


class Recording(BaseModel, ABC):
    """How clips are spoken, drawn and recorded. Times are in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(0, ge=0)
    duration: float = Field(1.0, ge=0.5, le=10)
    frame_rate: int = Field(25, ge=5, le=100)
    frame_width: int = Field(64, ge=32, le=512, multiple_of=2)
    frame_height: int = Field(48, ge=24, le=512, multiple_of=2)
    sound_rate: int = Field(16000, ge=8000, le=48000)

    slowest: int = Field(120, ge=80, le=450)  # words a minute
    fastest: int = Field(175, ge=80, le=450)
    timing_jitter: Seconds = 0.10  # the word's middle lies at most so far from the clip's
    effort_spread: Spread = 0.15  # of the factor on opening, width and loudness

    mouth_lead: Seconds = 0.04  # by how much the mouth is ahead of the sound
    gesture_jitter: Seconds = 0.02  # standard deviation of each gesture's time
    reach: float = Field(0.06, gt=0, le=1)  # coarticulation, see lips.articulate
    viseme_spread: Spread = 0.04  # standard deviation of each gesture's shape
    speaker_spread: Spread = 1.1  # factor on how much faces differ
    clip_spread: Spread = 1.0  # factor on how much recordings of a face differ
    sway: Spread = 0.008  # of the head, in units of the frame's width
    camera_noise: float = Field(6.0, ge=0, le=128)  # standard deviation in grey levels of 255
    flicker: Spread = 0.02
    quality: int = Field(30, ge=1, le=100)  # of Motion JPEG

    snr_mean: float = Field(3.0, ge=-40, le=80)  # dB, of the word to the noise
    snr_spread: float = Field(2.0, ge=0, le=40)  # dB

    mishearing: Probability = 0.35  # of another word than the one said
    typing_errors: Probability = 0.12  # a letter

    @model_validator(mode="after")
    def _fit_in_time(self) -> Recording:
        if self.slowest > self.fastest:
            raise ValueError(f"slowest ({self.slowest}) is above fastest ({self.fastest})")
        frames = self.duration * self.frame_rate
        if abs(frames - round(frames)) > 1e-6:
            raise ValueError(
                f"duration times frame_rate is {frames:g}, not a whole number of frames"
            )
        return self

    def spoken(self, words: str) -> str:
        """What espeak-ng is given to say."""
        return words

    @abstractmethod
    def transcribe(self, words: str, generator: np.random.Generator) -> str:
        """The words as written down."""


class Voice(NamedTuple):
    """A speaker: espeak-ng's voice variant and accent."""

    variant: str
    accent: str


class Performance(NamedTuple):
    """A word as spoken for one clip: the timing that picture and sound share."""

    voice: Voice
    speech: Speech
    start: float  # seconds from the clip's start to the speech's
    effort: float  # factor on the mouth's movement and the voice's level


class Clip(NamedTuple):
    """One clip's place in the data set."""

    id: str
    word: str
    split: str
    group: int  # of voices


def make(options: Recording, folder: Path, plan: list[Clip], workers: int, title: str) -> dict:
    """Make all files of the clips below folder/raw; nothing is downloaded.

    Returns how many files of each kind there are, their bytes and one sha256 over them all.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    shutil.rmtree(folder / "raw", ignore_errors=True)
    paths = [path_of(clip, modality) for clip in plan for modality in MODALITIES]
    for parent in {(folder / path).parent for path in paths if path is not None}:
        parent.mkdir(parents=True, exist_ok=True)
    made: dict[str, list[tuple[str, int, str]]] = {}
    # Spawned, so that the children each worker forks to speak inherit no thread of this process.
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(
            min(workers, len(plan)), context, die_with_parent, (os.getpid(),)
        ) as pool,
        Progress(f"{title}: clips", len(plan)) as progress,
    ):
        portions = [plan[start : start + 20] for start in range(0, len(plan), 20)]
        futures = [pool.submit(_make, options, folder, portion) for portion in portions]
        try:
            for future, portion in zip(futures, portions, strict=True):
                for kind, name, size, digest in future.result():
                    made.setdefault(kind, []).append((name, size, digest))
                progress.advance(len(portion))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return {
        "source": "synthetic: espeak-ng's voices, OpenCV's drawing",
        "clips": len(plan),
        "files": {kind: _summary(files) for kind, files in sorted(made.items())},
    }


def perform(options: Recording, clip: Clip) -> Performance:
    """Speak a clip's word with a voice of its group. Raises AmidError if that takes too long."""
    from amid.datasets.avlips.speech import speak

    draw = generator_of(options.seed, clip.id, "speech")
    variants = VOICES[clip.group].split()
    number = int(draw.integers(len(variants)))
    accent = ACCENTS[(number + clip.group) % len(ACCENTS)]
    voice = Voice(variants[number], accent)
    speech = speak(
        options.spoken(clip.word),
        accent=voice.accent,
        variant=voice.variant,
        rate=int(draw.integers(options.slowest, options.fastest + 1)),
        pitch=int(draw.integers(30, 71)),
        span=int(draw.integers(30, 71)),
        seed=int(draw.integers(2**31)),
    )
    draw = generator_of(options.seed, clip.id, "timing")
    spoken = speech.phonemes[-1].end
    room = options.duration - spoken - 2 * MARGIN
    if room < 0:
        raise AmidError(
            f"clip {clip.id} takes {spoken:.2f} s to say, too long for its {options.duration:g} s:"
            " raise `slowest` or `duration` in the options of the data set."
        )
    late = options.timing_jitter * draw.uniform(-1, 1)
    start = float(np.clip(options.duration / 2 - spoken / 2 + late, MARGIN, MARGIN + room))
    effort = float(np.clip(1 + options.effort_spread * draw.standard_normal(), 0.5, 1.5))
    return Performance(voice, speech, start, effort)


def film(options: Recording, clip: Clip, said: Performance) -> np.ndarray:
    """The clip's frames (F, H, W, 3), uint8 BGR."""
    from amid.datasets.avlips import lips

    draw = generator_of(options.seed, clip.id, "picture")
    gestures = [
        one._replace(start=one.start + late, end=one.end + late)
        for one in lips.visemes(said.speech.phonemes)
        for late in [options.gesture_jitter * draw.standard_normal()]
    ]
    count = round(options.duration * options.frame_rate)
    times = (np.arange(count) + 0.5) / options.frame_rate  # middle of each exposure
    shapes = lips.articulate(
        gestures,
        times - said.start + options.mouth_lead,
        reach=options.reach,
        effort=said.effort,
        spread=options.viseme_spread * draw.standard_normal((len(gestures), lips.SHAPE)),
    )
    face = lips.draw_face(
        generator_of(options.seed, "speaker", said.voice.variant),
        draw,
        speaker_spread=options.speaker_spread,
        clip_spread=options.clip_spread,
    )
    sway = lips.head_sway(draw, count, options.sway)
    frames = lips.paint(shapes, face, sway, width=options.frame_width, height=options.frame_height)
    noise = generator_of(options.seed, clip.id, "camera")
    return lips.expose(frames, face, noise, noise=options.camera_noise, flicker=options.flicker)


def record(options: Recording, clip: Clip, said: Performance) -> np.ndarray:
    """The clip's sound (N,) in [-1, 1]: the word at its place, in noise with speech's slope."""
    from scipy.signal import lfilter, resample_poly

    draw = generator_of(options.seed, clip.id, "noise")
    rate, speech = options.sound_rate, said.speech
    count = round(options.duration * rate)
    divisor = math.gcd(rate, speech.rate)
    word = resample_poly(speech.samples / 32768.0, rate // divisor, speech.rate // divisor)
    voiced = word[int(speech.phonemes[0].start * rate) : int(speech.phonemes[-1].end * rate)]
    level = np.sqrt(np.square(voiced).mean())
    snr = options.snr_mean + options.snr_spread * draw.standard_normal()
    # Long-term speech falls with frequency; so does this noise.
    sound = lfilter([1.0], [1.0, -0.8], draw.standard_normal(count + 100))[100:]
    sound *= SPEECH_LEVEL * 10 ** (-snr / 20) / np.sqrt(np.square(sound).mean())
    begin = round(said.start * rate)
    word = word[: count - begin]
    sound[begin : begin + len(word)] += SPEECH_LEVEL * said.effort / level * word
    gain = 10 ** (draw.uniform(-6, 6) / 20)  # how near the microphone was
    return np.clip(gain * sound, -1, 1)


def write_down(options: Recording, clip: Clip) -> str:
    """The clip's transcript."""
    return options.transcribe(clip.word, generator_of(options.seed, clip.id, "text"))


def _make(options: Recording, folder: Path, plan: list[Clip]) -> list[tuple[str, str, int, str]]:
    """Make the files of some clips, in a worker; (kind, name, bytes, sha256) of each."""
    import cv2

    cv2.setNumThreads(1)
    return [made for clip in plan for made in _make_clip(options, folder, clip)]


def _make_clip(options: Recording, folder: Path, clip: Clip) -> list[tuple[str, str, int, str]]:
    import soundfile

    said = perform(options, clip)
    sound = BytesIO()
    samples = record(options, clip, said)
    soundfile.write(sound, samples, options.sound_rate, subtype="PCM_16", format="WAV")
    contents = {"audio": sound.getvalue(), "text": f"{write_down(options, clip)}\n".encode()}
    made = []
    if (video := path_of(clip, "video")) is not None:
        _write_video(folder / video, film(options, clip, said), options)
        made.append(_measure(video, (folder / video).read_bytes()))
    for modality, content in contents.items():
        path = path_of(clip, modality)
        (folder / path).write_bytes(content)
        made.append(_measure(path, content))
    return made


def _write_video(path: Path, frames: np.ndarray, options: Recording) -> None:
    """Motion JPEG by OpenCV's own writer, which gives the same bytes every time."""
    import cv2

    size = (options.frame_width, options.frame_height)
    codec = cv2.VideoWriter_fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, codec, options.frame_rate, size)
    if not writer.isOpened():
        raise AmidError(f"OpenCV could not write {path}; check that the folder can be written to.")
    writer.set(cv2.VIDEOWRITER_PROP_QUALITY, options.quality)
    for frame in frames:
        writer.write(frame)
    writer.release()


def path_of(clip: Clip, modality: str) -> str | None:
    """The file's path below the data set's folder, None for a modality that the clip lacks."""
    ending = {"video": "avi", "audio": "wav", "text": "txt"}[modality]
    if clip.split == AUXILIARY:
        if modality == "video":
            return None
        return f"raw/{AUXILIARY}/{modality}/{clip.id.removeprefix(f'{AUXILIARY}_')}.{ending}"
    return f"raw/{modality}/{clip.id}.{ending}"


def manifest(clips: Iterable[Clip], label: Callable[[Clip], str | None]) -> pandas.DataFrame:
    """The clips as a manifest, one row each; a file is one clip, so there are no times in it."""
    import pandas

    table = []
    for clip in clips:
        row = {
            "id": clip.id,
            "label": label(clip),
            "split": clip.split,
            "fold": clip.group,
            "group": AUXILIARY if clip.split == AUXILIARY else f"voices{clip.group}",
        }
        for modality in MODALITIES:
            row |= {
                f"{modality}_path": path_of(clip, modality),
                f"{modality}_start": float("nan"),
                f"{modality}_end": float("nan"),
            }
        table.append(row)
    return pandas.DataFrame(table).astype({"fold": "int64"})


def generator_of(seed: int, *names: str) -> np.random.Generator:
    """A random generator per purpose, seeded with a hash of the seed and the names."""
    digest = hashlib.sha256("/".join([str(seed), *names]).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def _measure(path: str, content: bytes) -> tuple[str, str, int, str]:
    """(kind, name, bytes, sha256) of a file that was made."""
    parent, name = path.removeprefix("raw/").rsplit("/", 1)
    return parent, name, len(content), hashlib.sha256(content).hexdigest()


def _summary(files: list[tuple[str, int, str]]) -> dict:
    listing = "".join(f"{digest}  {name}\n" for name, _, digest in sorted(files))
    return {
        "count": len(files),
        "bytes": sum(size for _, size, _ in files),
        "sha256": hashlib.sha256(listing.encode()).hexdigest(),
    }

"""Words spoken by espeak-ng, with the time at which each of their sounds starts.

The library and its voices come inside the wheel espeakng-loader, so nothing is installed on the
system and nothing is downloaded. Two things make espeak-ng say the same word differently each
time. It keeps state from word to word, which even its own reset does not clear: `speak` loads the
library for one word and unloads it again, so that every word meets it as at its first start (a
forked process for each word would do the same, in three times the time). And it seeds the noise of
the breath with the time of day: `speak` seeds it again. So a word's samples depend on the arguments
alone.
"""

from __future__ import annotations

import _ctypes
import ctypes
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

import espeakng_loader
import numpy as np

from amid.errors import AmidError

# Numbers of espeak-ng's speak_lib.h (version 1.52).
_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_PHONEME_EVENTS = 0x0001
_INITIALIZE_DONT_EXIT = 0x8000
_PARAMETER_RATE, _PARAMETER_PITCH, _PARAMETER_RANGE = 1, 3, 4
_CHARS_UTF8 = 1
_EVENT_LIST_TERMINATED, _EVENT_PHONEME = 0, 7
SLOWEST, FASTEST = 80, 450  # words a minute that espeak-ng accepts


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Phoneme(NamedTuple):
    """One sound of a word: espeak-ng's mnemonic without stress marks, and its span in seconds."""

    name: str
    start: float
    end: float


class Speech(NamedTuple):
    """A spoken word: int16 samples (N,), their rate in Hz, and the sounds in order of time."""

    samples: np.ndarray
    rate: int
    phonemes: list[Phoneme]


@cache
def voice_variants() -> frozenset[str]:
    """The names of the voice variants in the package, such as `f2` or `michael`."""
    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    return frozenset(path.name for path in folder.iterdir())


def speak(
    word: str, *, accent: str, variant: str, rate: int, pitch: int, span: int, seed: int
) -> Speech:
    """Speak one word; the same arguments give the same bytes.

    accent: an English voice of espeak-ng (`en`, `en-us`, `en-gb-scotland` ...); variant: one of
    `voice_variants()`; rate: words a minute, 80 to 450; pitch and span (the range of its movement):
    0 to 99; seed: of the breath's noise. Raises AmidError when espeak-ng does not know the voice or
    says nothing.
    """
    # espeak-ng falls back to its default voice, without a word, when a variant does not exist.
    if variant not in voice_variants():
        raise AmidError(
            f"espeak-ng has no voice variant {variant!r}; its names are"
            f" {', '.join(sorted(voice_variants()))}."
        )
    library = _load()
    try:
        speech = _speak(library, word, f"{accent}+{variant}", rate, pitch, span, seed)
    finally:
        library.espeak_Terminate()
        _ctypes.dlclose(library._handle)
    if speech is None:
        raise AmidError(
            f"espeak-ng could not speak {word!r} with the voice {accent}+{variant}:"
            " check both names, and that the wheel espeakng-loader is intact."
        )
    return speech


def plain_name(mnemonic: str) -> str:
    """The mnemonic without espeak-ng's stress marks: `'aI` and `,aI` are `aI`."""
    return mnemonic.lstrip("',%=")


def _load() -> ctypes.CDLL:
    """A fresh copy of the library. Raises AmidError if a used one cannot be unloaded."""
    path = espeakng_loader.get_library_path()
    try:
        ctypes.CDLL(path, mode=os.RTLD_NOLOAD)
    except OSError:
        return ctypes.CDLL(path)
    raise AmidError(
        "another part of this process holds espeak-ng loaded, so its words would not repeat:"
        " make the data set in a process of its own."
    )


def _speak(
    library: ctypes.CDLL, word: str, voice: str, rate: int, pitch: int, span: int, seed: int
) -> Speech | None:
    """Speak with a library just loaded; None if the voice or the word gives no sound."""
    sound_rate = library.espeak_Initialize(
        _OUTPUT_SYNCHRONOUS,
        0,
        espeakng_loader.get_data_path().encode(),
        _INITIALIZE_PHONEME_EVENTS | _INITIALIZE_DONT_EXIT,
    )
    if sound_rate <= 0 or library.espeak_SetVoiceByName(voice.encode()) != 0:
        return None
    library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
    ctypes.CDLL(None).srand(ctypes.c_uint(seed))  # the Klatt voices draw from the C library
    library.espeak_SetParameter(_PARAMETER_RATE, rate, 0)
    library.espeak_SetParameter(_PARAMETER_PITCH, pitch, 0)
    library.espeak_SetParameter(_PARAMETER_RANGE, span, 0)
    chunks: list[bytes] = []
    starts: list[tuple[str, float]] = []

    @_Callback
    def collect(wave, count, event) -> int:
        if wave and count > 0:
            chunks.append(ctypes.string_at(wave, 2 * count))
        index = 0
        while event[index].type != _EVENT_LIST_TERMINATED:
            if event[index].type == _EVENT_PHONEME:
                mnemonic = bytes(event[index].name).rstrip(b"\0").decode()
                starts.append((plain_name(mnemonic), event[index].audio_position / 1000))
            index += 1
        return 0

    library.espeak_SetSynthCallback(collect)
    text = word.encode() + b"\0"
    library.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, 1, 0, _CHARS_UTF8, None, None)
    library.espeak_Synchronize()
    samples = np.frombuffer(b"".join(chunks), dtype="<i2")
    ends = [start for _, start in starts[1:]] + [len(samples) / sound_rate]
    phonemes = [
        Phoneme(name, start, end)
        for (name, start), end in zip(starts, ends, strict=True)
        if not name.startswith("_")  # a pause that espeak-ng puts after the word
    ]
    return Speech(samples, sound_rate, phonemes) if len(samples) and phonemes else None

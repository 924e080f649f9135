"""Spoken words: the same bytes each time, sounds in order inside the sound."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest

from amid.datasets.avlips import ACCENTS, VOICES, WORDS
from amid.datasets.avlips.speech import Speech, plain_name, speak, voice_variants
from amid.errors import AmidError


def say(word: str, variant: str = "f2", accent: str = "en", **changes: int) -> Speech:
    values = {"rate": 140, "pitch": 50, "span": 50, "seed": 1} | changes
    return speak(word, accent=accent, variant=variant, **values)


def test_a_word_is_the_same_whenever_and_after_whatever_it_is_spoken() -> None:
    first = {variant: say("seven", variant) for variant in ("f2", "steph", "klatt2")}
    say("bin", "m3", rate=200)
    time.sleep(1.1)  # espeak-ng seeds its noise with the second of the day
    for variant, speech in reversed(first.items()):
        again = say("seven", variant)
        assert np.array_equal(again.samples, speech.samples)
        assert again.phonemes == speech.phonemes


def test_every_argument_is_heard() -> None:
    plain = say("seven").samples
    others = [
        say("eleven"),
        say("seven", "m3"),
        say("seven", accent="en-us"),
        say("seven", rate=170),
        say("seven", pitch=60),
        say("seven", span=90),
        say("seven", seed=2),
    ]
    assert not any(np.array_equal(plain, other.samples) for other in others)


@pytest.mark.parametrize("accent", ACCENTS)
def test_sounds_follow_each_other_inside_the_sound(accent: str) -> None:
    for word in WORDS:
        speech = say(word, accent=accent)
        seconds = len(speech.samples) / speech.rate
        borders = [(one.start, one.end) for one in speech.phonemes]
        assert 0 <= borders[0][0] < 0.15
        assert borders[-1][1] <= seconds < 1.0
        for (start, end), (following, _) in pairwise(borders):
            assert start < end == following
        assert np.abs(speech.samples.astype(int)).max() > 1000


def test_the_words_have_their_sounds() -> None:
    assert [one.name for one in say("place").phonemes] == ["p", "l", "eI", "s"]
    assert [one.name for one in say("five").phonemes] == ["f", "aI", "v"]


def test_faster_speech_is_shorter() -> None:
    assert say("please", rate=175).phonemes[-1].end < say("please", rate=120).phonemes[-1].end


def test_stress_marks_are_no_part_of_a_sound() -> None:
    assert {plain_name(name) for name in ("'aI", ",aI", "aI")} == {"aI"}
    assert plain_name("'u:") == "u:"


def test_all_voices_of_the_data_set_exist_and_none_serves_twice() -> None:
    variants = [name for names in VOICES.values() for name in names.split()]
    assert set(variants) <= voice_variants()
    assert len(set(variants)) == len(variants)


def test_unknown_voices_are_errors_not_the_default_voice() -> None:
    with pytest.raises(AmidError, match="no voice variant 'nobody'"):
        say("bin", "nobody")
    with pytest.raises(AmidError, match=r"could not speak 'bin' with the voice xx-nowhere\+f2"):
        say("bin", accent="xx-nowhere")

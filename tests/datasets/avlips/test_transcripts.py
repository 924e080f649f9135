"""Transcripts: wrong about as often as asked for, never empty."""

from __future__ import annotations

import numpy as np
import pytest

from amid.datasets.avlips.transcripts import SOUND_ALIKES, mistype, transcribe


def written(word: str, count: int = 2000, **rates: float) -> list[str]:
    generator = np.random.default_rng(0)
    rates = {"mishearing": 0.0, "typing_errors": 0.0} | rates
    return [transcribe(word, generator, **rates) for _ in range(count)]


def test_without_errors_the_transcript_is_the_word() -> None:
    assert set(written("seven", 50)) == {"seven"}


def test_words_are_misheard_as_often_as_asked_for() -> None:
    heard = written("please", mishearing=0.3)
    assert np.mean([one != "please" for one in heard]) == pytest.approx(0.3, abs=0.03)
    assert set(heard) == {"please", *SOUND_ALIKES["please"]}


def test_letters_are_mistyped_as_often_as_asked_for() -> None:
    right = np.mean([one == "again" for one in written("again", typing_errors=0.1)])
    assert right == pytest.approx(0.9**5, abs=0.03)


def test_typing_errors_are_of_four_kinds_and_leave_something() -> None:
    lines = {mistype("six", np.random.default_rng(seed), 0.4) for seed in range(300)}
    assert {"ix", "ssix", "isx", "dix", "sic"} <= lines
    assert all(mistype("at", np.random.default_rng(seed), 1.0) for seed in range(300))


def test_every_word_has_sound_alikes_and_most_of_them_mislead() -> None:
    heard_as = [alike for alikes in SOUND_ALIKES.values() for alike in {*alikes}]
    for word, alikes in SOUND_ALIKES.items():
        assert word not in alikes
        assert any(alike in SOUND_ALIKES or heard_as.count(alike) > 1 for alike in alikes), word

"""avsentences: distinct sentences of the grammar, the same bytes everywhere, pairs that belong."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
from pydantic import ValidationError

from amid.data.manifest import check_manifest
from amid.datasets import avsentences
from amid.datasets.avlips import lips
from amid.datasets.avlips.recording import VOICES, generator_of, perform
from amid.datasets.avsentences import GRAMMAR, LETTERS, SENTENCES, Options, clips, sentence

SMALL = Options(train=10, validation=1, test=2)


def test_the_grammar_is_grids() -> None:
    assert SENTENCES == 64_000
    assert sentence(0) == "bin blue at a zero again"
    assert sentence(SENTENCES - 1) == "set white with z nine soon"
    assert len({sentence(n) for n in range(0, SENTENCES, 7)}) == len(range(0, SENTENCES, 7))
    assert "w" not in LETTERS
    assert len(LETTERS) == 25


def test_every_sentence_is_said_once_and_splits_are_as_asked_for() -> None:
    plan = clips(Options())
    assert len({clip.word for clip in plan}) == len(plan) == 4000
    assert Counter(clip.split for clip in plan) == {"train": 3000, "validation": 400, "test": 600}
    assert plan == sorted(plan)
    for place, words in enumerate(GRAMMAR):
        assert {clip.word.split()[place] for clip in plan} == set(words)
    for seed in range(30):  # labels that are evaluated on are trained on
        few = clips(Options(seed=seed, train=10, validation=10, test=10))
        trained = {clip.word.split()[4] for clip in few if clip.split == "train"}
        assert trained == {clip.word.split()[4] for clip in few}
    other = clips(Options(seed=1))
    assert len({c.word for c in plan} & {c.word for c in other}) < 400  # 250 by chance


def test_more_pairs_than_sentences_are_refused() -> None:
    with pytest.raises(ValidationError, match="64001, but the grammar has 64000"):
        Options(train=63_000, validation=1, test=1000)


@pytest.mark.slow
def test_files_are_the_same_for_any_number_of_workers_and_belong_together(tmp_path: Path) -> None:
    one, two = (tmp_path / name for name in ("one", "two"))
    sources = avsentences.fetch(SMALL, one, mirror=None, workers=1)
    assert avsentences.fetch(SMALL, two, mirror=None, workers=2) == sources
    assert sources["clips"] == 13
    manifest = avsentences.rows(SMALL, one)
    check_manifest(manifest)
    assert not manifest[["video_path", "audio_path", "text_path"]].isna().any(axis=None)
    first = manifest.iloc[0]
    clip = clips(SMALL)[0]
    assert first["label"] == clip.word.split()[4]
    samples, rate = soundfile.read(one / first["audio_path"])
    assert (len(samples), rate) == (round(2.6 * 16000), 16000)
    film = cv2.VideoCapture(str(one / first["video_path"]))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 39
    text = (one / first["text_path"]).read_text(encoding="utf-8").strip()
    assert len(text.split()) == 6


def test_every_letter_can_be_said_and_drawn_and_fits_into_the_clip() -> None:
    options = Options()
    (one, *_) = clips(options)
    for number, letter in enumerate(LETTERS):
        group = number % (len(VOICES) - 1)
        clip = one._replace(id=letter, word=f"place green with {letter} seven please", group=group)
        said = perform(options, clip)
        lips.visemes(said.speech.phonemes)
        assert said.start + said.speech.phonemes[-1].end < options.duration


def test_transcripts_have_errors_as_often_as_asked_for() -> None:
    words = "bin blue at f two now"

    def written(n: int, **numbers: float) -> str:
        return Options(**numbers).transcribe(words, generator_of(0, str(n)))

    assert written(0, mishearing=0.0, typing_errors=0.0) == words
    heard = [written(n, mishearing=1.0, typing_errors=0.0).split() for n in range(50)]
    assert all(a != b for line in heard for a, b in zip(line, words.split(), strict=True))
    assert {line[3] for line in heard} == {"s", "x"}
    lines = [written(n, mishearing=0.05, typing_errors=0.0).split() for n in range(400)]
    share = np.mean([a != b for line in lines for a, b in zip(line, words.split(), strict=True)])
    assert 0.03 < share < 0.07
    typed = [written(n, mishearing=0.0, typing_errors=1.0) for n in range(50)]
    assert all(re.fullmatch(r"\S+ \S+ \S+ f \S+ \S+", line) for line in typed)

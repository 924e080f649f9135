"""avsentences: whole sentences of GRID's grammar, spoken and drawn as avlips, without a network.

"bin blue at f two now": a command, a colour, a preposition, a letter, a digit and an adverb, 64,000
sentences in all. Each is said once, so that picture, sound and transcript of a clip are a pair of
their own: for contrastive pre-training (amid.contrastive). The label is the digit, for scoring
alone. Transcripts hold words and letters misheard, and typing errors.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, model_validator

from amid.datasets.avlips.recording import (
    VOICES,
    Clip,
    Probability,
    Recording,
    generator_of,
    make,
    manifest,
)
from amid.datasets.avlips.transcripts import transcribe_sentence

if TYPE_CHECKING:
    import pandas

ALPHABET = "abcdefghijklmnopqrstuvxyz"  # of GRID, which leaves out w
NAMES = (
    "ay bee see dee ee eff jee aitch eye jay kay el em en oh pee cue are ess tee you vee ex why zed"
)
LETTERS = dict(zip(ALPHABET, NAMES.split(), strict=True))  # what espeak-ng is given to say
GRAMMAR = (
    ("bin", "lay", "place", "set"),
    ("blue", "green", "red", "white"),
    ("at", "by", "in", "with"),
    tuple(LETTERS),
    ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    ("again", "now", "please", "soon"),
)
SENTENCES = int(np.prod([len(words) for words in GRAMMAR]))
LABEL = 4  # the digit's place
SPLITS = ("train", "validation", "test")


class Options(Recording):
    """How many pairs there are, and how hard they are. Times are in seconds."""

    train: int = Field(3000, ge=10)  # each digit, the label, at least once
    validation: int = Field(400, ge=0)
    test: int = Field(600, ge=2)

    duration: float = Field(2.6, ge=0.5, le=10)
    frame_rate: int = Field(15, ge=5, le=100)
    slowest: int = Field(160, ge=80, le=450)  # words a minute
    fastest: int = Field(220, ge=80, le=450)
    mishearing: Probability = 0.05  # of another word than the one said, word by word
    typing_errors: Probability = 0.03  # a letter

    @model_validator(mode="after")
    def _as_many_as_there_are(self) -> Options:
        if self.pairs > SENTENCES:
            raise ValueError(
                f"train + validation + test is {self.pairs}, but the grammar has {SENTENCES} "
                "sentences, each of which is said once"
            )
        return self

    @property
    def pairs(self) -> int:
        """The number of clips."""
        return self.train + self.validation + self.test

    def spoken(self, words: str) -> str:
        return " ".join(LETTERS.get(word, word) for word in words.split())

    def transcribe(self, words: str, generator: np.random.Generator) -> str:
        """The sentence, each word perhaps misheard, with typing errors in words but not in the
        letter."""
        return transcribe_sentence(
            words, generator, mishearing=self.mishearing, typing_errors=self.typing_errors
        )


def clips(options: Options) -> list[Clip]:
    """All clips, sorted by id; sentences and their splits are drawn from the seed."""
    draw = generator_of(options.seed, "sentences")
    drawn = [sentence(int(n)) for n in draw.choice(SENTENCES, size=options.pairs, replace=False)]
    # The first of each digit come first, so that they are trained on.
    first = {words.split()[LABEL]: words for words in reversed(drawn)}
    chosen = sorted(drawn, key=lambda words: first[words.split()[LABEL]] != words)
    splits = [name for name in SPLITS for _ in range(getattr(options, name))]
    groups = len(VOICES) - 1
    width = len(str(options.pairs - 1))
    return [
        Clip(f"sentence_{number:0{width}d}", words, split, number % groups)
        for number, (words, split) in enumerate(zip(chosen, splits, strict=True))
    ]


def sentence(index: int) -> str:
    """Sentence number `index`, from 0 to SENTENCES - 1."""
    words = []
    for choices in reversed(GRAMMAR):
        index, place = divmod(index, len(choices))
        words.append(choices[place])
    return " ".join(reversed(words))


def rows(options: Options, folder: Path) -> pandas.DataFrame:
    """The manifest: one row a clip in order of ids; paths are relative to `folder`, which is not
    read."""
    return manifest(clips(options), lambda clip: clip.word.split()[LABEL])


def fetch(
    options: Options,
    folder: Path,
    *,
    mirror: str | None,
    workers: int,
    cache: Path | None = None,
) -> dict:
    """Make all files below folder/raw; nothing is downloaded, mirror and cache are not used.

    Returns how many files of each kind there are, their bytes and one sha256 over them all.
    """
    return make(options, folder, clips(options), workers, "avsentences")

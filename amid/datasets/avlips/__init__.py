"""avlips, the embedded data set: synthetic talking lips, spoken and drawn without a network.

espeak-ng speaks a word, OpenCV draws a mouth that moves with the times of its sounds, and a
transcript with errors is written. So picture and sound share more than the word: its rate, accent
and effort, and when each sound starts. Nothing is recorded from people.

`recording` makes the clips, of single words here and of whole sentences for avsentences.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, field_validator, model_validator

from amid.datasets.avlips.recording import (
    ACCENTS,
    AUXILIARY,
    AUXILIARY_GROUP,
    VOICES,
    Clip,
    Recording,
    film,
    generator_of,
    make,
    manifest,
    perform,
    record,
    write_down,
)
from amid.datasets.avlips.transcripts import SOUND_ALIKES, transcribe

if TYPE_CHECKING:
    import pandas

__all__ = [
    "ACCENTS",
    "Options",
    "clips",
    "fetch",
    "film",
    "perform",
    "record",
    "rows",
    "write_down",
]

# GRID's words that are no letters: commands, colours, prepositions, digits, adverbs.
WORDS = tuple(SOUND_ALIKES)
SPLITS = ("train", "validation", "test")
WITHOUT_LABEL = "unlabelled_"  # how the ids of clips start whose label is left out

# Of the data set's description (amid.inspection.croissant).
ABOUT = {
    "description": "Synthetic talking lips: espeak-ng speaks a word in noise, OpenCV draws a mouth "
    "that moves with the times of its sounds, and a transcript with errors is written.",
    "rai:dataCollection": "Generated from one seed by amid.datasets.avlips; the seed and all "
    "numbers stand in the options of dataset/avlips.yaml.",
    "rai:dataCollectionType": "Software Collection",
    "rai:annotationsPerItem": "One: the word that was spoken.",
    "rai:dataUseCases": "Testing the pipeline, and comparing distillation methods on clips with "
    "known properties. Not for measuring how well lip reading works on people.",
    "rai:dataLimitations": "The faces are drawn and the voices synthesised; the difficulty was "
    "set by hand, so an absolute accuracy means nothing.",
    "rai:dataBiases": "English words in seven accents of espeak-ng's voices. Training, validation "
    "and test share their voices.",
    "rai:personalSensitiveInformation": "None: nothing was recorded from people.",
}


class Options(Recording):
    """Size and difficulty of the data set. Times are in seconds."""

    words: tuple[str, ...] = WORDS
    clips_per_word: int = Field(100, ge=1)
    train: int = Field(800, ge=1)  # clips of all words together; the three make up all clips
    validation: int = Field(800, ge=0)
    test: int = Field(1000, ge=1)
    auxiliary_clips_per_word: int = Field(60, ge=0)
    unlabelled: int = Field(0, ge=0)  # further training clips, whose word the manifest keeps quiet

    @field_validator("words")
    @classmethod
    def _known_words(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [word for word in words if word not in SOUND_ALIKES]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not in the vocabulary: {', '.join(WORDS)}")
        if len(words) < 2 or len(set(words)) != len(words):
            raise ValueError("give at least two words, each once")
        return words

    @model_validator(mode="after")
    def _fit_together(self) -> Options:
        clips, parts = (
            len(self.words) * self.clips_per_word,
            self.train + self.validation + self.test,
        )
        if parts != clips:
            raise ValueError(
                f"train + validation + test is {parts}, but {len(self.words)} words of"
                f" {self.clips_per_word} clips make {clips}: the two must be equal"
            )
        return self

    def transcribe(self, words: str, generator: np.random.Generator) -> str:
        """The word, perhaps misheard, with typing errors."""
        return transcribe(
            words,
            generator,
            mishearing=self.mishearing,
            typing_errors=self.typing_errors,
        )


def clips(options: Options) -> list[Clip]:
    """All clips, sorted by id; depends on the seed, the words and the counts alone."""
    plan = []
    for position, (word, counts) in enumerate(_split_counts(options).items()):
        splits = [name for name, count in zip(SPLITS, counts, strict=True) for _ in range(count)]
        order = generator_of(options.seed, "split", word).permutation(len(splits))
        for number, choice in enumerate(order):
            group = (number + position) % (len(VOICES) - 1)
            plan.append(Clip(f"{word}_{number:03d}", word, splits[choice], group))
    for word in options.words:
        for number in range(options.auxiliary_clips_per_word):
            plan.append(Clip(f"{AUXILIARY}_{word}_{number:03d}", word, AUXILIARY, AUXILIARY_GROUP))
    for number in range(options.unlabelled):
        turn, word = divmod(number, len(options.words))
        group = turn % (len(VOICES) - 1)
        name = f"{WITHOUT_LABEL}{number:05d}"
        plan.append(Clip(name, options.words[word], "train", group))
    return sorted(plan)


def rows(options: Options, folder: Path) -> pandas.DataFrame:
    """The manifest: one row a clip in order of ids; auxiliary clips have no video.

    `group` and `fold` tell the voice group; paths are relative to `folder`, which is not read.
    """
    return manifest(
        clips(options), lambda clip: None if clip.id.startswith(WITHOUT_LABEL) else clip.word
    )


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
    return make(options, folder, clips(options), workers, "avlips")


def _split_counts(options: Options) -> dict[str, list[int]]:
    """How many of each word's clips go to train, validation and test: as even as can be.

    Every word gets the rounded-down share of each split; each clip that is then left of a word goes
    to another one of the splits that still lack most.
    """
    number = len(options.words)
    totals = [getattr(options, name) for name in SPLITS]
    lacking = [total % number for total in totals]
    counts = {}
    for word in options.words:
        mine = [total // number for total in totals]
        left = options.clips_per_word - sum(mine)
        for index in sorted(range(len(SPLITS)), key=lambda index: -lacking[index])[:left]:
            mine[index] += 1
            lacking[index] -= 1
        counts[word] = mine
    return counts

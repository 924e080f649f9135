"""Transcripts of words and of GRID's sentences, with words misheard and letters mistyped."""

from __future__ import annotations

import numpy as np

# What each word may be heard as. Many of these belong to two or three words of the vocabulary, and
# some are words of the vocabulary: then even a perfect reader of the transcript has to guess.
SOUND_ALIKES: dict[str, tuple[str, ...]] = {
    "again": ("in", "seven", "begin", "agree"),
    "at": ("eight", "it", "set", "add"),
    "bin": ("in", "been", "again", "pin"),
    "blue": ("two", "do", "blew", "lay"),
    "by": ("five", "white", "my", "bye"),
    "eight": ("at", "lay", "ate", "it"),
    "five": ("nine", "by", "fine", "fire"),
    "four": ("for", "zero", "now", "more"),
    "green": ("three", "been", "grin", "seen"),
    "in": ("bin", "been", "it", "end"),
    "lay": ("eight", "place", "they", "day"),
    "nine": ("five", "white", "fine", "my"),
    "now": ("one", "four", "no", "how"),
    "one": ("now", "won", "on", "want"),
    "place": ("please", "lay", "plays", "lace"),
    "please": ("place", "three", "plays", "peas"),
    "red": ("set", "said", "read", "end"),
    "set": ("red", "six", "said", "sat"),
    "seven": ("again", "set", "several", "heaven"),
    "six": ("set", "with", "sit", "sick"),
    "soon": ("two", "seen", "do", "sun"),
    "three": ("green", "please", "free", "see"),
    "two": ("blue", "soon", "to", "do"),
    "white": ("by", "nine", "why", "wide"),
    "with": ("six", "in", "sit", "wit"),
    "zero": ("four", "see", "hero", "no"),
}

# Letters that are taken for one another, each group by a vowel or a noise they share.
LETTERS_ALIKE = ("bcdegptvz", "ahjk", "fsx", "lmno", "quy", "ir")

_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def transcribe(
    word: str, generator: np.random.Generator, *, mishearing: float, typing_errors: float
) -> str:
    """The word as written down: perhaps another that sounds alike, then with typing errors.

    mishearing: probability of hearing one of the word's SOUND_ALIKES; typing_errors: probability
    of an error at each letter. Never empty.
    """
    choices = SOUND_ALIKES[word]
    misheard, choice = generator.random(), int(generator.integers(len(choices)))
    heard = choices[choice] if misheard < mishearing else word
    return mistype(heard, generator, typing_errors)


def transcribe_sentence(
    words: str, generator: np.random.Generator, *, mishearing: float, typing_errors: float
) -> str:
    """A sentence of GRID as written down, word by word as in `transcribe`; a letter may be misheard
    but is not mistyped."""
    written = []
    for word in words.split():
        alike = _sound_alikes(word)
        misheard, choice = generator.random(), int(generator.integers(len(alike)))
        heard = alike[choice] if misheard < mishearing else word
        written.append(heard if len(heard) == 1 else mistype(heard, generator, typing_errors))
    return " ".join(written)


def mistype(word: str, generator: np.random.Generator, rate: float) -> str:
    """Each letter may become its neighbour on the keyboard, be dropped, doubled or swapped."""
    written = ""
    letters = list(word)
    for index, letter in enumerate(letters):
        wrong, kind, side = generator.random(3)
        if wrong >= rate:
            written += letter
        elif kind < 0.4:
            written += _neighbour(letter, right=side < 0.5)
        elif kind < 0.65:
            continue
        elif kind < 0.8 or index + 1 == len(letters):
            written += 2 * letter
        else:
            written += letters[index + 1]
            letters[index + 1] = letter
    return written or word[0]


def _neighbour(letter: str, *, right: bool) -> str:
    row = next(row for row in _KEYBOARD if letter in row)
    place = row.index(letter) + (1 if right else -1)
    return row[place] if 0 <= place < len(row) else row[row.index(letter) + (-1 if right else 1)]


def _sound_alikes(word: str) -> tuple[str, ...]:
    """What a word or a letter may be heard as."""
    if word in SOUND_ALIKES:
        return SOUND_ALIKES[word]
    group = next(group for group in LETTERS_ALIKE if word in group)
    return tuple(letter for letter in group if letter != word)

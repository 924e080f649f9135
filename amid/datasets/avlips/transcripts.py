"""Transcripts of single words, with words misheard and letters mistyped."""

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

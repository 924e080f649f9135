"""GRID's whole sentences, one clip a sentence: picture, sound and text that belong together.

The same archives as `grid`, whose words these are made of: a sentence is in the split that its
words are in there, and is left out for the same reasons. For contrastive pre-training
(amid.contrastive). The label is the digit, for scoring alone, as in avsentences. The text is what
the file's name spells; words and letters misheard and typing errors are options.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from amid.datasets import grid
from amid.datasets.avlips.recording import generator_of
from amid.datasets.avlips.transcripts import transcribe_sentence

if TYPE_CHECKING:  # read with params.yaml by every stage: pandas and requests wait until needed
    import pandas as pd

    from amid.sources.download import Patience

# Of the data set's description (amid.inspection.croissant).
ABOUT = {
    **grid.ABOUT,
    "description": "Sentences of the audio-visual corpus GRID: picture, sound and text.",
}
LABEL = 4  # the digit's place
MODALITIES = ("video", "audio", "text")

Probability = Annotated[float, Field(ge=0, le=1)]


class Options(grid.Options):
    """The numbers of `grid`, but no words are drawn; errors of the texts of all splits.

    mishearing: share of the words and letters written as another one that sounds alike.
    typing_errors: of the letters of words.
    """

    train_words: None = None
    mishearing: Probability = 0.0
    typing_errors: Probability = 0.0


def fetch(
    options: Options,
    folder: Path,
    *,
    mirror: str | None,
    workers: int,
    cache: Path | None = None,
    patience: Patience | None = None,
    echo: Callable[[str], None] = print,
) -> dict:
    """As `grid.fetch`, and writes the texts into `folder`/raw/text/<talker>.

    Archives that are downloaded are kept beside those of `grid`, so that one download does for
    both data sets. Raises AmidError as `grid.fetch` and `grid.rows`.
    """
    cache = folder.parent / ".archives" / folder.name if cache is None else cache
    sources = grid.fetch(
        options,
        folder,
        mirror=mirror,
        workers=workers,
        cache=cache.with_name("grid"),
        patience=patience,
        echo=echo,
    )
    for row in _sentences(options, folder).itertuples():
        draw = generator_of(options.seed, row.id, "text")
        text = transcribe_sentence(
            " ".join(row.words),
            draw,
            mishearing=options.mishearing,
            typing_errors=options.typing_errors,
        )
        path = folder / _text_of(row.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"{text}\n".encode())
    return sources


def rows(options: Options, folder: Path) -> pd.DataFrame:
    """The manifest, one row a sentence, sorted by id; picture and sound are those from the first
    word to the last, without the silence around them."""
    sentences = _sentences(options, folder)
    manifest = sentences[["id"]].copy()
    manifest["label"] = [words[LABEL] for words in sentences["words"]]
    manifest[["split", "fold", "group"]] = sentences[["split", "fold", "group"]]
    for modality in MODALITIES:
        timed = modality != "text"
        paths = sentences["path"]
        manifest[f"{modality}_path"] = paths if timed else [_text_of(path) for path in paths]
        for column in ("start", "end"):
            manifest[f"{modality}_{column}"] = sentences[column] if timed else float("nan")
    return manifest


def problems(options: Options, folder: Path) -> pd.DataFrame:
    """The sentences that `rows` leaves out: id, modality, reason, detail (all str)."""
    words = grid.problems(options, folder)
    found = words.assign(id=[_sentence_of(clip) for clip in words["id"]])
    return found.drop_duplicates("id", ignore_index=True).sort_values("id", ignore_index=True)


def _sentences(options: Options, folder: Path) -> pd.DataFrame:
    """id, words (tuple), split, fold, group, path, start, end of every usable sentence, by id."""
    words = grid.rows(options, folder)  # by id, so the words of a sentence are in their order
    grouped = words.assign(id=[_sentence_of(clip) for clip in words["id"]]).groupby("id")
    return grouped.agg(
        words=("label", tuple),
        split=("split", "first"),
        fold=("fold", "first"),
        group=("group", "first"),
        path=("video_path", "first"),
        start=("video_start", "min"),
        end=("video_end", "max"),
    ).reset_index()


def _sentence_of(clip: str) -> str:
    """`s1-bbaf2n-3-f` -> `s1-bbaf2n`; a name outside the grammar stays as it is."""
    stem = re.sub(r"-[0-5]-[a-z]+$", "", clip)
    return stem if grid.spoken(stem.partition("-")[2]) is not None else clip


def _text_of(video: str) -> str:
    """`raw/s1/bbaf2n.mpg` -> `raw/text/s1/bbaf2n.txt`."""
    return re.sub(r"^raw/(.*)\.mpg$", r"raw/text/\1.txt", video)

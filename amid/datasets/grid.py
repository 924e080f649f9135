"""GRID: real talkers who each say 1,000 sentences of six words, cut into one clip a word.

Corpus: M. Cooke, J. Barker, S. Cunningham, X. Shao (2006), J. Acoust. Soc. Am. 120(5), 2421-2424,
published as Zenodo record 3625687: `sN.zip` with the videos of talker N, `alignments.zip` with the
word times of all talkers. Picture and sound are in one file; times are integers at 25,000 a second.

A sentence's name spells it: `bbaf2n` is "bin blue at f two now". The name is the label; the words
in the alignment file have to agree with it, and a sentence where they do not is a problem on
record, never a row.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from amid.errors import AmidError
from amid.media import Reason
from amid.sources.archives import listing, unpack
from amid.sources.local_media import shuffled

if TYPE_CHECKING:  # read with params.yaml by every stage: pandas and requests wait until needed
    import pandas as pd

    from amid.sources.download import Obtained, Patience

# Of the data set's description (amid.inspection.croissant); the record states the licence.
ABOUT = {
    "description": "Words cut from the audio-visual sentence corpus GRID, one clip a word.",
    "url": "https://zenodo.org/records/3625687",
    "citeAs": "M. Cooke, J. Barker, S. Cunningham, X. Shao (2006). An audio-visual corpus for "
    "speech perception and automatic speech recognition. J. Acoust. Soc. Am. 120(5), 2421-2424.",
    "rai:dataCollection": "Talkers were filmed in a studio while they read sentences of six words.",
    "rai:dataLimitations": "A closed vocabulary, read one sentence at a time.",
    "rai:dataBiases": "Few talkers, all speakers of English.",
    "rai:personalSensitiveInformation": "Faces and voices of the talkers.",
}
UNITS = 25_000  # of an alignment's times, a second
ALIGNMENTS = "alignments.zip"
SILENCE = frozenset({"sil", "sp"})
# One word a character of a name: command, colour, preposition, letter, digit, adverb.
GRAMMAR: tuple[dict[str, str], ...] = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {letter: letter for letter in "abcdefghijklmnopqrstuvxyz"},  # w takes too long to say
    dict(
        zip(
            "z123456789",
            ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
            strict=True,
        )
    ),
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)
CLASSES = tuple(sorted({word for words in GRAMMAR for word in words.values()}))  # 51
# A folder of alignments belongs to a talker if it covers this share of the talker's videos. Two
# talkers say about one sentence in 64 alike, so right and wrong folders lie far apart.
FITTING_SHARE = 0.5

Count = Annotated[int, Field(strict=True, ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Shares(BaseModel):
    """Shares of the sentences of each talker; they sum to 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: Annotated[float, Field(gt=0, le=1)] = 0.7
    validation: Share = 0.1
    test: Share = 0.2

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train + self.validation + self.test
        if not math.isclose(total, 1.0, abs_tol=1e-9):
            raise ValueError(f"train, validation and test add up to {total:g}, not to 1")
        return self


class Options(BaseModel):
    """The numbers of the GRID data set. `train_words` None: every training word is labelled.

    test_talkers: of `talkers`, whose sentences all test, so that no talker is both trained and
    tested on; (): sentences of every talker test. validation_talkers: whose sentences all validate;
    (): sentences of the talkers that train. With test_talkers, folds are of whole talkers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    record: Annotated[str, Field(pattern=r"^[0-9]+$")] = "3625687"
    talkers: Annotated[tuple[str, ...], Field(min_length=1)] = ("s1",)
    test_talkers: tuple[str, ...] = ()
    validation_talkers: tuple[str, ...] = ()
    sha256: dict[str, str | None] = {}
    seed: Count = 0
    shares: Shares = Shares()
    train_words: Annotated[int, Field(strict=True, ge=len(CLASSES))] | None = 1500
    folds: Annotated[int, Field(strict=True, ge=2)] = 5

    @field_validator("talkers")
    @classmethod
    def _known(cls, talkers: tuple[str, ...]) -> tuple[str, ...]:
        for talker in talkers:
            if not _is_talker(talker):
                raise ValueError(f"'{talker}' is no talker: they are called s1 to s34")
            if talker == "s21":
                raise ValueError("talker s21 has no videos in the corpus")
        if len(set(talkers)) < len(talkers):
            raise ValueError("a talker stands there twice")
        return talkers

    @model_validator(mode="after")
    def _apart(self) -> Self:
        held = (*self.test_talkers, *self.validation_talkers)
        if self.validation_talkers and not self.test_talkers:
            raise ValueError("validation_talkers are for a split by talker: name test_talkers, too")
        if len(set(held)) < len(held):
            raise ValueError("a talker stands twice in test_talkers and validation_talkers")
        if absent := [talker for talker in held if talker not in self.talkers]:
            raise ValueError(f"'{absent[0]}' is held out but not among `talkers`: add it there")
        if len(held) == len(self.talkers):
            raise ValueError("all talkers are held out, and none is left to train on")
        return self

    @field_validator("sha256")
    @classmethod
    def _sums(cls, sums: dict[str, str | None]) -> dict[str, str | None]:
        for name, value in sums.items():
            if name != ALIGNMENTS and not (name.endswith(".zip") and _is_talker(name[:-4])):
                raise ValueError(f"'{name}' is none of the files: {ALIGNMENTS}, s1.zip to s34.zip")
            if value is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
                raise ValueError(f"the sum of {name} is not 64 hexadecimal digits")
        return sums


def _is_talker(text: str) -> bool:
    return re.fullmatch(r"s([1-9]|[12][0-9]|3[0-4])", text) is not None


# ---------------------------------------------------------------------------------- the files


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
    """Download and unpack into `folder`/raw; returns the files (name, bytes, sums) and counts.

    Archives that are downloaded are kept in `cache`, by default `.archives` beside `folder`.
    Raises AmidError: a file that is missing, wrong or damaged; a talker without alignments.
    """
    from amid.sources.download import obtain

    archives = cache or folder.parent / ".archives" / folder.name
    obtained = {
        name: obtain(
            name,
            f"https://zenodo.org/records/{options.record}/files/{name}?download=1",
            archives / name,
            mirror=mirror,
            sha256=options.sha256.get(name),
            pin_under=f"options.sha256 of dataset/{folder.name}.yaml",
            patience=patience,
            echo=echo,
        )
        for name in (ALIGNMENTS, *(f"{talker}.zip" for talker in options.talkers))
    }
    raw = folder / "raw"
    with ThreadPoolExecutor(max(1, workers)) as pool:
        unpacked = pool.map(
            lambda talker: _unpack_videos(obtained[f"{talker}.zip"], raw / talker),
            options.talkers,
        )
        videos = dict(zip(options.talkers, unpacked, strict=True))
    chosen = _unpack_alignments(obtained[ALIGNMENTS].path, raw / "alignments", videos)
    for talker, source in chosen.items():
        if source != talker:
            echo(f"{ALIGNMENTS}: folder {source} fits the videos of talker {talker}; taken for it.")
    return {
        "files": [obtained[name].record() for name in sorted(obtained)],
        "talkers": {
            talker: {
                "alignments_folder": chosen[talker],
                "sentences": len(sentences),
                "set_aside": dict(
                    sorted(Counter(s.reason for s in sentences if s.reason is not None).items())
                ),
            }
            for talker in sorted(options.talkers)
            for sentences in [_sentences(talker, folder)]
        },
    }


def _unpack_videos(archive: Obtained, target: Path) -> set[str]:
    """Unpack the videos as <target>/<sentence>.mpg; returns the sentences' names."""
    paths = unpack(archive.path, target, place=_place_of_video)
    if not paths:
        raise AmidError(f"{archive.name} holds no .mpg file: check that it is the right archive.")
    return {PurePosixPath(path).stem for path in paths}


def _place_of_video(name: str) -> str | None:
    """`video/s1/bbaf2n.mpg` -> `bbaf2n.mpg`; None for anything but videos."""
    path = PurePosixPath(name)
    if path.suffix.lower() != ".mpg" or path.name.startswith(".") or "__MACOSX" in path.parts:
        return None
    return path.name.lower()


def _unpack_alignments(archive: Path, target: Path, videos: dict[str, set[str]]) -> dict[str, str]:
    """Unpack to <target>/<talker>/<sentence>.align; returns which archived folder each came from.

    In the public release some talkers' alignments are filed under another talker's number, so a
    folder is taken for the talker whose sentences it holds.
    """
    folders: dict[str, set[str]] = {}
    for name in listing(archive):
        found = _alignment(name)
        if found is not None:
            folders.setdefault(found[0], set()).add(found[1])
    chosen = _fitting_folders(videos, folders)
    talker_of = {folder: talker for talker, folder in chosen.items()}

    def place(name: str) -> str | None:
        found = _alignment(name)
        if found is None or found[0] not in talker_of:
            return None
        return f"{talker_of[found[0]]}/{found[1]}.align"

    unpack(archive, target, place=place)
    return chosen


def _alignment(name: str) -> tuple[str, str] | None:
    """`alignments/s1/bbaf2n.align` -> ("s1", "bbaf2n"), whatever folders stand around."""
    path = PurePosixPath(name)
    talkers = [part for part in path.parts[:-1] if _is_talker(part)]
    if path.suffix.lower() != ".align" or path.name.startswith(".") or not talkers:
        return None
    return None if "__MACOSX" in path.parts else (talkers[-1], path.stem.lower())


def _fitting_folders(videos: dict[str, set[str]], folders: dict[str, set[str]]) -> dict[str, str]:
    """Talker -> folder of alignments: its own where that fits, else the best of the others."""
    shared = {
        talker: {folder: len(sentences & names) for folder, names in sorted(folders.items())}
        for talker, sentences in sorted(videos.items())
    }
    enough = {talker: FITTING_SHARE * len(sentences) for talker, sentences in videos.items()}
    chosen = {t: t for t, counts in shared.items() if counts.get(t, 0) >= enough[t]}
    for talker, counts in shared.items():
        if talker in chosen:
            continue
        others = {f: count for f, count in counts.items() if f not in chosen.values()}
        best = max(others, key=others.__getitem__, default=None)
        if best is None or others[best] < enough[talker]:
            own = counts.get(talker, 0)
            raise AmidError(
                f"{ALIGNMENTS} has no alignments of talker {talker} (folder {talker} covers {own} "
                f"of {len(videos[talker])} videos, no other fits): take {talker} out of `talkers` "
                "in the data set's file in dataset/."
            )
        chosen[talker] = best
    return chosen


# ------------------------------------------------------------------------------ the sentences


def spoken(name: str) -> tuple[str, ...] | None:
    """The six words that a sentence's name spells, None for a name outside the grammar."""
    if len(name) != len(GRAMMAR) or any(
        c not in words for c, words in zip(name, GRAMMAR, strict=True)
    ):
        return None
    return tuple(words[c] for c, words in zip(name, GRAMMAR, strict=True))


def word_times(text: str) -> list[tuple[int, int, str]]:
    """(start, end, word) of an alignment file in its own units, silences left out.

    Raises ValueError, saying where, for a line that is not `start end word`, or times that do not
    run forward.
    """
    times = []
    last = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        match = re.fullmatch(r"\s*(\d{1,9})\s+(\d{1,9})\s+(\S+)\s*", line, flags=re.ASCII)
        if match is None:
            raise ValueError(f"line {number} is not 'start end word'")
        start, end = int(match[1]), int(match[2])
        is_silent = match[3] in SILENCE
        if start < last or end < start or (end == start and not is_silent):
            raise ValueError(f"the times of line {number} do not run forward")
        last = end
        if not is_silent:
            times.append((start, end, match[3]))
    return times


@dataclass(frozen=True)
class _Sentence:
    """One sentence of a talker: the times of its words, or the reason why it is excluded."""

    talker: str
    name: str
    times: tuple[tuple[int, int, str], ...] = ()
    modality: str = ""
    reason: str | None = None
    detail: str = ""

    @property
    def ids(self) -> list[str]:
        """The names of the clips, one per word; a name outside the grammar is a single clip."""
        stem = f"{self.talker}-{self.name}"
        words = spoken(self.name)
        return [stem] if words is None else [f"{stem}-{i}-{word}" for i, word in enumerate(words)]


def _sentences(talker: str, folder: Path) -> list[_Sentence]:
    """All sentences of a talker that have a video or an alignment, sorted by name."""
    raw = folder / "raw"
    if not (raw / talker).is_dir():
        raise AmidError(f"{raw} lacks the videos of talker {talker}: run the download stage first.")
    videos = {path.stem for path in (raw / talker).glob("*.mpg")}
    aligned = {path.stem for path in (raw / "alignments" / talker).glob("*.align")}
    return [
        _sentence(talker, name, raw, has_video=name in videos, has_alignment=name in aligned)
        for name in sorted(videos | aligned)
    ]


def _sentence(
    talker: str, name: str, raw: Path, *, has_video: bool, has_alignment: bool
) -> _Sentence:
    def aside(modality: str, reason: str, detail: str) -> _Sentence:
        return _Sentence(talker, name, (), modality, str(reason), detail)

    words = spoken(name)
    if words is None:
        return aside("alignment", Reason.bad_alignment, "the file's name is no GRID sentence")
    if not has_video:
        return aside("video", Reason.missing_file, f"no raw/{talker}/{name}.mpg for its alignment")
    if not has_alignment:
        return aside("alignment", Reason.missing_file, f"no raw/alignments/{talker}/{name}.align")
    content = (raw / "alignments" / talker / f"{name}.align").read_bytes()
    if not content.strip():
        return aside("alignment", Reason.empty_file, "the alignment is empty")
    try:
        times = word_times(content.decode("ascii"))
    except UnicodeDecodeError:
        return aside("alignment", Reason.bad_alignment, "the alignment is no plain text")
    except ValueError as error:
        return aside("alignment", Reason.bad_alignment, str(error))
    heard = [word for _, _, word in times]
    if heard != list(words):
        found = ascii(" ".join(heard))[:60] if heard else "no word"
        detail = f"the name says '{' '.join(words)}', the alignment {found}"
        return aside("alignment", Reason.bad_alignment, detail)
    return _Sentence(talker, name, tuple(times))


# -------------------------------------------------------------------------------- the manifest


def rows(options: Options, folder: Path) -> pd.DataFrame:
    """The manifest, one row a word clip, sorted by id; excluded sentences are left out.

    The draws go over all sentences by name, so that excluding one moves no other sentence.
    """
    import pandas as pd

    parts = []
    for talker in sorted(options.talkers):
        sentences = [s for s in _sentences(talker, folder) if spoken(s.name) is not None]
        names = [sentence.name for sentence in sentences]
        splits = _splits(names, options, talker)
        folds = _folds(names, options, talker)
        parts += [
            {
                "id": clip,
                "label": word,
                "split": splits[sentence.name],
                "fold": folds[sentence.name],
                "group": talker,
                "path": f"raw/{talker}/{sentence.name}.mpg",
                "start": start / UNITS,
                "end": end / UNITS,
            }
            for sentence in sentences
            if sentence.reason is None
            for clip, (start, end, word) in zip(sentence.ids, sentence.times, strict=True)
        ]
    if not parts:
        raise AmidError(
            f"{folder / 'raw'} holds no sentence with a video and a usable alignment: delete it "
            "and run the download stage again."
        )
    frame = pd.DataFrame(parts).sort_values("id", ignore_index=True)
    if options.train_words is not None:
        training = frame[frame["split"] == "train"]
        labelled = _labelled(training, options.train_words, options.seed)
        frame.loc[training.index.difference(labelled), "split"] = "auxiliary"
    manifest = frame[["id", "label", "split", "fold", "group"]].astype({"fold": "int64"})
    for modality in ("video", "audio"):
        for column in ("path", "start", "end"):
            manifest[f"{modality}_{column}"] = frame[column]
    return manifest


def problems(options: Options, folder: Path) -> pd.DataFrame:
    """The clips that `rows` leaves out, one row a word: id, modality, reason, detail (all str)."""
    import pandas as pd

    found = [
        {
            "id": clip,
            "modality": sentence.modality,
            "reason": sentence.reason,
            "detail": sentence.detail,
        }
        for talker in sorted(options.talkers)
        for sentence in _sentences(talker, folder)
        if sentence.reason is not None
        for clip in sentence.ids
    ]
    frame = pd.DataFrame(found, columns=["id", "modality", "reason", "detail"], dtype="str")
    return frame.sort_values("id", ignore_index=True)


def _splits(names: list[str], options: Options, talker: str) -> dict[str, str]:
    """Sentence -> train, validation or test, in the given shares; of a split by talker, those of
    train and validation alone."""
    if talker in options.test_talkers:
        return dict.fromkeys(names, "test")
    if talker in options.validation_talkers:
        return dict.fromkeys(names, "validation")
    order = shuffled(names, options.seed, f"split/{talker}")
    train, both = options.shares.train, options.shares.train + options.shares.validation
    if options.test_talkers:
        train, both = 1.0 if options.validation_talkers else train / both, 1.0
    first = round(len(order) * train)
    second = round(len(order) * both)
    kinds = ("train",) * first + ("validation",) * (second - first)
    kinds += ("test",) * (len(order) - second)
    return dict(zip(order, kinds, strict=True))


def _folds(names: list[str], options: Options, talker: str) -> dict[str, int]:
    """Sentence -> fold, the folds equal in size to one sentence; of a split by talker, whole
    talkers in the order of their numbers."""
    if options.test_talkers:
        talkers = sorted(options.talkers, key=lambda name: int(name[1:]))
        return dict.fromkeys(names, talkers.index(talker) % options.folds)
    order = shuffled(names, options.seed, f"fold/{talker}")
    return {name: rank % options.folds for rank, name in enumerate(order)}


def _labelled(training: pd.DataFrame, count: int, seed: int) -> list[int]:
    """Index labels of `count` training clips, drawn in proportion to how often each word occurs."""
    available = training["label"].value_counts().sort_index()
    if not len(available) <= count <= len(training):
        raise AmidError(
            f"train_words is {count}, but the training sentences have {len(training)} words of "
            f"{len(available)} classes: choose between these two numbers, or null for all."
        )
    quotas = _proportional(available, count)
    index = dict(zip(training["id"], training.index, strict=True))
    return [
        index[clip]
        for label, quota in quotas.items()
        for clip in shuffled(training.loc[training["label"] == label, "id"], seed, "train_words")[
            :quota
        ]
    ]


def _proportional(available: pd.Series, count: int) -> dict[str, int]:
    """Quotas that sum to `count`: as equal as possible, each from 1 to its number."""
    exact = {label: count * number / int(available.sum()) for label, number in available.items()}
    quotas = {label: max(1, math.floor(share)) for label, share in exact.items()}
    while (missing := count - sum(quotas.values())) != 0:
        step = 1 if missing > 0 else -1
        # Most short of its share first; the label decides between equals.
        free = [
            label
            for label in sorted(quotas)
            if (quotas[label] < available[label] if step > 0 else quotas[label] > 1)
        ]
        label = max(free, key=lambda name: step * (exact[name] - quotas[name]))
        quotas[label] += step
    return quotas

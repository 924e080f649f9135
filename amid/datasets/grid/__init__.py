"""GRID: real talkers who each say 1,000 sentences of six words, cut into one clip a word.

Corpus: M. Cooke, J. Barker, S. Cunningham, X. Shao (2006), J. Acoust. Soc. Am. 120(5), 2421-2424,
published as Zenodo record 3625687: `sN.zip` with the videos of talker N, `alignments.zip` with the
word times of all talkers. Picture and sound are in one file; times are integers at 25,000 a second.

A sentence's name spells it: `bbaf2n` is "bin blue at f two now". The name is the label; the words
in the alignment file have to agree with it, and a sentence where they do not is a problem on
record, never a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from amid.datasets.grid.manifest import problems, rows
from amid.datasets.grid.options import ALIGNMENTS, Options, is_talker
from amid.datasets.grid.sentences import CLASSES, GRAMMAR, sentences_of, spoken, word_times
from amid.errors import AmidError
from amid.sources.archives import listing, unpack

if TYPE_CHECKING:  # requests waits until needed
    from amid.sources.download import Obtained, Patience

__all__ = [
    "ABOUT",
    "CLASSES",
    "GRAMMAR",
    "Options",
    "fetch",
    "problems",
    "rows",
    "spoken",
    "word_times",
]

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
# A folder of alignments belongs to a talker if it covers this share of the talker's videos. Two
# talkers say about one sentence in 64 alike, so right and wrong folders lie far apart.
FITTING_SHARE = 0.5


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
            for sentences in [sentences_of(talker, folder)]
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
    talkers = [part for part in path.parts[:-1] if is_talker(part)]
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

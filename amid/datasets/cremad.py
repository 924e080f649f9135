"""CREMA-D: 91 actors say twelve sentences in six emotions.

Corpus: H. Cao, D. G. Cooper, M. K. Keutmann, R. C. Gur, A. Nenkova, R. Verma (2014), CREMA-D:
Crowd-sourced Emotional Multimodal Actors Dataset, IEEE Transactions on Affective Computing 5(4),
377-390. Its files stand in a repository with Git LFS and are not downloaded here: `recordings` says
where a clone of it lies. `1001_DFA_ANG_XX` is actor 1001, the sentence "Don't forget a jacket",
angry, at no stated level; `AudioWAV/` has its sound, `VideoFlash/` its film.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from amid.errors import AmidError
from amid.io.atomic import replace_dir
from amid.io.project import find_input
from amid.media import Reason
from amid.sources.local_media import read_problems, shuffled, take, write_problems

if TYPE_CHECKING:  # read with params.yaml by every stage: pandas waits until needed
    import pandas as pd

# Of the data set's description (amid.inspection.croissant).
ABOUT = {
    "description": "Emotional speech of actors, filmed with sound; one clip a sentence.",
    "url": "https://github.com/CheyneyComputerScience/CREMA-D",
    "license": "https://opendatacommons.org/licenses/odbl/1-0/",
    "citeAs": "H. Cao, D. G. Cooper, M. K. Keutmann, R. C. Gur, A. Nenkova, R. Verma (2014). "
    "CREMA-D: Crowd-sourced Emotional Multimodal Actors Dataset. IEEE Transactions on Affective "
    "Computing 5(4), 377-390.",
    "rai:dataCollection": "Actors said twelve sentences in six emotions in front of a camera.",
    "rai:dataLimitations": "Acted emotions; the label is the emotion that was asked for.",
    "rai:dataBiases": "91 actors, speakers of American English.",
    "rai:personalSensitiveInformation": "Faces and voices of the actors.",
}
REPOSITORY = "https://github.com/CheyneyComputerScience/CREMA-D"
CLASSES = {
    "ANG": "angry",
    "DIS": "disgust",
    "FEA": "fearful",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
EXPECTED = 7442  # clips of the release
PARTS = {"video": ("VideoFlash", ".flv"), "audio": ("AudioWAV", ".wav")}
# One name of the release, 1040_ITH_SAD_X, has a shorter level.
NAME = re.compile(r"(10[0-8][0-9]|109[01])_[A-Z]{3}_(ANG|DIS|FEA|HAP|NEU|SAD)_(LO|MD|HI|XX?)")
POINTER = b"version https://git-lfs"


class Options(BaseModel):
    """recordings: the clone, with AudioWAV/ and VideoFlash/ in it. folds: of whole actors, drawn
    from the seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Not in records of runs: another folder with the same files is the same data set.
    recordings: Annotated[str, Field(min_length=1, exclude=True)] = "CREMA-D"
    seed: Annotated[int, Field(strict=True, ge=0)] = 0
    folds: Annotated[int, Field(strict=True, ge=3)] = 5


# ---------------------------------------------------------------------------------- the files


def fetch(
    options: Options,
    folder: Path,
    *,
    mirror: str | None = None,
    workers: int = 1,
    cache: Path | None = None,
    echo: Callable[[str], None] = print,
) -> dict[str, Any]:
    """The films and sounds as `folder`/raw/VideoFlash and raw/AudioWAV, hard links or, on another
    disk, copies; returns counts.

    Clips that lack one of the two go to `problems`. Raises AmidError: no such folder, files that
    Git LFS has not filled, no file with a clip's name.
    """
    release = find_input(options.recordings)
    found = {modality: _files(release, *PARTS[modality]) for modality in PARTS}
    _refuse_pointers(release, found)
    clips = sorted({clip for files in found.values() for clip in files if NAME.fullmatch(clip)})
    others = sorted(
        path.name
        for files in found.values()
        for clip, path in files.items()
        if not NAME.fullmatch(clip)
    )
    if not clips:
        raise AmidError(
            f"{release} holds no file like AudioWAV/1001_DFA_ANG_XX.wav: let `recordings` name a "
            f"clone of {REPOSITORY}."
        )
    problems = []
    with replace_dir(folder / "raw") as part:
        for modality, (name, _) in PARTS.items():
            for clip in clips:
                path = found[modality].get(clip)
                if path is not None:
                    take(path, part / name / path.name)
                    continue
                problems.append(
                    {
                        "id": clip,
                        "modality": modality,
                        "reason": str(Reason.missing_file),
                        "detail": f"not in {name}",
                    }
                )
        write_problems(part / "problems.json", problems)
    lost = {problem["id"] for problem in problems}
    counts = {"clips": len(clips), "expected": EXPECTED, "usable": len(clips) - len(lost)}
    counts["other_names"] = len(others)
    text = f"cremad: {len(clips)} clips, {EXPECTED} in the full release"
    text += f"; {len(problems)} missing_file" if problems else ""
    if others:
        text += f"; {len(others)} files of other names are left out, such as {others[0]!a}"
    echo(text + ".")
    return {"counts": counts}


def _files(release: Path, name: str, suffix: str) -> dict[str, Path]:
    """Clip -> its file in a folder of the release."""
    if not (release / name).is_dir():
        raise AmidError(
            f"{release / name} does not exist: CREMA-D is not downloaded here, so clone "
            f"{REPOSITORY} with Git LFS and let options.recordings in the data set's file in "
            "dataset/ name the folder that holds AudioWAV and VideoFlash."
        )
    paths = sorted((release / name).iterdir())
    return {
        path.stem: path
        for path in paths
        if path.suffix == suffix and path.is_file() and not path.name.startswith(".")
    }


def _refuse_pointers(release: Path, found: dict[str, dict[str, Path]]) -> None:
    """Raise AmidError for files that hold Git LFS's note of a file, not the file."""
    paths = [path for files in found.values() for path in files.values()]
    pointers = []
    for path in paths:
        with path.open("rb") as file:
            if file.read(len(POINTER)) == POINTER:
                pointers.append(path)
    if pointers:
        raise AmidError(
            f"{len(pointers)} of {len(paths)} files in {release}, such as "
            f"{pointers[0].relative_to(release)}, are pointers of Git LFS, not sounds or films: "
            "run `git lfs pull` there."
        )


# ---------------------------------------------------------------------------------- the manifest


def rows(options: Options, folder: Path) -> pd.DataFrame:
    """The manifest, one row a clip, sorted by id. Fold 0 tests and fold 1 validates in runs without
    folds; an actor's clips are all in one. The draw is over all actors, so that a missing clip
    moves no other."""
    import pandas as pd

    raw = folder / "raw"
    order = shuffled([str(actor) for actor in range(1001, 1092)], options.seed, "fold")
    fold_of = {actor: rank % options.folds for rank, actor in enumerate(order)}
    clips = {path.stem for name, _ in PARTS.values() for path in (raw / name).glob("*")}
    kept = sorted(clips - set(problems(options, folder)["id"]))
    if not kept:
        raise AmidError(f"None of the clips in {raw} has film and sound: see its problems.json.")
    folds = [fold_of[clip[:4]] for clip in kept]
    columns: dict[str, Any] = {
        "id": kept,
        "label": [CLASSES[NAME.fullmatch(clip)[2]] for clip in kept],
        "split": [{0: "test", 1: "validation"}.get(fold, "train") for fold in folds],
        "fold": folds,
        "group": [clip[:4] for clip in kept],
    }
    for modality, (name, suffix) in PARTS.items():
        columns[f"{modality}_path"] = [f"raw/{name}/{clip}{suffix}" for clip in kept]
        columns[f"{modality}_start"] = columns[f"{modality}_end"] = float("nan")
    return pd.DataFrame(columns).astype({"fold": "int64"})


def problems(options: Options, folder: Path) -> pd.DataFrame:
    """The clips that `rows` leaves out: id, modality, reason, detail (all str)."""
    return read_problems(folder / "raw" / "problems.json")

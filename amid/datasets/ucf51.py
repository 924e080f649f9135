"""UCF51: the 51 classes of UCF101 whose clips have sound, in the official splits.

K. Soomro, A. R. Zamir, M. Shah (2012), UCF101: a dataset of 101 human actions classes from videos
in the wild, CRCV-TR-12-01. A clip `v_<Class>_g<group>_c<number>.avi` lies in the folder of its
class; clips of a class and group come from one video, and the official lists keep them together.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from amid.errors import AmidError, ConfigError
from amid.io.atomic import replace_dir
from amid.io.checksums import sha256_file
from amid.io.project import find_input
from amid.media import Reason
from amid.sources.local_media import (
    absent_classes,
    drawn_share,
    read_problems,
    shuffled,
    sound_problems,
    take,
    write_problems,
)

if TYPE_CHECKING:  # read with params.yaml by every stage: pandas and requests wait until needed
    import pandas as pd

    from amid.sources.download import Obtained, Patience

SITE = "https://www.crcv.ucf.edu/data/UCF101/"
VIDEOS, LISTS = "UCF101.rar", "UCF101TrainTestSplits-RecognitionTask.zip"
VIDEO_FOLDER, LIST_FOLDER = "UCF-101", "ucfTrainTestlist"
# CNN14's 512 values of each clip's sound, as the authors of CCL publish them.
VECTORS, VECTOR_FOLDER = "audiocnn14embed512_features.tar.gz", "vectors"
VECTORS_AT = (
    "https://raw.githubusercontent.com/yanbeic/CCL/5c186849b00d981e32d741caebeade610050189f/"
    f"datasets/UCF101/{VECTORS}"
)
# Split -> (training, test) clips of the 51 classes. Splits 2 and 3 have no such number here.
EXPECTED: dict[int, tuple[int, int]] = {1: (4901, 1944)}
# fmt: off
CLASSES: tuple[str, ...] = (
    "ApplyEyeMakeup", "ApplyLipstick", "Archery", "BabyCrawling", "BalanceBeam", "BandMarching",
    "BasketballDunk", "BlowDryHair", "BlowingCandles", "BodyWeightSquats", "Bowling",
    "BoxingPunchingBag", "BoxingSpeedBag", "BrushingTeeth", "CliffDiving", "CricketBowling",
    "CricketShot", "CuttingInKitchen", "FieldHockeyPenalty", "FloorGymnastics", "FrisbeeCatch",
    "FrontCrawl", "Haircut", "HammerThrow", "Hammering", "HandstandPushups", "HandstandWalking",
    "HeadMassage", "IceDancing", "Knitting", "LongJump", "MoppingFloor", "ParallelBars",
    "PlayingCello", "PlayingDaf", "PlayingDhol", "PlayingFlute", "PlayingSitar", "Rafting",
    "ShavingBeard", "Shotput", "SkyDiving", "SoccerPenalty", "StillRings", "SumoWrestling",
    "Surfing", "TableTennisShot", "Typing", "UnevenBars", "WallPushups", "WritingOnBoard",
)
# fmt: on
NAME = re.compile(r"v_(?P<label>[A-Za-z0-9]+)_(?P<group>g[0-9]+)_c[0-9]+")


class Options(BaseModel):
    """recordings: where UCF-101/ and ucfTrainTestlist/ lie already; None downloads them.

    sound: of the clips' own track, or CNN14's published vectors (VECTORS), which lie in
    `recordings` or are downloaded. split: the official list. validation: share of its training
    groups, drawn from the seed. folds: of whole groups, for a cross-validation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Not in records of runs: another folder with the same files is the same data set.
    recordings: str | None = Field(default=None, exclude=True, min_length=1)
    sound: Literal["track", "vectors"] = "track"
    split: Literal[1, 2, 3] = 1
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    seed: Annotated[int, Field(strict=True, ge=0)] = 0
    folds: Annotated[int, Field(strict=True, ge=3)] = 5
    sha256: dict[str, str | None] = {}

    @field_validator("sha256")
    @classmethod
    def _sums(cls, sums: dict[str, str | None]) -> dict[str, str | None]:
        for name, value in sums.items():
            if name not in (VIDEOS, LISTS, VECTORS):
                raise ValueError(f"'{name}' is none of the files: {VIDEOS}, {LISTS}, {VECTORS}")
            if value is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
                raise ValueError(f"the sum of {name} is not 64 hexadecimal digits")
        return sums


class Clip(NamedTuple):
    """A clip of an official list. path: `<Class>/v_<Class>_gNN_cNN.avi`. is_test: in test list."""

    id: str
    label: str
    group: str
    path: str
    is_test: bool


def informed(
    options: Options, folder: str, extract: dict[str, tuple[str, Any]], target: str, where: str
) -> Options:
    """The options as they are. Raises ConfigError where `extract` does not fit `sound`.

    where: the file of the data set's block, for messages.
    """
    kind, numbers = extract.get("audio", ("features", None))
    fits = kind == "features" and getattr(numbers, "dims", 512) == 512
    fits = fits and not getattr(numbers, "sequence", False)
    if options.sound == "vectors" and not fits:
        raise ConfigError(
            f"{where}: 'options.sound' is 'vectors', so 'extract.audio' must be "
            "{extractor: features, dims: 512}."
        )
    if options.sound == "track" and kind == "features" and numbers is not None:
        raise ConfigError(
            f"{where}: 'extract.audio' reads vectors, so 'options.sound' must be 'vectors'."
        )
    return options


# ---------------------------------------------------------------------------------- the files


def fetch(
    options: Options,
    folder: Path,
    *,
    mirror: str | None = None,
    workers: int = 1,
    cache: Path | None = None,
    patience: Patience | None = None,
    echo: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Clips and lists of the split as `folder`/raw, from the disk or downloaded; returns counts.

    Clips that are missing or have no sound go to `problems`. Raises AmidError: nothing there, files
    that cannot be downloaded or unpacked, lists that are no lists.
    """
    from amid.sources.archives import unpack
    from amid.sources.download import obtain
    from amid.sources.rar import unpack_rar

    raw = folder / "raw"
    archives = cache or folder.parent / ".archives" / folder.name

    def obtained_from(name: str, address: str, mirror: str | None) -> Obtained:
        return obtain(
            name,
            address,
            archives / name,
            mirror=mirror,
            sha256=options.sha256.get(name),
            pin_under=f"options.sha256 of dataset/{folder.name}.yaml",
            patience=patience,
            echo=echo,
        )

    vectors: list[Obtained] = []
    if options.recordings is not None:
        source = find_input(options.recordings)
        _check_folder(source)
        if options.sound == "vectors":
            beside = (source / VECTORS).is_file()
            vectors = [obtained_from(VECTORS, VECTORS_AT, str(source) if beside else mirror)]
        files = [file.record() for file in vectors]
        return _fill(options, source, raw, workers, files, echo, *vectors)
    obtained = {name: obtained_from(name, SITE + name, mirror) for name in (LISTS, VIDEOS)}
    if options.sound == "vectors":
        vectors = [obtained_from(VECTORS, VECTORS_AT, mirror)]
        obtained[VECTORS] = vectors[0]
    source = folder / "unpacked"
    try:
        unpack_rar(obtained[VIDEOS].path, source)
        unpack(obtained[LISTS].path, source / LIST_FOLDER, place=_place_of_list)
        for name in (VIDEO_FOLDER, LIST_FOLDER):
            if not (source / name).is_dir():
                raise AmidError(f"{VIDEOS} holds no folder {name}: check that it is the right one.")
        files = [obtained[name].record() for name in sorted(obtained)]
        return _fill(options, source, raw, workers, files, echo, *vectors)
    finally:
        shutil.rmtree(source, ignore_errors=True)


def _place_of_list(name: str) -> str | None:
    """`ucfTrainTestlist/trainlist01.txt` -> `trainlist01.txt`; None for what is no list."""
    last = name.rpartition("/")[2]
    return last if re.fullmatch(r"(trainlist|testlist)0[123]\.txt", last) else None


def _check_folder(source: Path) -> None:
    for name, what in (
        (VIDEO_FOLDER, "the clips, one folder a class"),
        (LIST_FOLDER, "the official lists"),
    ):
        if not (source / name).is_dir():
            raise AmidError(
                f"{source / name} does not exist: put {what} of UCF101 there, correct `recordings` "
                "in the data set's file in dataset/, or set it to null to download."
            )


def _fill(
    options: Options,
    source: Path,
    raw: Path,
    workers: int,
    files: list[dict[str, Any]],
    echo: Callable[[str], None],
    vectors: Obtained | None = None,
) -> dict[str, Any]:
    """Fill `raw` with the clips of the lists, and their vectors; returns the numbers found and
    expected."""
    listed = _clips(source / LIST_FOLDER, options.split)
    if not listed:
        raise AmidError(
            f"The lists in {source / LIST_FOLDER} name no clip of the 51 classes: check that they "
            "are UCF101's."
        )
    present = [clip for clip in listed if (source / VIDEO_FOLDER / clip.path).is_file()]
    if not present:
        raise AmidError(
            f"{source / VIDEO_FOLDER} holds none of the {len(listed)} clips of the lists, such as "
            f"{listed[0].path}: put UCF101's folders of classes there."
        )
    lists = _list_names(options.split)
    with replace_dir(raw) as part:
        for clip in present:
            take(source / VIDEO_FOLDER / clip.path, part / VIDEO_FOLDER / clip.path)
        for name in lists:
            (part / LIST_FOLDER).mkdir(exist_ok=True)
            shutil.copyfile(source / LIST_FOLDER / name, part / LIST_FOLDER / name)
        if vectors is None:
            errors = sound_problems([part / VIDEO_FOLDER / clip.path for clip in present], workers)
            found = [
                _problem(clip, "audio" if error.reason is Reason.no_sound else "video", *error.args)
                for clip, error in zip(present, errors, strict=True)
                if error is not None
            ]
        else:  # the films' own sound is not used: whether they have any does not matter
            having = _unpack_vectors(vectors, part / VECTOR_FOLDER, listed)
            detail = f"{VECTORS} has no vector of it"
            found = [
                _problem(clip, "audio", Reason.no_sound, detail)
                for clip in present
                if clip.id not in having
            ]
        detail = f"not in {VIDEO_FOLDER}"
        missing = [clip for clip in listed if clip not in set(present)]
        found += [_problem(clip, "video", Reason.missing_file, detail) for clip in missing]
        write_problems(part / "problems.json", found)
    lost = {problem["id"] for problem in found}
    counts = {
        "split": options.split,
        "expected": _expected(options.split),
        "listed": _counted(listed),
        "present": _counted(present),
        "usable": _counted([clip for clip in listed if clip.id not in lost]),
        "classes": len({clip.label for clip in present}),
    }
    echo(_shown(counts, [problem["reason"] for problem in found]))
    paths = [(clip.label, clip.path) for clip in listed]
    there = {clip.label for clip in present}
    for sentence in absent_classes("ucf51", paths, there, source / VIDEO_FOLDER):
        echo(sentence)
    sums = {name: sha256_file(raw / LIST_FOLDER / name) for name in lists}
    return {"files": files, "lists": sums, "counts": counts}


def _unpack_vectors(archive: Obtained, target: Path, clips: list[Clip]) -> set[str]:
    """Unpack the vectors of the clips as <target>/<clip>.npy; returns the ids that have one."""
    from amid.sources.archives import unpack

    wanted = {clip.id for clip in clips}

    def place(name: str) -> str | None:
        last = name.rpartition("/")[2]  # beside v_x.npy, archives made on a Mac have ._v_x.npy
        return last if last.endswith(".npy") and last.removesuffix(".npy") in wanted else None

    paths = unpack(archive.path, target, place=place)
    if not paths:
        raise AmidError(
            f"{archive.name} holds no vector of a clip on the lists, such as {clips[0].id}.npy: "
            "check that it is the right archive."
        )
    return {path.removesuffix(".npy") for path in paths}


def _problem(clip: Clip, modality: str, reason: Reason, detail: str) -> dict[str, str]:
    return {"id": clip.id, "modality": modality, "reason": str(reason), "detail": detail}


def _counted(clips: list[Clip]) -> dict[str, int]:
    test = sum(clip.is_test for clip in clips)
    return {"train": len(clips) - test, "test": test, "all": len(clips)}


def _expected(split: int) -> dict[str, int] | None:
    if split not in EXPECTED:
        return None
    train, test = EXPECTED[split]
    return {"train": train, "test": test, "all": train + test}


def _shown(counts: dict[str, Any], reasons: list[str]) -> str:
    def text(numbers: dict[str, int]) -> str:
        return f"{numbers['train']} train + {numbers['test']} test = {numbers['all']}"

    expected = counts["expected"]
    parts = [
        f"ucf51, split {counts['split']}: found {text(counts['present'])} clips of "
        f"{counts['classes']} classes",
        "expected " + (text(expected) if expected else "not known for this split"),
    ]
    parts += [f"{reasons.count(name)} {name}" for name in sorted(set(reasons))]
    return "; ".join(parts) + "."


# ---------------------------------------------------------------------------------- the lists


def _list_names(split: int) -> tuple[str, str]:
    return f"trainlist{split:02d}.txt", f"testlist{split:02d}.txt"


def _clips(folder: Path, split: int) -> list[Clip]:
    """The clips of the 51 classes on the two lists of a split, sorted by id."""
    found: dict[str, Clip] = {}
    for name in _list_names(split):
        try:
            text = (folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise AmidError(
                f"The list {folder / name} is missing or no text: take it from {LISTS}."
            ) from None
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            clip = _clip(line, name.startswith("test"))
            if clip is None:
                raise AmidError(
                    f"{name}, line {number}: {line.strip()[:80]!r} is not like "
                    "Archery/v_Archery_g01_c01.avi: take the list from " + LISTS + "."
                )
            if clip.id in found:
                raise AmidError(f"{name}, line {number}: {clip.id} stands there a second time.")
            found[clip.id] = clip
    return sorted(clip for clip in found.values() if clip.label in CLASSES)


def _clip(line: str, is_test: bool) -> Clip | None:
    """Parse a line `<Class>/<file>.avi`; in training lists a class number follows."""
    match = re.fullmatch(r"([A-Za-z0-9]+)/([A-Za-z0-9_]+)\.avi(?: +[0-9]+)?", line.strip())
    name = match and NAME.fullmatch(match[2])
    # HandstandPushups' files are called v_HandStandPushups_*
    if not name or name["label"].lower() != match[1].lower():
        return None
    return Clip(match[2], match[1], name["group"], f"{match[1]}/{match[2]}.avi", is_test)


# ---------------------------------------------------------------------------------- the manifest


def rows(options: Options, folder: Path) -> pd.DataFrame:
    """The manifest, one row a clip, sorted by id; clips with a problem are left out.

    Groups go to validation whole, the same ones in all classes. The draws are over the lists, so
    that a missing clip moves no other.
    """
    import pandas as pd

    raw = folder / "raw"
    clips = _clips(raw / LIST_FOLDER, options.split)
    lost = set(problems(options, folder)["id"])
    trained = {clip.group for clip in clips if not clip.is_test}
    validation = drawn_share(trained, options.validation, options.seed, "validation")
    order = shuffled({clip.group for clip in clips}, options.seed, "fold")
    folds = {group: rank % options.folds for rank, group in enumerate(order)}
    kept = [clip for clip in clips if clip.id not in lost]
    if not kept:
        raise AmidError(
            f"None of the {len(clips)} clips in {raw} has picture and sound: see "
            f"{raw / 'problems.json'}."
        )
    paths = [f"raw/{VIDEO_FOLDER}/{clip.path}" for clip in kept]
    columns: dict[str, Any] = {
        "id": [clip.id for clip in kept],
        "label": [clip.label for clip in kept],
        "split": [
            "test" if clip.is_test else "validation" if clip.group in validation else "train"
            for clip in kept
        ],
        "fold": [folds[clip.group] for clip in kept],
        "group": [clip.group for clip in kept],
    }
    vectors = [f"raw/{VECTOR_FOLDER}/{clip.id}.npy" for clip in kept]
    for modality in ("video", "audio"):
        of_vectors = modality == "audio" and options.sound == "vectors"
        columns[f"{modality}_path"] = vectors if of_vectors else paths
        for end in ("start", "end"):
            columns[f"{modality}_{end}"] = float("nan")
    return pd.DataFrame(columns).astype({"fold": "int64"})


def problems(options: Options, folder: Path) -> pd.DataFrame:
    """The clips of the lists that `rows` leaves out: id, modality, reason, detail (all str)."""
    return read_problems(folder / "raw" / "problems.json")

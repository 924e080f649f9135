"""UTD-MHAD: 27 actions by 8 subjects, seen by a depth camera and felt by a sensor on the body.

Corpus: C. Chen, R. Jafari, N. Kehtarnavaz (2015), UTD-MHAD: a multimodal dataset for human action
recognition utilizing a depth camera and a wearable inertial sensor, ICIP, 168-172. Of its archives
two are read: Inertial.zip (three accelerations in g and three rotations in degrees per second, 50 a
second) and Skeleton.zip (20 joints in metres, about 30 a second). `a3_s2_t1` is action 3 by
subject 2, trial 1.

The files are MATLAB's of version 5. Their headers are read first, so that only an array of numbers
of the right shape is ever loaded; what is kept of a clip is one `.npy` file per modality.
"""

from __future__ import annotations

import re
import shutil
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from amid.errors import AmidError
from amid.io.atomic import replace_dir
from amid.io.progress import Progress
from amid.media import MediaError, Reason
from amid.sources.archives import unpack
from amid.sources.local_media import read_problems, write_problems

if TYPE_CHECKING:  # read with params.yaml by every stage: pandas and requests wait until needed
    import numpy as np
    import pandas as pd

    from amid.sources.download import Patience

# Of the data set's description (amid.inspection.croissant); its makers' page states no licence.
ABOUT = {
    "description": "Actions seen by a depth camera and felt by an inertial sensor on the body.",
    "url": "https://personal.utdallas.edu/~kehtar/UTD-MHAD.html",
    "citeAs": "C. Chen, R. Jafari, N. Kehtarnavaz (2015). UTD-MHAD: a multimodal dataset for human "
    "action recognition utilizing a depth camera and a wearable inertial sensor. IEEE "
    "International Conference on Image Processing, 168-172.",
    "rai:dataCollection": "Subjects performed each action up to four times in front of a Kinect "
    "camera, with one sensor on the right wrist or, for five actions of the legs, the right thigh.",
    "rai:dataLimitations": "One room, one camera, one action a clip.",
    "rai:dataBiases": "Eight subjects, four women and four men.",
    "rai:personalSensitiveInformation": "Motions of the subjects' bodies; no face, no voice.",
}
SITE = "https://www.utdallas.edu/~kehtar/UTD-MAD/"
# fmt: off
ACTIONS = (  # the makers' short names, in the order of their numbers from 1 on
    "swipe_left", "swipe_right", "wave", "clap", "throw", "arm_cross", "basketball_shoot", "draw_x",
    "draw_circle_CW", "draw_circle_CCW", "draw_triangle", "bowling", "boxing", "baseball_swing",
    "tennis_swing", "arm_curl", "tennis_serve", "push", "knock", "catch", "pickup_throw", "jog",
    "walk", "sit2stand", "stand2sit", "lunge", "squat",
)
# fmt: on
SUBJECTS, EXPECTED = 8, 861  # clips of the release
HIP_CENTER = 3  # of the joints
LONGEST = 100_000  # steps of a clip: a header that promises more is not believed
NAME = re.compile(r"(a([1-9]|1[0-9]|2[0-7])_s([1-8])_t([1-4]))_(inertial|skeleton)")

Subject = Annotated[int, Field(strict=True, ge=1, le=SUBJECTS)]


class Kind(NamedTuple):
    """An archive. variable: of its files. shape: of that, without the axis of time, `time`."""

    archive: str
    variable: str
    shape: tuple[int, ...]
    time: int


KINDS = {
    "inertial": Kind("Inertial.zip", "d_iner", (6,), 0),
    "skeleton": Kind("Skeleton.zip", "d_skel", (20, 3), 2),
}


class Options(BaseModel):
    """train_subjects: the others test. validation_subjects: those of them that validate; [] for
    none. origin: of the joints, in every step the centre of the hip, or the camera."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train_subjects: Annotated[tuple[Subject, ...], Field(min_length=1)] = (1, 3, 5, 7)
    validation_subjects: tuple[Subject, ...] = (7,)
    origin: Literal["hip_center", "camera"] = "hip_center"
    sha256: dict[str, str | None] = {}

    @field_validator("sha256")
    @classmethod
    def _sums(cls, sums: dict[str, str | None]) -> dict[str, str | None]:
        archives = [kind.archive for kind in KINDS.values()]
        for name, value in sums.items():
            if name not in archives:
                raise ValueError(f"'{name}' is none of the files: {', '.join(archives)}")
            if value is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
                raise ValueError(f"the sum of {name} is not 64 hexadecimal digits")
        return sums

    @model_validator(mode="after")
    def _parted(self) -> Self:
        train, validation = self.train_subjects, self.validation_subjects
        if len(set(train)) < len(train) or len(set(validation)) < len(validation):
            raise ValueError("a subject stands twice in train_subjects or validation_subjects")
        if len(train) == SUBJECTS:
            raise ValueError("train_subjects names all 8 subjects, and none is left to test on")
        if set(validation) - set(train):
            raise ValueError("validation_subjects must be among train_subjects")
        if set(validation) == set(train):
            raise ValueError("validation_subjects leaves no subject to train on")
        return self


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
) -> dict[str, Any]:
    """Both archives as `folder`/raw/<modality>/<clip>.npy, float32 (T, 6) and (T, 60); returns
    the files (name, bytes, sums) and counts.

    Archives that are downloaded are kept in `cache`, by default `.archives` beside `folder`. Files
    that are no such arrays, and clips that one archive lacks, go to `problems`. Raises AmidError:
    an archive that is missing, wrong or damaged, or whose files are called otherwise.
    """
    from amid.sources.download import obtain

    archives = cache or folder.parent / ".archives" / folder.name
    obtained = {
        kind.archive: obtain(
            kind.archive,
            SITE + kind.archive,
            archives / kind.archive,
            mirror=mirror,
            sha256=options.sha256.get(kind.archive),
            pin_under=f"options.sha256 of dataset/{folder.name}.yaml",
            patience=patience,
            echo=echo,
        )
        for kind in KINDS.values()
    }
    found: dict[str, list[str]] = {}
    with replace_dir(folder / "raw") as part:
        problems: list[dict[str, str]] = []
        for modality, kind in KINDS.items():
            paths = unpack(
                obtained[kind.archive].path,
                part / "mat" / modality,
                place=partial(_place, modality=modality),
            )
            if not paths:
                raise AmidError(
                    f"{kind.archive} holds no file like a1_s1_t1_{modality}.mat: check that it is "
                    "the right archive."
                )
            found[modality] = [path.removesuffix(".mat") for path in paths]
            problems += _convert(part, modality, found[modality], options, workers)
        problems += _lone(found)
        shutil.rmtree(part / "mat")
        write_problems(part / "problems.json", problems)
    clips = {clip for names in found.values() for clip in names}
    usable = clips - {problem["id"] for problem in problems}
    counts = {"clips": len(clips), "expected": EXPECTED, "usable": len(usable)}
    reasons = [problem["reason"] for problem in problems]
    parts = [f"utd_mhad: {len(usable)} clips, {EXPECTED} in the full release"]
    parts += [f"{reasons.count(name)} {name}" for name in sorted(set(reasons))]
    echo("; ".join(parts) + ".")
    return {"files": [obtained[name].record() for name in sorted(obtained)], "counts": counts}


def _place(name: str, modality: str) -> str | None:
    """`Inertial/a1_s1_t1_inertial.mat` -> `a1_s1_t1.mat`; None for what is no .mat file. Raises
    AmidError for one with another name: labels and subjects come from there."""
    path = PurePosixPath(name)
    if path.suffix.lower() != ".mat" or path.name.startswith(".") or "__MACOSX" in path.parts:
        return None
    match = NAME.fullmatch(path.stem)
    if match is None or match[5] != modality:
        raise AmidError(
            f"{KINDS[modality].archive} holds {ascii(name)[:120]}, which is not called like "
            f"a1_s1_t1_{modality}.mat (actions 1 to 27, subjects 1 to 8, trials 1 to 4): get the "
            "archive from its makers again."
        )
    return f"{match[1]}.mat"


def _convert(
    part: Path, modality: str, clips: list[str], options: Options, workers: int
) -> list[dict[str, str]]:
    """Write part/<modality>/<clip>.npy of every good file below part/mat; returns the problems."""
    import numpy as np

    from amid.media.guard import guarded

    (part / modality).mkdir()
    paths = [part / "mat" / modality / f"{clip}.mat" for clip in clips]
    names = [f"{clip}_{modality}.mat" for clip in clips]
    reader = partial(_read_or_tell, modality=modality)
    problems = []
    with Progress(f"{modality} files", len(clips)) as progress:
        answers = guarded(reader, paths, names, workers=workers)
        for clip, values in zip(clips, answers, strict=True):
            if isinstance(values, MediaError):
                problems.append(_problem(clip, modality, values.reason, values.detail))
            else:
                if modality == "skeleton" and options.origin == "hip_center":
                    values = values - values[:, HIP_CENTER : HIP_CENTER + 1]
                steps = values.reshape(len(values), -1).astype(np.float32)
                np.save(part / modality / f"{clip}.npy", steps, allow_pickle=False)
            progress.advance()
    return problems


def _lone(found: dict[str, list[str]]) -> list[dict[str, str]]:
    """A problem for each clip that only one of the archives has."""
    clips = {clip for names in found.values() for clip in names}
    return [
        _problem(clip, modality, Reason.missing_file, f"{KINDS[modality].archive} has no such clip")
        for modality, names in found.items()
        for clip in sorted(clips - set(names))
    ]


def _problem(clip: str, modality: str, reason: Reason, detail: str) -> dict[str, str]:
    return {"id": clip, "modality": modality, "reason": str(reason), "detail": detail}


def _read_or_tell(path: Path, modality: str) -> np.ndarray | MediaError:
    try:
        return read(path, modality)
    except MediaError as error:
        return error


def read(path: Path, modality: str) -> np.ndarray:
    """The values of a .mat file, float64 (T, 6) of `inertial` or (T, 20, 3) of `skeleton`, finite.

    Raises MediaError, for all but NaN and damage without having read the values: a file that is
    empty, damaged or of another version; another variable, type or shape.
    """
    import numpy as np
    from scipy.io import loadmat, whosmat

    kind, name = KINDS[modality], f"{path.stem}_{modality}.mat"
    if not path.stat().st_size:
        raise MediaError(Reason.empty_file, f"{name} has no bytes")
    with path.open("rb") as file:
        if not file.read(19).startswith(b"MATLAB 5.0 MAT-file"):
            raise MediaError(Reason.not_media, f"{name} is not a MATLAB file of version 5")
    try:
        headers = {variable: (shape, kind_of) for variable, shape, kind_of in whosmat(path)}
        if kind.variable not in headers:
            shown = ", ".join(sorted(map(ascii, headers)))[:80] or "nothing"
            raise MediaError(Reason.wrong_type, f"{name} holds {shown}, not {kind.variable}")
        shape, type_of = headers[kind.variable]
        if type_of not in ("double", "single"):  # a cell or struct would become Python objects
            text = f"{name}: {kind.variable} is of type {type_of}, not of real numbers"
            raise MediaError(Reason.wrong_type, text)
        _check_shape(name, kind, shape)
        values = loadmat(path, variable_names=[kind.variable])[kind.variable]
    except (ValueError, TypeError, IndexError, KeyError, OSError, EOFError, zlib.error) as error:
        text = " ".join(str(error).split())[:120] or type(error).__name__
        raise MediaError(Reason.corrupt, f"{name} cannot be read: {ascii(text)[1:-1]}") from error
    if values.dtype.kind != "f":
        raise MediaError(Reason.wrong_type, f"{name}: {kind.variable} is of type {values.dtype}")
    _check_shape(name, kind, values.shape)
    values = np.moveaxis(values, kind.time, 0).astype(np.float64)
    wrong = int((~np.isfinite(values)).sum())
    if wrong:
        text = f"{name} has {wrong} of {values.size} values that are NaN or infinite"
        raise MediaError(Reason.not_finite, text)
    return values


def _check_shape(name: str, kind: Kind, shape: tuple[int, ...]) -> None:
    rest = tuple(size for axis, size in enumerate(shape) if axis != kind.time)
    fits = len(shape) == len(kind.shape) + 1 and rest == kind.shape
    if not fits or not 0 < shape[kind.time] <= LONGEST:
        wanted = [*kind.shape[: kind.time], "steps", *kind.shape[kind.time :]]
        text = f"{name}: {kind.variable} has the shape {shape}, not ({', '.join(map(str, wanted))})"
        raise MediaError(Reason.wrong_shape, text)


# ---------------------------------------------------------------------------------- the manifest


def rows(options: Options, folder: Path) -> pd.DataFrame:
    """The manifest, one row a clip, sorted by id. Clips with a problem are left out. Folds are the
    subjects, from 0: one tests, the next validates."""
    import pandas as pd

    raw = folder / "raw"
    clips = {path.stem for modality in KINDS for path in (raw / modality).glob("*.npy")}
    kept = sorted(clips - set(problems(options, folder)["id"]))
    if not kept:
        raise AmidError(
            f"None of the clips in {raw} has both modalities: see {raw / 'problems.json'}."
        )
    parsed = [re.fullmatch(r"a(\d+)_s(\d)_t\d", clip) for clip in kept]
    subjects = [int(match[2]) for match in parsed]
    columns: dict[str, Any] = {
        "id": kept,
        "label": [ACTIONS[int(match[1]) - 1] for match in parsed],
        "split": [_split(options, subject) for subject in subjects],
        "fold": [subject - 1 for subject in subjects],
        "group": [f"s{subject}" for subject in subjects],
    }
    for modality in KINDS:
        columns[f"{modality}_path"] = [f"raw/{modality}/{clip}.npy" for clip in kept]
        columns[f"{modality}_start"] = columns[f"{modality}_end"] = float("nan")
    return pd.DataFrame(columns).astype({"fold": "int64"})


def _split(options: Options, subject: int) -> str:
    if subject in options.validation_subjects:
        return "validation"
    return "train" if subject in options.train_subjects else "test"


def problems(options: Options, folder: Path) -> pd.DataFrame:
    """The clips that `rows` leaves out: id, modality, reason, detail (all str)."""
    return read_problems(folder / "raw" / "problems.json")

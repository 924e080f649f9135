"""IEMOCAP: two people in dialogue, their utterances in four emotions, five folds by session.

Corpus: C. Busso, M. Bulut, C.-C. Lee, A. Kazemzadeh, E. Mower, S. Kim, J. N. Chang, S. Lee,
S. S. Narayanan (2008), Language Resources and Evaluation 42(4), 335-359. It is given out under a
licence of its own on request and never downloaded here: `recordings` says where the release lies.

A dialogue's name, `Ses01F_impro01`, says in which session it was recorded and which of the two
people, the woman or the man, wears the motion capture markers; an utterance's name adds who speaks.
The picture of a dialogue shows the two side by side. A clip's picture is the speaker's half of it.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from amid.errors import AmidError
from amid.io.atomic import replace_dir
from amid.io.checksums import sha256_file
from amid.io.project import find_input
from amid.media import Reason
from amid.sources.local_media import take

if TYPE_CHECKING:  # read with params.yaml by every stage: pandas waits until needed
    import pandas as pd

SESSIONS = (1, 2, 3, 4, 5)
CLASSES = {"ang": "angry", "hap": "happy", "exc": "happy", "neu": "neutral", "sad": "sad"}
EXPECTED = 5531  # utterances of the four classes in the full release
HALVES = {"left": "0 1 0 0.5", "right": "0 1 0.5 1"}  # top, bottom, left, right
DIALOGUE = re.compile(r"Ses0([1-5])([FM])_[A-Za-z0-9_]+")
LABEL = re.compile(r"\[(\d+\.\d+) - (\d+\.\d+)\]\t(\S+)\t(\w+)\t\[[^\]]*\]\s*")
SPOKEN = re.compile(r"(\S+) \[[\d. -]+\]:(.*)")

Session = Annotated[int, Field(strict=True, ge=1, le=5)]


class Options(BaseModel):
    """`recordings`: the release, with Session1 to Session5 in it. `marked_speaker`: the half of the
    picture in which the person with the motion capture markers sits. The two sessions: of runs
    without folds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recordings: Annotated[str, Field(min_length=1)] = "IEMOCAP_full_release"
    marked_speaker: Literal["left", "right"] = "left"
    validation_session: Session = 4
    test_session: Session = 5

    @model_validator(mode="after")
    def _two(self) -> Self:
        if self.validation_session == self.test_session:
            raise ValueError("validation_session and test_session must be two sessions")
        return self


class Utterance(NamedTuple):
    """One line of a dialogue's labels."""

    id: str
    dialogue: str
    session: int
    start: float  # seconds of the dialogue
    end: float
    label: str  # as in the release: ang, hap, ...


# ---------------------------------------------------------------------------------- the files


def fetch(
    options: Options,
    folder: Path,
    *,
    mirror: str | None = None,
    workers: int = 1,
    cache: Path | None = None,
    echo: Callable[[str], None] = print,
) -> dict:
    """Puts what is used of the release into `folder`/raw; returns the files and counts.

    labels/ and transcripts/ are copies of the release's texts, text/ has one file an utterance;
    audio/ and video/ are hard links, or copies where the release lies on another file system.
    Raises AmidError for a release that is absent or incomplete; what an earlier call left in
    `folder` then stays.
    """
    release = find_input(options.recordings)
    sessions = _sessions(release)
    with replace_dir(folder / "raw") as part:
        for name in ("labels", "transcripts", "audio", "video", "text"):
            (part / name).mkdir()
        for session in sessions:
            for source in _texts(session / "dialog" / "EmoEvaluation"):
                shutil.copyfile(source, part / "labels" / source.name)
            for source in _texts(session / "dialog" / "transcriptions"):
                shutil.copyfile(source, part / "transcripts" / source.name)
        utterances = read_labels(part / "labels")
        chosen = [u for u in utterances if u.label in CLASSES]
        for utterance in chosen:
            session = release / f"Session{utterance.session}"
            sound = session / "sentences" / "wav" / utterance.dialogue / f"{utterance.id}.wav"
            _take(sound, part / "audio" / sound.name)
        for dialogue, session in sorted({(u.dialogue, u.session) for u in chosen}):
            folder_of = release / f"Session{session}" / "dialog" / "avi" / "DivX"
            _take(folder_of / f"{dialogue}.avi", part / "video" / f"{dialogue}.avi")
        spoken = read_transcripts(part / "transcripts")
        for utterance in chosen:
            text = spoken.get(utterance.id)
            if text is not None:
                (part / "text" / f"{utterance.id}.txt").write_bytes(text + b"\n")
        files = [
            {
                "name": path.relative_to(part).as_posix(),
                "size": path.stat().st_size,
                "sha256": sha256_file(path),
            }
            for path in sorted(part.rglob("*"))
            if path.is_file() and path.parent.name != "text"  # made of the transcripts
        ]
    found = counts(utterances)
    shown = ", ".join(f"{number} {name}" for name, number in found["classes"].items())
    echo(
        f"IEMOCAP: {len(chosen)} of the {EXPECTED} utterances of the full release ({shown}); "
        f"{len(utterances) - len(chosen)} of other labels are left out"
    )
    for name, number in found["classes"].items():
        if not number:
            echo(f"IEMOCAP: the class {name} is wholly absent, no line of EmoEvaluation has it")
    return {"counts": found, "files": files}


def counts(utterances: list[Utterance]) -> dict:
    """Numbers of utterances: in all, per class, and per label that is not used."""
    classes = Counter(CLASSES[u.label] for u in utterances if u.label in CLASSES)
    others = Counter(u.label for u in utterances if u.label not in CLASSES)
    return {
        "utterances": len(utterances),
        "expected": EXPECTED,
        "labelled": sum(classes.values()),
        "classes": {name: classes[name] for name in sorted(set(CLASSES.values()))},
        "other_labels": dict(sorted(others.items())),
    }


def _sessions(release: Path) -> list[Path]:
    """The folders of the five sessions. Raises AmidError if one is missing."""
    found = [release / f"Session{number}" for number in SESSIONS]
    missing = [path.name for path in found if not (path / "dialog" / "EmoEvaluation").is_dir()]
    if missing:
        raise AmidError(
            f"IEMOCAP is not downloaded, as its licence asks for a request, and {release} lacks "
            f"{', '.join(missing)}: ask for the release at https://sail.usc.edu/iemocap/, unpack "
            "it and let options.recordings in the data set's file in dataset/ name the folder "
            "that holds Session1 to Session5."
        )
    return found


def _texts(folder: Path) -> list[Path]:
    """Its .txt files in order, without the resource files (`._*`) of the machine they came from."""
    paths = sorted(folder.glob("*.txt"))
    return [path for path in paths if path.is_file() and not path.name.startswith(".")]


def _take(source: Path, target: Path) -> None:
    """The file if the release has it, else None: its utterances are then excluded."""
    if source.is_file():
        take(source, target)


# ---------------------------------------------------------------------------------- the texts


def read_labels(folder: Path) -> list[Utterance]:
    """The utterances of all dialogues in `folder`, in order. Raises AmidError for a line that is
    not as the release writes it: names of files come from it."""
    found: list[Utterance] = []
    for path in _texts(folder):
        named = DIALOGUE.fullmatch(path.stem)
        if named is None:
            raise AmidError(
                f"IEMOCAP: {path.name} among the labels is not called as a dialogue is, such as "
                "Ses01F_impro01.txt: take it out of EmoEvaluation."
            )
        lines = path.read_bytes().decode("utf-8", "replace").splitlines()
        for number, line in enumerate(lines, 1):
            if not line.startswith("["):
                continue
            match = LABEL.fullmatch(line)
            if match is None or not re.fullmatch(path.stem + r"_[FM][A-Za-z0-9]+", match[3]):
                raise AmidError(
                    f"IEMOCAP: line {number} of {path.name} is {line[:80]!r}, not the times, name, "
                    "label and ratings of one of its utterances: take the file from the release "
                    "again."
                )
            start, end = float(match[1]), float(match[2])
            found.append(Utterance(match[3], path.stem, int(named[1]), start, end, match[4]))
    repeated = [name for name, count in Counter(u.id for u in found).items() if count > 1]
    if repeated:
        raise AmidError(
            f"IEMOCAP: {repeated[0]} has more than one line of labels: take its file from the "
            "release again."
        )
    return found


def read_transcripts(folder: Path) -> dict[str, bytes]:
    """Utterance -> its transcript, for all dialogues in `folder`; unchanged bytes."""
    found: dict[str, bytes] = {}
    for path in _texts(folder):
        for line in path.read_bytes().splitlines():
            # latin-1 maps every byte to a letter and back: whether it is UTF-8 is told later
            match = SPOKEN.fullmatch(line.decode("latin-1"))
            if match is not None:
                found[match[1]] = match[2].strip().encode("latin-1")
    return found


# ---------------------------------------------------------------------------------- the rows


def rows(options: Options, folder: Path) -> pd.DataFrame:
    """The manifest, one row an utterance of the four classes that has its times, sound and text."""
    import pandas as pd

    found = []
    for utterance in read_labels(folder / "raw" / "labels"):
        if utterance.label not in CLASSES or _problem(utterance, folder / "raw"):
            continue
        splits = {options.test_session: "test", options.validation_session: "validation"}
        found.append(
            {
                "id": utterance.id,
                "label": CLASSES[utterance.label],
                "split": splits.get(utterance.session, "train"),
                "fold": utterance.session - 1,
                "group": f"Session{utterance.session}",
                "video_path": f"raw/video/{utterance.dialogue}.avi",
                "video_start": utterance.start,
                "video_end": utterance.end,
                "video_box": HALVES[side(utterance, options.marked_speaker)],
                "audio_path": f"raw/audio/{utterance.id}.wav",
                "audio_start": float("nan"),
                "audio_end": float("nan"),
                "text_path": f"raw/text/{utterance.id}.txt",
                "text_start": float("nan"),
                "text_end": float("nan"),
            }
        )
    if not found:
        raise AmidError("IEMOCAP: no utterance of the four classes has its sound and transcript.")
    return pd.DataFrame(found).astype({"fold": "int64"})


def problems(options: Options, folder: Path) -> pd.DataFrame:
    """Utterances of the four classes that have no row: id, modality, reason, detail."""
    import pandas as pd

    from amid.data.extraction import QUARANTINE

    raw = folder / "raw"
    chosen = [u for u in read_labels(raw / "labels") if u.label in CLASSES]
    found = [(u.id, *problem) for u in chosen if (problem := _problem(u, raw))]
    return pd.DataFrame(found, columns=list(QUARANTINE), dtype=str)


def side(utterance: Utterance, marked: str) -> str:
    """The half of the picture in which the utterance's speaker sits: left or right."""
    wearer = utterance.dialogue[len("Ses01")]
    speaker = utterance.id[len(utterance.dialogue) + 1]
    other = {"left": "right", "right": "left"}[marked]
    return marked if speaker == wearer else other


def _problem(utterance: Utterance, raw: Path) -> tuple[str, str, str] | None:
    """(modality, reason, detail) of what an utterance lacks; videos are checked when decoded."""
    name = utterance.id
    if utterance.start >= utterance.end:
        times = f"{name} lasts from {utterance.start:.3f} to {utterance.end:.3f} s"
        return "video", str(Reason.span_outside), times
    if not (raw / "audio" / f"{name}.wav").is_file():
        return "audio", str(Reason.missing_file), f"the release has no {name}.wav"
    text = raw / "text" / f"{name}.txt"
    if not text.is_file():
        return "text", str(Reason.missing_file), f"no transcript has a line of {name}"
    if not text.read_bytes().strip():
        return "text", str(Reason.empty_file), f"the transcript's line of {name} is empty"
    return None

"""What a released student says of clips, at the command line:

    python -m amid.predict CLIP... [--model student/grid] [--neighbours 3] [--format csv]

A CLIP is a file, a folder or a pattern; `--manifest` names a table of clips. The one module of the
library that parses a command line; all it does is in amid.serving.
"""

import amid.core.reproducible  # noqa: F401  isort: skip  pins kernels before torch, numpy and OpenCV load

import argparse
import csv
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from amid.errors import AmidError
from amid.io.progress import Progress
from amid.io.redact import escape_control
from amid.media.guard import LIMITS
from amid.serving import student
from amid.serving.inputs import Given, find_clips, read_list
from amid.serving.student import BATCH, CARD, Prediction, Student

STUDENTS = Path("student")
SEVERAL = 20  # clips from which on a log file gets lines of progress, too


def main(words: Sequence[str] | None = None) -> int:
    """Prints an answer a clip. 0, or 1 when one could not be answered; 2 for a wrong command."""
    parser = _parser()
    given = parser.parse_args(words)
    if not given.clips and given.manifest is None:
        parser.error("name a CLIP or a --manifest")
    if given.format == "csv" and given.neighbours:
        parser.error("--format csv has no place for neighbours: use --format jsonl")
    try:
        model = student.load(given.model or _only_student())
        clips = find_clips(given.clips, model.extractor, given.start, given.end)
        if given.manifest is not None:
            clips += read_list(given.manifest, model.target, given.start, given.end)
        write = FORMATS[given.format](model, given.top)
        problems = _answer(model, clips, given, write)
    except AmidError as error:
        print(escape_control(f"error: {error}"), file=sys.stderr)
        return error.exit_code
    for problem in problems:
        print(escape_control(f"error: {problem}"), file=sys.stderr)
    return 1 if problems else 0


Writer = Callable[[Given, Prediction], None]


def _answer(
    model: Student,
    clips: Sequence[Given],
    given: argparse.Namespace,
    write: tuple[Writer, Callable[[], None]],
) -> list[str]:
    """Predicts and writes each clip; the problems of those that could not be predicted."""
    answers = model.predictions(
        clips,
        neighbours=given.neighbours,
        limits=LIMITS,
        batch=given.batch,
        workers=given.workers,
    )
    one, end = write
    problems = []
    quiet = {"plain": lambda line: None} if len(clips) < SEVERAL else {}
    with Progress("clips", len(clips), **quiet) as progress:
        for clip, answer in zip(clips, answers, strict=True):
            if answer.problem is not None:
                problems.append(answer.problem)
            one(clip, answer)
            progress.advance()
    end()
    sys.stdout.flush()
    return problems


def _record(clip: Given, answer: Prediction) -> dict[str, Any]:
    """Everything about a clip, for JSON: what was asked, then the answer."""
    asked = {"id": clip.id} if clip.id else {}
    spans = {"start": clip.start, "end": clip.end}
    asked |= {name: value for name, value in spans.items() if not math.isnan(value)}
    return asked | answer.as_dict()


def _as_text(model: Student, top: int) -> tuple[Writer, Callable[[], None]]:
    first = True

    def one(clip: Given, answer: Prediction) -> None:
        nonlocal first
        if answer.problem is None:
            print(("" if first else "\n") + table(answer, top))
            first = False

    return one, lambda: None


def _as_json(model: Student, top: int) -> tuple[Writer, Callable[[], None]]:
    found: list[dict[str, Any]] = []

    def end() -> None:
        print(json.dumps(found, indent=1, ensure_ascii=False))

    return lambda clip, answer: found.append(_record(clip, answer)), end


def _as_json_lines(model: Student, top: int) -> tuple[Writer, Callable[[], None]]:
    def one(clip: Given, answer: Prediction) -> None:
        print(json.dumps(_record(clip, answer), ensure_ascii=False), flush=True)

    return one, lambda: None


def _as_csv(model: Student, top: int) -> tuple[Writer, Callable[[], None]]:
    """A row a clip: id, path, start, end, label, probability, a column for each class, problem."""
    of_classes = [f"probability_{name}" for name in model.classes]
    rows = csv.writer(sys.stdout, lineterminator="\n")
    names = ("id", "path", "start", "end", "label", "probability")
    rows.writerow([*names, *of_classes, "problem"])

    def one(clip: Given, answer: Prediction) -> None:
        span = ["" if math.isnan(value) else value for value in (clip.start, clip.end)]
        found = [answer.probabilities.get(name, "") for name in model.classes]
        best = ["", ""] if answer.label is None else [answer.label, answer.probability]
        rows.writerow([clip.id, clip.path, *span, *best, *found, answer.problem or ""])

    return one, lambda: None


FORMATS = {"text": _as_text, "json": _as_json, "jsonl": _as_json_lines, "csv": _as_csv}


def table(answer: Prediction, top: int) -> str:
    """The answer about one clip for people: its `top` classes, and its neighbours if there are."""
    shown = list(answer.probabilities.items())[:top]
    width = max(len("class"), *(len(label) for label in [*dict(shown), *_labels(answer)]))
    lines = [answer.path, f"  {'class':{width}}  probability"]
    lines += [f"  {label:{width}}  {100 * value:9.1f} %" for label, value in shown]
    if answer.neighbours:
        longest = max(len("training clip"), *(len(near.id) for near in answer.neighbours))
        lines += ["", f"  {'class':{width}}  cosine  {'training clip':{longest}}  file"]
        for near in answer.neighbours:
            place = " ".join(filter(None, [near.path, _span(near.start, near.end)]))
            lines.append(
                f"  {near.label:{width}}  {near.cosine:6.3f}  {near.id:{longest}}  {place}"
            )
    return "\n".join(escape_control(line.rstrip()) for line in lines)


def _labels(answer: Prediction) -> list[str]:
    return [near.label for near in answer.neighbours]


def _span(start: float | None, end: float | None) -> str:
    if start is None and end is None:
        return ""
    return f"{0.0 if start is None else start:.2f}-{'end' if end is None else f'{end:.2f}'} s"


def _only_student() -> Path:
    """The folder below student/, when there is one and no other."""
    found = sorted(path.parent for path in STUDENTS.glob(f"*/{CARD}"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise AmidError(
            f"There is no student below {STUDENTS}/: make one with "
            "`dvc repro pipelines/student/dvc.yaml`, or name a folder with --model."
        )
    raise AmidError(
        f"There are several students: choose with --model {' or '.join(map(str, found))}."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m amid.predict",
        description="Classes and probabilities of clips, by a released student.",
    )
    parser.add_argument(
        "clips",
        nargs="*",
        metavar="CLIP",
        help="a file of the target modality, a folder of them, or a pattern such as 'films/*.mp4'",
    )
    parser.add_argument(
        "--manifest",
        type=Path,
        metavar="FILE",
        help=".csv, .tsv or .parquet: a column `path` or of the target modality's name, "
        "optionally start and end in seconds, and id",
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FOLDER",
        help="the student; default: the only one in student/",
    )
    parser.add_argument("--top", type=_positive, default=5, metavar="N", help="classes shown (5)")
    parser.add_argument(
        "--neighbours", type=_count, default=0, metavar="K", help="most similar training clips (0)"
    )
    for name in ("start", "end"):
        parser.add_argument(
            f"--{name}",
            type=_seconds,
            default=math.nan,
            metavar="SECONDS",
            help=f"the {name} of what is looked at, of each clip; default: the clip's",
        )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="text",
        help="text for people (the default); json, jsonl (a line a clip) and csv for programs",
    )
    parser.add_argument(
        "--json", action="store_const", const="json", dest="format", help="short for --format json"
    )
    parser.add_argument(
        "--batch",
        type=_positive,
        default=BATCH,
        metavar="N",
        help=f"clips held in memory at once ({BATCH})",
    )
    parser.add_argument(
        "--workers", type=_positive, default=1, metavar="N", help="processes that decode (1)"
    )
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds from 0 up")
    return value


if __name__ == "__main__":
    try:
        code = main()
    except BrokenPipeError:  # whoever read the answers has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    sys.exit(code)

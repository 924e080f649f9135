"""What a released student says of clips, at the command line:

    python -m amid.predict CLIP... [--model student/grid] [--neighbours 3] [--json]

The one module of the library that parses a command line; all it does is in amid.serving.student.
"""

import amid.core.reproducible  # noqa: F401  isort: skip  pins kernels before torch, numpy and OpenCV load

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from amid.errors import AmidError
from amid.io.redact import escape_control
from amid.media.guard import LIMITS
from amid.serving import student
from amid.serving.student import CARD, Prediction

STUDENTS = Path("student")


def main(words: Sequence[str] | None = None) -> int:
    """Prints an answer a clip. 0, or 1 when one could not be answered; 2 for a wrong command."""
    given = _parser().parse_args(words)
    try:
        model = student.load(given.model or _only_student())
        answers = model.predict(
            given.clips,
            start=given.start,
            end=given.end,
            neighbours=given.neighbours,
            limits=LIMITS,
        )
    except AmidError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    good = [answer for answer in answers if answer.problem is None]
    if given.json:
        print(json.dumps([answer.as_dict() for answer in answers], indent=1, ensure_ascii=False))
    elif good:
        print("\n\n".join(table(answer, given.top) for answer in good))
    sys.stdout.flush()
    for answer in answers:
        if answer.problem is not None:
            print(escape_control(f"error: {answer.problem}"), file=sys.stderr)
    return 0 if len(good) == len(answers) else 1


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
    parser.add_argument("clips", nargs="+", metavar="CLIP", help="a file of the target modality")
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
    parser.add_argument("--json", action="store_true", help="everything, as JSON")
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

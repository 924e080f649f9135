"""The mistakes that a manifest may have, each as a sentence with the lines it stands in.

Every function looks at a `Sheet` and adds what it finds to `Problems`; none reads a file, but what
`check_file` of `check_paths` does.
"""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from amid.data.manifest import SPLITS
from amid.datasets.own.links import Mistake
from amid.datasets.own.options import lies_inside
from amid.datasets.own.sheet import SHOWN, Line, Problems, Sheet, used_columns

FOLD = re.compile(r"([0-9]{1,6})(\.0*)?")  # spreadsheets make 2.0 of 2
# (path, modality) -> what is wrong with the file
FileCheck = Callable[[str, str], Mistake | None]


def check_columns(sheet: Sheet, modalities: Sequence[str], problems: Problems) -> None:
    """Columns that are missing or there twice."""
    used = used_columns(modalities)
    for name, count in Counter(sheet.columns).items():
        if count > 1 and name in used:
            problems.add(f"more than one column is called `{name}`")
    spare = sorted(set(sheet.columns) - {"id", "label", *modalities})
    for name in ("id", "label", *modalities):
        if name not in sheet.columns:
            close = difflib.get_close_matches(name, spare, n=1)
            hint = f" (is it `{close[0]}`?)" if close else ""
            if name == "label" and not close:
                hint = " (for contrastive pre-training alone, set the option `labels: false`)"
            problems.add(f"no column `{name}`{hint}")


def check_identity(sheet: Sheet, problems: Problems) -> None:
    """Rows, in each an id of its own, and a label in all but training rows."""
    if not sheet.rows:
        problems.add("no rows: give it one a clip")
    lines_of: dict[str, list[Line]] = defaultdict(list)
    for row, line in zip(sheet.rows, sheet.lines, strict=True):
        if "id" in row and not row["id"]:
            problems.add("no id", line)
        if row.get("label") == "" and row.get("split", "") not in ("", "train"):
            problems.add("no label (only training rows may lack one)", line)
        if row.get("id"):
            lines_of[row["id"]].append(line)
            if re.search(r"[/\\\x00-\x1f]", row["id"]) or row["id"] in (".", ".."):
                problems.add("an id with a slash or a control character", line, repr(row["id"]))
    for name, lines in lines_of.items():
        if len(lines) > 1:
            places = ", ".join(map(str, lines[:SHOWN]))
            counted = places if isinstance(lines[0], str) else f"{sheet.word}s {places}"
            problems.add("ids given more than once", None, f"{name!r} in {counted}")


def check_splits(sheet: Sheet, problems: Problems) -> None:
    """The columns split, fold and group, as far as the sheet has them."""
    for name in ("split", "fold", "group"):
        given = [bool(row.get(name)) for row in sheet.rows]
        if any(given) and not all(given):
            for row, line, has in zip(sheet.rows, sheet.lines, given, strict=True):
                apart = name == "fold" and row.get("split") == "auxiliary"
                if not has and not apart:
                    problems.add(f"no {name}, though other rows have one", line)
    numbers = set()
    for row, line in zip(sheet.rows, sheet.lines, strict=True):
        if row.get("split") and row["split"] not in SPLITS:
            title = f"an unknown split: use one of {', '.join(SPLITS)}"
            problems.add(title, line, repr(row["split"]))
        if row.get("fold"):
            if (number := fold_number(row["fold"])) is None:
                problems.add("a fold that is no whole number from 0 up", line, repr(row["fold"]))
            else:
                numbers.add(number)
    if numbers and numbers != set(range(len(numbers))):
        shown = ", ".join(map(str, sorted(numbers)))
        problems.add(f"the folds must be 0, 1, 2 and so on without a gap, but are {shown}")
    elif len(numbers) in (1, 2):
        problems.add("at least three folds are needed: one tests, one validates, the others train")
    splits = Counter(row.get("split", "") for row in sheet.rows)
    if splits[""] < len(sheet.rows):
        for name in ("train", "test"):
            if not splits[name]:
                problems.add(f"no row in the split {name!r}")


def check_paths(
    sheet: Sheet,
    modality: str,
    root: Path,
    is_target: bool,
    check_file: FileCheck,
    problems: Problems,
) -> None:
    """The files of a modality, whose paths start from `root`."""
    if sheet.rows and not any(row.get(modality) for row in sheet.rows):
        problems.add(f"the column `{modality}` is empty in every row")
        return
    trained = [row for row in sheet.rows if row.get("split", "") in ("", "train", "auxiliary")]
    if trained and not any(row.get(modality) for row in trained):
        problems.add(f"the column `{modality}` is empty in every training row")
    known: dict[str, Mistake | None] = {}  # a file may stand in many rows
    for row, line in zip(sheet.rows, sheet.lines, strict=True):
        path = row.get(modality)
        if not path:
            if is_target and row.get("split") != "auxiliary":
                problems.add(f"no file of the target modality `{modality}`", line)
            continue
        if not path.isprintable():
            problems.add(f"`{modality}`: a path with unprintable characters", line, ascii(path))
            continue
        # `..` that leads back into the folder would not do so where the files are copied to.
        climbs = ".." in Path(path).parts
        if climbs or Path(path).is_absolute() or not lies_inside(root / path, root):
            problems.add(f"`{modality}`: a path outside the folder {root}", line, path)
            continue
        if path not in known:
            known[path] = check_file(path, modality)
        error = known[path]
        if error is not None:
            detail = f"{path}: {error.detail}" if error.detail else path
            problems.add(f"`{modality}`: {error.title}", line, detail)


def check_times(sheet: Sheet, modality: str, has_times: bool, problems: Problems) -> None:
    """Start and end of a modality. has_times: whether there may be any."""
    names = [f"{modality}_start", f"{modality}_end"]
    for row, line in zip(sheet.rows, sheet.lines, strict=True):
        times = []
        for name in names:
            value = seconds(row.get(name, ""))
            times.append(value)
            if value is None:
                problems.add(f"`{name}` is no number of seconds from 0 up", line, repr(row[name]))
        if None in times:
            continue
        start, end = times
        if start >= end:
            problems.add(f"`{names[0]}` is not before `{names[1]}`", line, f"{start:g}, {end:g}")
        if not has_times and not all(map(math.isnan, times)):
            title = f"`{modality}` is precomputed features, which have no start and end"
            problems.add(title, line)


def check_labels(sheet: Sheet, splits: Sequence[str], problems: Problems) -> None:
    """Labels that are only evaluated on; splits: of each row."""
    if not sheet.rows or "label" not in sheet.columns:
        return
    labels = [row.get("label", "") for row in sheet.rows]
    trained = {label for label, split in zip(labels, splits, strict=True) if split == "train"}
    trained.discard("")
    if any(splits) and trained:
        for label, split, line in zip(labels, splits, sheet.lines, strict=True):
            if label and split in ("validation", "test") and label not in trained:
                title = "a label in validation or test that no training row has"
                problems.add(title, line, f"{label!r} in {split}")
    if len(set(filter(None, labels))) < 2:
        problems.add("fewer than two labels: there is nothing to tell apart")
    elif any(splits) and not trained:
        problems.add("no training row has a label: there is nothing to learn the classes from")


def check_drawn(
    sheet: Sheet,
    splits: Sequence[str],
    shares: dict[str, float],
    rows: Sequence[int],
    problems: Problems,
) -> None:
    """Splits that were to be drawn and came out empty. shares: of those that were drawn from the
    rows `rows`."""
    groups = {sheet.rows[n]["group"] for n in rows if sheet.rows[n].get("group")}
    if shares.get("test") == 0:
        problems.add(
            "no row in the split 'test': `shares.test` is 0 in the options, and no row has a "
            "`split`; raise it, or give some rows the split test"
        )
    empty = [name for name, share in shares.items() if share and name not in splits]
    if not empty or not sheet.rows:
        return
    start = f"no row for the split {' and '.join(map(repr, empty))}, which the manifest leaves open"
    if groups:
        names = ", ".join(sorted(groups)[:5]) + (", ..." if len(groups) > 5 else "")
        have = f"{len(groups)} value" + ("s" if len(groups) > 1 else "") + f" ({names})"
        needed = 1 + sum(share > 0 for share in shares.values())
        problems.add(
            f"{start}: groups stay whole, so at least {needed} are needed, and the column `group` "
            f"of the rows to draw from has {have}; give more groups, give a column `split`, or "
            "leave `group` out"
        )
    else:
        options = " and ".join(f"`shares.{name}` ({shares[name]:g})" for name in empty)
        problems.add(
            f"{start}: {options} of a label's clips is less than one clip; raise it in the "
            "options, or give a column `split` (a share of 0 goes without validation)"
        )


def fold_number(text: str) -> int | None:
    """The fold that a cell names, None if it is no whole number from 0 up."""
    match = FOLD.fullmatch(text)
    return int(match[1]) if match else None


def seconds(text: str) -> float | None:
    """Finite seconds from 0 up, NaN for an empty cell, None for anything else."""
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def coarse_shares(
    sheet: Sheet, splits: Collection[str], shares: dict[str, float], rows: Sequence[int]
) -> list[str]:
    """A sentence where whole groups made a drawn split much larger or smaller than was asked for.

    shares: of the rows `rows`.
    """
    groups = {sheet.rows[n].get("group") for n in rows} - {"", None}
    if not groups:
        return []
    found = []
    for name, share in shares.items():
        got = sum(splits[n] == name for n in rows) / max(len(rows), 1)
        if share and abs(got - share) > share / 2:
            found.append(f"{name} has {got:.0%} of the clips instead of {share:.0%}")
    if not found:
        return []
    return [
        f"{sheet.name}: the {len(groups)} groups stay whole, so {' and '.join(found)}; more groups "
        "or a column `split` would change that."
    ]

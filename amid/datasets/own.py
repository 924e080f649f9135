"""Own data: a manifest (CSV or Parquet) and the files it names, without a line of code.

All mistakes of a manifest are told at once, with the lines they stand in: the first line of a CSV
file is its header, line 1, as in an editor; the first row of a Parquet file is row 1.

DVC watches the folder `folder` of the data set's block, so manifest and files must lie in it.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from amid.errors import AmidError, ConfigError
from amid.extractors import EXTRACTORS
from amid.io.atomic import replace_dir
from amid.io.checksums import sha256_file
from amid.media import MediaError, Reason
from amid.sources.local_media import shuffled

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 10  # lines listed of one kind of mistake
KINDS = (".csv", ".tsv", ".parquet")
Share = Annotated[float, Field(ge=0, lt=1)]
TITLES = {
    Reason.missing_file: "a file that does not exist or cannot be read",
    Reason.empty_file: "a file without content",
    Reason.not_media: "a file that is no .npy file",
    Reason.truncated: "a file that is damaged",
    Reason.wrong_type: "a file whose values are no numbers",
    Reason.wrong_shape: "features of the wrong shape",
    Reason.not_finite: "NaN or infinite features (of a missing modality, empty the cell)",
}


class Shares(BaseModel):
    """Shares of the clips to draw for validation and test; the rest is for training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    validation: Share = 0.1
    test: Share = 0.2

    @model_validator(mode="after")
    def _leaves_some(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must leave a share to train on")
        return self


class Options(BaseModel):
    """`manifest` and `root`, the folder that its paths start from, are relative to the folder
    `folder`; without a root it is the manifest's folder. modalities: None = those of the block's
    `extract`. seed, shares, folds: of what the manifest leaves to be drawn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    manifest: Annotated[str, Field(min_length=1)]
    root: str | None = None
    modalities: Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    seed: Annotated[int, Field(strict=True, ge=0)] = 0
    shares: Shares = Shares()
    folds: Annotated[int, Field(strict=True, ge=2)] = 5


class Informed(Options):
    """The options with what else the data set's block says: folder, extractors, target."""

    folder: Path = Field(exclude=True)
    extract: dict[str, tuple[str, Any]] = Field(exclude=True)
    target: str = Field(exclude=True)


class Sheet(NamedTuple):
    """A manifest as it was read: cells as text, "" where empty."""

    name: str
    columns: list[str]
    rows: list[dict[str, str]]
    lines: list[int]
    word: str  # what a line is called: "line" or "row"


class Problems:
    """The mistakes in a manifest by kind, in the order in which they were found."""

    def __init__(self, sheet_name: str, word: str) -> None:
        self.name, self.word = sheet_name, word
        self.found: dict[str, list[str]] = {}

    def add(self, title: str, line: int | None = None, detail: str = "") -> None:
        """One mistake; those of one title are listed together."""
        place = "" if line is None else f"{self.word} {line}"
        self.found.setdefault(title, []).append(": ".join(filter(None, [place, detail])))

    def close(self) -> None:
        """Raise AmidError that lists all of them, if there are any."""
        if not self.found:
            return
        counted = "1 problem" if len(self.found) == 1 else f"{len(self.found)} kinds of problems"
        of_csv = " (the header is line 1)" if self.word == "line" else " (the first row is row 1)"
        text = [f"{self.name} has {counted}{of_csv}:"]
        for title, places in self.found.items():
            places = list(filter(None, places))
            text.append(f"  - {title}" + (":" if places else ""))
            text += [f"      {place}" for place in places[:SHOWN]]
            if len(places) > SHOWN:
                text.append(f"      and {len(places) - SHOWN} more")
        raise AmidError("\n".join(text))


# ---------------------------------------------------------------------------------- in params.yaml


def informed(options: Options, folder: str, extract: dict, target: str, where: str) -> Informed:
    """Called when params.yaml is read, with the rest of the data set's block."""
    if options.modalities is not None and set(options.modalities) != set(extract):
        raise ConfigError(
            f"params.yaml: '{where}.options.modalities' names {', '.join(options.modalities)}, but "
            f"'{where}.extract' {', '.join(extract)}: name the same ones."
        )
    if not options.manifest.lower().endswith(KINDS):
        raise ConfigError(
            f"params.yaml: '{where}.options.manifest' is '{options.manifest}', but must end in one "
            f"of {', '.join(KINDS)}."
        )
    for key in ("manifest", "root"):
        value = getattr(options, key)
        if value is not None and not _inside(Path(folder) / value, Path(folder)):
            raise ConfigError(
                f"params.yaml: '{where}.options.{key}' is '{value}', which lies outside the folder "
                f"'{folder}' of '{where}.folder': DVC would not see its changes."
            )
    # Fields as they are: model_dump would turn the shares into a dict.
    given = {name: getattr(options, name) for name in Options.model_fields}
    given["modalities"] = options.modalities or tuple(extract)
    return Informed(**given, folder=Path(folder), extract=extract, target=target)


# ---------------------------------------------------------------------------------- the files


def fetch(
    options: Informed,
    folder: Path,
    *,
    mirror: str | None = None,
    workers: int = 1,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Checks the manifest and everything it names, then copies both to `folder`/raw.

    Returns names, sizes and sums. Raises AmidError with all mistakes at once; what an earlier call
    left in `folder` then stays as it was.
    """
    manifest = options.folder / options.manifest
    sheet = read_manifest(manifest)
    table(sheet, options, lambda path, modality: _check_file(options, path, modality))
    root = _root(options)
    names = sorted({row[m] for row in sheet.rows for m in options.modalities if row[m]})
    files = []
    with replace_dir(folder / "raw") as part:
        (part / "files").mkdir()
        shutil.copyfile(manifest, part / f"manifest{manifest.suffix.lower()}")
        for name in names:
            copy = part / "files" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, copy)
            size = copy.stat().st_size
            files.append({"name": name, "size": size, "sha256": sha256_file(copy)})
    return {"manifest": {"name": manifest.name, "sha256": sha256_file(manifest)}, "files": files}


def rows(options: Informed, folder: Path) -> pd.DataFrame:
    """The manifest, one row a clip, its paths relative to `folder`."""
    (manifest,) = (folder / "raw").glob("manifest.*")
    return table(read_manifest(manifest), options, lambda path, modality: None)


# ---------------------------------------------------------------------------------- the manifest


def read_manifest(path: Path) -> Sheet:
    """Raises AmidError for a file that is no table."""
    if not path.is_file():
        raise AmidError(f"The manifest {path} does not exist: check `folder` and `manifest`.")
    try:
        if path.suffix.lower() == ".parquet":
            return _read_parquet(path)
        return _read_csv(path)
    except OSError as error:
        raise AmidError(f"The manifest {path.name} cannot be read: {error.strerror}.") from error


def table(
    sheet: Sheet,
    options: Informed,
    check_file: Callable[[str, str], MediaError | None],
) -> pd.DataFrame:
    """The sheet as a manifest of clips (amid.data.extraction), splits and folds drawn where it has
    none.

    check_file: (path, modality) -> what is wrong with the file. Raises AmidError with all mistakes.
    """
    problems = Problems(sheet.name, sheet.word)
    _check_columns(sheet, options, problems)
    if not sheet.rows:
        problems.add("no rows: give it one a clip")
    _check_identity(sheet, problems)
    _check_splits(sheet, problems)
    for modality in options.modalities:
        if modality in sheet.columns:
            _check_paths(sheet, options, modality, check_file, problems)
            _check_times(sheet, options, modality, problems)
    if problems.found:  # what is drawn would be drawn from a wrong sheet
        _check_labels(sheet, [row.get("split", "") for row in sheet.rows], options, problems)
        problems.close()
    splits, folds = _splits(sheet, options)
    _check_labels(sheet, splits, options, problems)
    problems.close()
    return _frame(sheet, options, splits, folds)


def _read_csv(path: Path) -> Sheet:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise AmidError(
            f"{path.name} is not UTF-8 at byte {error.start}: save it as UTF-8."
        ) from error
    first = text.split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    problems = Problems(path.name, "line")
    columns: list[str] = []
    found, lines = [], []
    start = 1
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if not columns:
                columns = cells
            elif any(cells):
                if len(cells) == len(columns):
                    found.append(dict(zip(columns, cells, strict=True)))
                    lines.append(start)
                else:
                    detail = f"{len(cells)} cells, but the header has {len(columns)}"
                    problems.add("lines of another number of cells than the header", start, detail)
            start = reader.line_num + 1
    except csv.Error as error:
        problems.add("a cell that cannot be told (a quote without its end?)", start, str(error))
    problems.close()
    return Sheet(path.name, columns, found, lines, "line")


def _read_parquet(path: Path) -> Sheet:
    import pandas as pd

    try:
        frame = pd.read_parquet(path).convert_dtypes()  # whole numbers stay so beside empty cells
    except Exception as error:  # pyarrow's many, some of them its own
        text = " ".join(str(error).split())
        raise AmidError(f"{path.name} is no Parquet file: {text}.") from error
    columns = [str(name) for name in frame.columns]
    cells = [["" if pd.isna(v) else str(v).strip() for v in frame[name]] for name in frame.columns]
    found = [dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=True)]
    return Sheet(path.name, columns, found, list(range(1, len(found) + 1)), "row")


def _check_columns(sheet: Sheet, options: Informed, problems: Problems) -> None:
    for name, count in Counter(sheet.columns).items():
        if count > 1:
            problems.add(f"more than one column is called `{name}`")
    spare = sorted(set(sheet.columns) - {"id", "label", *options.modalities})
    for name in ("id", "label", *options.modalities):
        if name not in sheet.columns:
            close = difflib.get_close_matches(name, spare, n=1)
            hint = f" (is it `{close[0]}`?)" if close else ""
            problems.add(f"no column `{name}`{hint}")


def _check_identity(sheet: Sheet, problems: Problems) -> None:
    lines_of: dict[str, list[int]] = defaultdict(list)
    for row, line in zip(sheet.rows, sheet.lines, strict=True):
        for name in ("id", "label"):
            if name in row and not row[name]:
                problems.add(f"no {name}", line)
        if row.get("id"):
            lines_of[row["id"]].append(line)
            if re.search(r"[/\\\x00-\x1f]", row["id"]) or row["id"] in (".", ".."):
                problems.add("an id with a slash or a control character", line, repr(row["id"]))
    for name, lines in lines_of.items():
        if len(lines) > 1:
            places = ", ".join(map(str, lines[:SHOWN]))
            problems.add("ids given more than once", None, f"{name!r} in {sheet.word}s {places}")


def _check_splits(sheet: Sheet, problems: Problems) -> None:
    from amid.data.manifest import SPLITS

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
            if not re.fullmatch(r"[0-9]{1,6}", row["fold"]):
                problems.add("a fold that is no whole number from 0 up", line, repr(row["fold"]))
            else:
                numbers.add(int(row["fold"]))
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


def _check_paths(
    sheet: Sheet,
    options: Informed,
    modality: str,
    check_file: Callable[[str, str], MediaError | None],
    problems: Problems,
) -> None:
    if sheet.rows and not any(row[modality] for row in sheet.rows):
        problems.add(f"the column `{modality}` is empty in every row")
        return
    trained = [row for row in sheet.rows if row.get("split", "") in ("", "train", "auxiliary")]
    if trained and not any(row[modality] for row in trained):
        problems.add(f"the column `{modality}` is empty in every training row")
    root = _root(options)
    known: dict[str, MediaError | None] = {}  # a file may stand in many rows
    for row, line in zip(sheet.rows, sheet.lines, strict=True):
        path = row[modality]
        if not path:
            if modality == options.target and row.get("split") != "auxiliary":
                problems.add(f"no file of the target modality `{modality}`", line)
            continue
        if not path.isprintable():
            problems.add(f"`{modality}`: a path with unprintable characters", line, ascii(path))
            continue
        # `..` that leads back into the folder would not do so where the files are copied to.
        climbs = ".." in Path(path).parts
        if climbs or Path(path).is_absolute() or not _inside(root / path, root):
            problems.add(f"`{modality}`: a path outside the folder {root}", line, path)
            continue
        if path not in known:
            known[path] = check_file(path, modality)
        error = known[path]
        if error is not None:
            title = TITLES.get(error.reason, f"a file that cannot be used ({error.reason})")
            problems.add(f"`{modality}`: {title}", line, f"{path}: {_tail(error.detail, path)}")


def _check_times(sheet: Sheet, options: Informed, modality: str, problems: Problems) -> None:
    names = [f"{modality}_start", f"{modality}_end"]
    for row, line in zip(sheet.rows, sheet.lines, strict=True):
        times = []
        for name in names:
            value = _seconds(row.get(name, ""))
            times.append(value)
            if value is None:
                problems.add(f"`{name}` is no number of seconds from 0 up", line, repr(row[name]))
        if None in times:
            continue
        start, end = times
        if start >= end:
            problems.add(f"`{names[0]}` is not before `{names[1]}`", line, f"{start:g}, {end:g}")
        if options.extract[modality][0] == "features" and not all(map(math.isnan, times)):
            title = f"`{modality}` is precomputed features, which have no start and end"
            problems.add(title, line)


def _check_labels(
    sheet: Sheet, splits: Sequence[str], options: Informed, problems: Problems
) -> None:
    if not sheet.rows or "label" not in sheet.columns:
        return
    labels = [row["label"] for row in sheet.rows]
    trained = {label for label, split in zip(labels, splits, strict=True) if split == "train"}
    if any(splits) and trained:
        for label, split, line in zip(labels, splits, sheet.lines, strict=True):
            if label and split in ("validation", "test") and label not in trained:
                title = "a label in validation or test that no training row has"
                problems.add(title, line, f"{label!r} in {split}")
    if len(set(filter(None, labels))) < 2:
        problems.add("fewer than two labels: there is nothing to tell apart")


# ---------------------------------------------------------------------------------- what is drawn


def _splits(sheet: Sheet, options: Informed) -> tuple[list[str], list[int]]:
    """Split and fold of every row: those of the sheet, else drawn."""
    given = [row.get("split", "") for row in sheet.rows]
    apart = [split == "auxiliary" for split in given]
    folds = [
        -1 if a else int(row.get("fold") or -1) for row, a in zip(sheet.rows, apart, strict=True)
    ]
    labelled = [n for n, a in enumerate(apart) if not a]
    if all(fold < 0 for fold in folds):
        for n, fold in _drawn_folds(sheet, labelled, options).items():
            folds[n] = fold
        by_fold = False
    else:
        by_fold = not any(given)
    if by_fold:  # as a cross-validation's first fold
        return [{0: "test", 1: "validation"}.get(fold, "train") for fold in folds], folds
    shares = {"test": options.shares.test, "validation": options.shares.validation}
    splits = given
    if not any(given):
        splits = ["train"] * len(given)
    else:
        del shares["test"]
        if "validation" in given:
            return given, folds
    drawn = _drawn(sheet, [n for n in labelled if splits[n] == "train"], shares, options.seed)
    return [drawn.get(n, split) for n, split in enumerate(splits)], folds


def _drawn(sheet: Sheet, chosen: list[int], shares: dict[str, float], seed: int) -> dict[int, str]:
    """Row -> split for a share of the rows `chosen`; whole groups where the sheet has groups, else
    the share of every label."""
    found: dict[int, str] = {}
    if any(row.get("group") for row in sheet.rows):
        members = _members(sheet, chosen, "group")
        waiting = shuffled(members, seed, "split")
        for split, share in shares.items():
            wanted, count = share * len(chosen), 0
            for group in list(waiting):
                size = len(members[group])
                # a group is taken while that brings the count nearer to the share
                if len(waiting) > 1 and abs(count + size - wanted) < abs(count - wanted):
                    found |= dict.fromkeys(members[group], split)
                    waiting.remove(group)
                    count += size
        return found
    for label, members in _members(sheet, chosen, "label").items():
        ids = {sheet.rows[n]["id"]: n for n in members}
        waiting = [ids[name] for name in shuffled(ids, seed, f"split/{label}")]
        for split, share in shares.items():
            count = min(round(share * len(members)), len(waiting) - 1)
            found |= dict.fromkeys(waiting[:count], split)
            waiting = waiting[count:]
    return found


def _drawn_folds(sheet: Sheet, chosen: list[int], options: Informed) -> dict[int, int]:
    """Row -> fold: whole groups, each to the smallest fold; without groups label by label."""
    if any(row.get("group") for row in sheet.rows):
        members = _members(sheet, chosen, "group")
        sizes = [0] * options.folds
        found = {}
        for group in shuffled(members, options.seed, "fold"):
            fold = sizes.index(min(sizes))
            sizes[fold] += len(members[group])
            found |= dict.fromkeys(members[group], fold)
        return found
    order = []
    for label, members in sorted(_members(sheet, chosen, "label").items()):
        ids = {sheet.rows[n]["id"]: n for n in members}
        order += [ids[name] for name in shuffled(ids, options.seed, f"fold/{label}")]
    return {n: rank % options.folds for rank, n in enumerate(order)}


def _members(sheet: Sheet, chosen: list[int], column: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for n in chosen:
        found[sheet.rows[n][column]].append(n)
    return found


def _frame(sheet: Sheet, options: Informed, splits: list[str], folds: list[int]) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, list] = {
        "id": [row["id"] for row in sheet.rows],
        "label": [row["label"] for row in sheet.rows],
        "split": splits,
        "fold": folds,
        "group": [row.get("group") or row["id"] for row in sheet.rows],
    }
    for modality in options.modalities:
        columns[f"{modality}_path"] = [
            f"raw/files/{row[modality]}" if row[modality] else None for row in sheet.rows
        ]
        for end in ("start", "end"):
            name = f"{modality}_{end}"
            columns[name] = [_given(row.get(name, "")) for row in sheet.rows]
    return pd.DataFrame(columns).astype({"fold": "int64"})


# ---------------------------------------------------------------------------------- one cell


def _root(options: Informed) -> Path:
    if options.root is None:
        return (options.folder / options.manifest).parent
    return options.folder / options.root


def _inside(path: Path, folder: Path) -> bool:
    """Whether a path is below the folder, with symbolic links followed."""
    return path.resolve().is_relative_to(folder.resolve())


def _check_file(options: Informed, path: str, modality: str) -> MediaError | None:
    name, numbers = options.extract[modality]
    file = _root(options) / path
    try:
        if file.is_dir():
            return MediaError(Reason.missing_file, "a folder, not a file")
        if name == "features":
            import_module(EXTRACTORS[name]).read(file, numbers)
            return None
        with file.open("rb") as opened:
            if not opened.read(1):
                return MediaError(Reason.empty_file, "no bytes")
    except MediaError as error:
        return error
    except OSError as error:
        return MediaError(Reason.missing_file, error.strerror or "cannot be read")
    return None


def _seconds(text: str) -> float | None:
    """Finite seconds from 0 up, NaN for an empty cell, None for anything else."""
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _given(text: str) -> float:
    return math.nan if not text else float(text)


def _tail(detail: str, path: str) -> str:
    """The detail without the file's name, which precedes it already."""
    name = Path(path).name
    return detail.removeprefix(name).removeprefix(":").strip()

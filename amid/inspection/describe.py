"""A manifest, or a folder of clips in folders of classes -> the data set's block in dataset/.

The block names what was found; what is worth a look before training stands above it as comments.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import statistics
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from amid.errors import AmidError, ConfigError
from amid.inspection.advice import advice
from amid.inspection.contents import LOOKED_AT, Contents, kind_of, look
from amid.inspection.folder import clips
from amid.inspection.place import git_warning, written_path

if TYPE_CHECKING:
    import pandas as pd

    from amid.config import Params, Training

MANIFEST = "manifest.csv"
TABLES = (".csv", ".tsv", ".parquet")
KNOWN = ("id", "label", "split", "fold", "group")
# Median steps from which a sequence has the encoder `cnn`: docs/own-data.md has the measurement.
LONG = 32
# Steps below which no sequence is cut or changed in speed: with the 8 frames of avlips both cost
# the student points (docs/training.md).
SHORT = 16
OF_TIME = ("crop", "time_warp")  # those augmentations
MEMORY = 2 << 30  # bytes of a modality's sequences, padded, beyond which there is a warning
FEW = 10  # clips of a class
STEPS = 300  # of a training, below which there is a warning


class Description(NamedTuple):
    """block: the text of dataset/<name>.yaml. comments: what was found, warnings, and advice. rows:
    of a manifest that is still to be written; None where there is one."""

    name: str
    folder: Path
    comments: list[str]
    block: str
    rows: list[dict[str, str]] | None


def describe(path: Path, name: str | None, params: Path, workers: int) -> Description:
    """What lies at `path`, a manifest or a folder.

    params: the params.yaml that the block lies beside; it is read, and the block checked with it.
    Raises AmidError and ConfigError with one sentence on what keeps it from being a data set, and
    with the list of all mistakes of a manifest.
    """
    from amid import config
    from amid.datasets import own

    manifest = find_manifest(path)
    folder = (path if manifest is None or path.is_dir() else manifest.parent).resolve()
    name = name or _block_name(folder.name)
    if not re.fullmatch(r"[a-z0-9][a-z0-9_]*", name):
        raise ConfigError(f"'{name}' cannot name a data set: use small letters, digits and _.")
    rows = None
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "raw"
        copy.mkdir()
        if manifest is None:
            rows = _with_sound(clips(folder), folder, workers)
            made = copy / MANIFEST
            made.write_text(as_csv(rows), encoding="utf-8", newline="")
            sheet = own.read_manifest(made)
        else:
            sheet = own.read_manifest(manifest)
            shutil.copyfile(manifest, copy / f"manifest{manifest.suffix.lower()}")
        found = _modalities(sheet, folder if manifest is None else manifest.parent)
        contents = {m: look(m, kind, files, workers) for m, (kind, files) in found.items()}
        _check_count(contents, sheet.columns)
        values = _values(contents, folder, manifest)
        read = config.load(params, used=())
        text = _block(values, contents) + _training(read, contents[values["target"]])
        trial = Path(scratch) / f"{name}.yaml"
        trial.write_text(text, encoding="utf-8")
        block = config.read_block(read, trial)
        table = own.rows(block.options, Path(scratch))
    limit = _limit(table, values)
    if limit:
        text += (
            f"quarantine_limit: {limit:g}".ljust(28) + "# clips to test on that lack a modality\n"
        )
    given = {column for column in KNOWN if any(row.get(column) for row in sheet.rows)}
    comments = [_found(table), *(_of(m, c) for m, c in contents.items())]
    training = read.model_copy(update={"data": {name: block}}).training_of(name)
    comments += [f"WARNING: {line}" for line in _warnings(table, contents, given, training)]
    if (warned := git_warning(folder, Path.cwd())) is not None:
        comments.append(f"WARNING: {warned}")
    comments += [f"ADVICE: {line}" for line in advice(name, table, values["encoders"])]
    return Description(name, folder, comments, text, rows)


def find_manifest(path: Path) -> Path | None:
    """The manifest at `path` or in that folder; None for a folder without any."""
    if not path.exists():
        raise AmidError(f"{path} does not exist: name a folder or a manifest.")
    if path.is_file():
        return path
    tables = [p for p in sorted(path.iterdir()) if p.suffix.lower() in TABLES and p.is_file()]
    named = [p for p in tables if p.stem.lower() in ("manifest", "metadata")]
    if len(named or tables) > 1:
        shown = ", ".join(p.name for p in named or tables)
        raise AmidError(f"{path} holds several tables, {shown}: name the manifest itself.")
    return (named or tables or [None])[0]


def as_csv(rows: Sequence[Mapping[str, str]]) -> str:
    """The rows as a manifest."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


# ---------------------------------------------------------------------------------- what was found


def _with_sound(rows: list[dict[str, str]], folder: Path, workers: int) -> list[dict[str, str]]:
    """The rows with a column `audio` for the sound of films, where most have one."""
    films = [folder / row["video"] for row in rows if row.get("video")]
    if not films or any("audio" in row for row in rows):
        return rows
    if look("video", "video", films, workers).with_sound < 0.5:
        return rows
    return [{**row, "audio": row["video"]} for row in rows]


def _modalities(sheet: Any, root: Path) -> dict[str, tuple[str, list[Path]]]:
    """Name -> kind and files of the columns that name files."""
    for column in ("id", "label"):
        if column not in sheet.columns:
            raise AmidError(
                f"{sheet.name} has no column `{column}`, only {', '.join(sheet.columns)}: rename "
                f"the one that holds {'the names' if column == 'id' else 'the classes'} of the "
                "clips."
            )
    found = {}
    for column in sheet.columns:
        if column in KNOWN or re.fullmatch(r".+_(start|end)", column):
            continue
        paths = sorted({row[column] for row in sheet.rows if row[column]})
        files = [root / path for path in paths]
        if paths and (kind := kind_of(paths)) and 2 * sum(f.is_file() for f in files) > len(files):
            if not re.fullmatch(r"[a-z0-9][a-z0-9_]*", column):
                raise AmidError(
                    f"{sheet.name}: the column `{column}` names files, but a modality's name has "
                    "small letters, digits and _ only: rename it."
                )
            heard = kind == "video" and re.search(r"audio|sound|speech|voice", column)
            found[column] = ("audio" if heard else kind, files)
    return found


def _check_count(contents: dict[str, Contents], columns: list[str]) -> None:
    if len(contents) < 2:
        hint = ""
        if any(c.kind == "video" and c.with_sound for c in contents.values()):
            hint = " The films have sound: add a column `audio` that names them as well."
        shown = f"one, {next(iter(contents))}" if contents else f"none in {', '.join(columns)}"
        raise AmidError(
            f"Two modalities are needed, the student's and one that the teacher sees as well, but "
            f"the files are of {shown}.{hint}"
        )


def _values(contents: dict[str, Contents], folder: Path, manifest: Path | None) -> dict[str, Any]:
    names = list(contents)
    video = next((m for m, c in contents.items() if c.kind == "video"), None)
    target = video or names[0]
    others = [m for m in names if m != target]
    encoders = {
        modality: "cnn"
        for modality, found in contents.items()
        if modality == target and found.sequence and statistics.median(found.lengths) >= LONG
    }
    inside = MANIFEST if manifest is None else manifest.resolve().relative_to(folder).as_posix()
    return {
        **{"folder": written_path(folder, Path.cwd()), "manifest": inside, "target": target},
        **{"auxiliary": others, "encoders": encoders},
    }


def _block(values: dict[str, Any], contents: dict[str, Contents]) -> str:
    quoted = json.dumps  # a JSON string is a YAML one
    folder = values["folder"]
    plain = re.fullmatch(r"[/\w][\w./-]*", folder, re.ASCII)
    manifest = values["manifest"]
    safe = re.fullmatch(r"[A-Za-z_][\w.-]*", manifest, re.ASCII)
    lines = [
        "source: own",
        f"folder: {folder if plain else quoted(folder)}",
        f"options: {{manifest: {manifest if safe else quoted(manifest)}}}",
        f"target: {values['target']}".ljust(28) + "# what the student sees",
        f"auxiliary: [{', '.join(values['auxiliary'])}]".ljust(28)
        + "# what the teacher sees as well",
        "extract:",
    ]
    for modality, found in contents.items():
        lines.append(f"  {modality}: {_extractor(found)}")
    if values["encoders"]:
        chosen = ", ".join(f"{m}: {e}" for m, e in values["encoders"].items())
        lines.append(f"encoders: {{{chosen}}}".ljust(28) + "# long sequences")
    if len(values["auxiliary"]) > 1:
        setups = [f"{m}: [{m}]" for m in values["auxiliary"]]
        setups.append(f"all: [{', '.join(values['auxiliary'])}]")
        lines.append(f"setups: {{{', '.join(setups)}}}  # of Table 3")
    return "\n".join(lines) + "\n"


def _training(params: Params, target: Contents) -> str:
    """The lines of the protocol `strong`, for short sequences without changes of their time."""
    why = "# not the paper's: docs/training.md"
    short = target.kind == "video" and params.extractors["frame_dct"]["frames"] < SHORT
    if target.kind == "features" and target.sequence:
        short = statistics.median(target.lengths) < SHORT
    usual = params.training.strong["augmentation"]
    kept = {name: numbers for name, numbers in usual.items() if not (short and name in OF_TIME)}
    if kept == usual:
        return f"training: {{protocol: strong}}  {why}\n"
    few_steps = f"  strong: {{augmentation: {_flow(kept)}}}  # few steps"
    return "\n".join(["training:".ljust(28) + why, "  protocol: strong", few_steps]) + "\n"


def _flow(value: Any) -> str:
    """As YAML between braces."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_flow(each)}" for name, each in value.items()) + "}"
    return json.dumps(value)


def _extractor(found: Contents) -> str:
    if found.kind == "features":
        sequence = ", sequence: true" if found.sequence else ""
        return f"{{extractor: features, dims: {found.dims}{sequence}}}"
    return {
        "video": "{extractor: frame_dct, size: [48, 64]}",
        "audio": "{extractor: log_mel}",
        "text": "{extractor: ngrams}",
    }[found.kind]


def _block_name(folder: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", folder.lower()).strip("_") or "own"


# ---------------------------------------------------------------------------------- what is told


def _found(table: pd.DataFrame) -> str:
    classes, unknown = table["label"].value_counts(), int(table["label"].isna().sum())
    splits = table["split"].value_counts()
    shown = ", ".join(f"{splits[s]} {s}" for s in sorted(splits.index))
    fewest, most = classes.min(), classes.max()
    each = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    without = f"; {unknown} training clips without a label" if unknown else ""
    return f"{len(table)} clips of {len(classes)} classes, {each} each: {shown}{without}"


def _of(modality: str, found: Contents) -> str:
    lengths = sorted(found.lengths)
    middle = statistics.median(lengths) if lengths else 0
    if found.kind == "features":
        if not found.sequence:
            return f"{modality}: vectors of {found.dims} numbers"
        return (
            f"{modality}: sequences of vectors of {found.dims} numbers, {lengths[0]} to "
            f"{lengths[-1]} steps, median {middle:g}"
        )
    if not lengths:
        return f"{modality}: {found.kind}"
    return f"{modality}: {found.kind}, {lengths[0]:.1f} to {lengths[-1]:.1f} s, median {middle:.1f}"


def _limit(table: pd.DataFrame, values: dict[str, Any]) -> float:
    """A limit of quarantine that lets the clips pass which cannot be tested with; 0 = the usual."""
    tested = table["split"].isin(["validation", "test"])
    lacking = table[[f"{m}_path" for m in values["auxiliary"]]].isna().any(axis=1)
    share = float((tested & lacking).mean())
    return 0.0 if share <= 0.005 else min(1.0, round(2 * share + 0.01, 2))


def _warnings(
    table: pd.DataFrame,
    contents: dict[str, Contents],
    given: set[str],
    training: Training,
) -> list[str]:
    lines = []
    train = table[table["split"] == "train"]
    for modality, found in contents.items():
        if found.bad:
            lines.append(f"{modality}: {len(found.bad)} files cannot be used, as {found.bad[0]}")
        if found.sequence:
            held = len(table) * max(found.lengths) * found.dims * 4
            if held > MEMORY:
                lines.append(
                    f"{modality}: padded to the longest, its sequences take {held / 2**30:.1f} GiB "
                    "of memory: cut the longest, or keep every second step"
                )
        if found.kind == "audio" and found.with_sound < 1:
            lines.append(
                f"{modality}: {100 * (1 - found.with_sound):.0f} % of {LOOKED_AT} files looked at "
                "have no sound: those clips are quarantined; empty their cells to train with them"
            )
    few = Counter(train["label"])
    rare = [label for label in sorted(set(table["label"].dropna())) if few[label] < FEW]
    if rare:
        lines.append(f"{len(rare)} classes have less than {FEW} training clips, as {rare[0]!r}")
    if not given & {"split", "fold", "group"}:
        lines.append(
            "no column `group`: clips of one speaker or recording may be in training and test, "
            "which flatters all methods"
        )
    tested = int((table["split"] == "test").sum())
    if tested < 100:
        lines.append(
            f"{tested} test clips: one clip is {100 / max(tested, 1):.1f} points of accuracy"
        )
    lines += _few_steps(len(train), training)
    return lines


def _few_steps(clips: int, training: Training) -> list[str]:
    steps = training.epochs * max(1, round(clips / training.batch_size))
    if steps >= STEPS:
        return []
    return [
        f"{training.epochs} epochs of {clips} training clips are {steps} steps, which is little: "
        "more `epochs` or a smaller `batch_size` (a line `training: {...}` in the block)"
    ]

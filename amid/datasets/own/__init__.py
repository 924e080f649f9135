"""Own data: a manifest and the files it names, without a line of code.

The manifest is a .csv, .tsv or .parquet file, or a folder of .parquet files. All its mistakes are
told at once, with the lines they stand in: the first line of a CSV file is its header, line 1, as
in an editor; the first row of a Parquet file is row 1.

DVC watches the folder `folder` of the data set's block, so manifest and files must lie in it;
`links` says which symbolic links in it are followed.

sheet, parquet: a file -> a `Sheet` of text. checks: a sheet -> its mistakes as sentences. drawing:
splits and folds that it leaves open. links: what keeps DVC from seeing a file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amid.datasets.own.links import Mistake, check_links, unseen_by_dvc
from amid.datasets.own.options import Informed, Options, Shares, informed
from amid.datasets.own.sheet import Problems, Sheet, read_manifest, unlabelled, used_columns
from amid.errors import AmidError
from amid.extractors import EXTRACTORS
from amid.io.atomic import replace_dir
from amid.io.checksums import sha256_file
from amid.io.progress import Progress
from amid.media import MediaError, Reason

if TYPE_CHECKING:  # read with params.yaml by every stage: pandas waits until it is needed
    import pandas as pd

    from amid.datasets.own.checks import FileCheck
    from amid.datasets.own.drawing import Drawn

__all__ = [
    "Informed",
    "Options",
    "Problems",
    "Shares",
    "Sheet",
    "check_folder",
    "fetch",
    "find_problems",
    "informed",
    "read_manifest",
    "rows",
]

TITLES = {
    Reason.missing_file: "a file that does not exist or cannot be read",
    Reason.empty_file: "a file without content",
    Reason.not_media: "a file that is no .npy file",
    Reason.truncated: "a file that is damaged",
    Reason.wrong_type: "a file whose values are no numbers",
    Reason.wrong_shape: "features of the wrong shape",
    Reason.not_finite: "NaN or infinite features (of a missing modality, empty the cell)",
}


# ---------------------------------------------------------------------------------- the files


def fetch(
    options: Informed,
    folder: Path,
    *,
    mirror: str | None = None,
    workers: int = 1,
    cache: Path | None = None,
    echo: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Checks the manifest and everything it names, then copies both to `folder`/raw.

    Returns names, sizes and sums. Raises AmidError with all mistakes at once; what an earlier call
    left in `folder` then stays as it was.
    """
    manifest = options.manifest_path
    _check_place(options)
    sheet = _read(options, manifest)
    named = {row.get(m) for row in sheet.rows for m in options.modalities} - {"", None}
    with Progress("files checked", len(named)) as bar:
        problems, drawn = find_problems(sheet, options, _file_check(options, bar))
    problems.close()
    for note in [*sheet.notes, *_notes(sheet, drawn)]:
        echo(note)
    files = []
    with replace_dir(folder / "raw") as part, Progress("files copied", len(named)) as bar:
        (part / "files").mkdir()
        of_manifest = _copy_manifest(manifest, part)
        for name in sorted(named):
            copy = part / "files" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(options.root_path / name, copy)
            size = copy.stat().st_size
            files.append({"name": name, "size": size, "sha256": sha256_file(copy)})
            bar.advance()
    return {"manifest": of_manifest, "files": files}


def rows(options: Informed, folder: Path) -> pd.DataFrame:
    """The manifest, one row a clip, its paths relative to `folder`."""
    (manifest,) = (folder / "raw").glob("manifest.*")
    sheet = _read(options, manifest)
    problems, drawn = find_problems(sheet, options, lambda path, modality: None)
    problems.close()
    return _frame(sheet, options, drawn)


def check_folder(options: Informed) -> None:
    """Raises AmidError for what in the folder of the data keeps DVC from reading it: DVC stops at
    the first of these before any stage can tell of them, and does not say what to do."""
    found = unseen_by_dvc(options.folder)
    if found:
        shown = [f"  - {line}" for line in found[:20]]
        more = [f"    and {len(found) - 20} more"] if len(found) > 20 else []
        raise AmidError("\n".join([f"DVC cannot read the folder {options.folder}:", *shown, *more]))


# ---------------------------------------------------------------------------------- the manifest


def find_problems(
    sheet: Sheet, options: Informed, check_file: FileCheck
) -> tuple[Problems, Drawn | None]:
    """All mistakes of a sheet, and if it has none so far, split and fold of every row: its own,
    else drawn. check_file: what is wrong with a file."""
    from amid.datasets.own import checks
    from amid.datasets.own.drawing import draw

    problems = Problems(sheet.name, sheet.word)
    checks.check_columns(sheet, options.modalities, problems)
    checks.check_identity(sheet, problems)
    checks.check_splits(sheet, problems)
    for modality in options.modalities:
        if modality in sheet.columns:
            is_target = modality == options.target
            root, has_times = options.root_path, options.extract[modality][0] != "features"
            checks.check_paths(sheet, modality, root, is_target, check_file, problems)
            checks.check_times(sheet, modality, has_times, problems)
    if problems.found:  # what is drawn would be drawn from a wrong sheet
        if options.labels:
            checks.check_labels(sheet, [row.get("split", "") for row in sheet.rows], problems)
        return problems, None
    drawn = draw(sheet, options)
    checks.check_drawn(sheet, drawn.splits, drawn.shares, drawn.rows, problems)
    if options.labels:
        checks.check_labels(sheet, drawn.splits, problems)
    return problems, drawn


def _read(options: Informed, manifest: Path) -> Sheet:
    used = used_columns(options.modalities)
    if options.labels:
        return read_manifest(manifest, used, options.quoting)
    return unlabelled(read_manifest(manifest, used - {"label"}, options.quoting))


def _notes(sheet: Sheet, drawn: Drawn) -> list[str]:
    from amid.datasets.own.checks import coarse_shares

    found = coarse_shares(sheet, drawn.splits, drawn.shares, drawn.rows)
    if left := drawn.splits.count(""):
        found.append(
            f"{sheet.name}: {left} rows without a label are left out, as their group or fold is "
            "tested or validated on."
        )
    return found


def _frame(sheet: Sheet, options: Informed, drawn: Drawn) -> pd.DataFrame:
    import pandas as pd

    from amid.datasets.own.checks import seconds

    columns: dict[str, list] = {
        "id": [row["id"] for row in sheet.rows],
        "label": [row["label"] or None for row in sheet.rows],
        "split": drawn.splits,
        "fold": drawn.folds,
        "group": [row.get("group") or row["id"] for row in sheet.rows],
    }
    for modality in options.modalities:
        columns[f"{modality}_path"] = [
            f"raw/files/{row[modality]}" if row[modality] else None for row in sheet.rows
        ]
        for end in ("start", "end"):
            name = f"{modality}_{end}"
            columns[name] = [seconds(row.get(name, "")) for row in sheet.rows]
    table = pd.DataFrame(columns).astype({"fold": "int64"})
    return table[table["split"] != ""].reset_index(drop=True)


# ---------------------------------------------------------------------------------- one file


def _check_place(options: Informed) -> None:
    """Raises AmidError where the manifest, one of its parts or the folder that its paths start from
    lies behind a link that is not followed."""
    manifest = options.manifest_path
    paths = [manifest, options.root_path]
    if manifest.is_dir():
        from amid.datasets.own.parquet import find_parts

        paths += [part.path for part in find_parts(manifest)]
    for path in paths:
        mistake = check_links(options.folder, path, options.follow_links)
        if mistake is not None:
            shown = os.path.relpath(path, options.folder)
            link = f" ({mistake.detail})" if mistake.detail else ""
            raise AmidError(f"'{shown}' in the folder {options.folder} is {mistake.title}{link}.")


def _copy_manifest(manifest: Path, part: Path) -> dict[str, Any]:
    """Copies the manifest; its name, and the sum of it or of its parts."""
    if not manifest.is_dir():
        copy = part / f"manifest{manifest.suffix.lower()}"
        shutil.copyfile(manifest, copy)
        return {"name": manifest.name, "sha256": sha256_file(copy)}
    from amid.datasets.own.parquet import find_parts

    files = []
    for found in find_parts(manifest):
        copy = part / "manifest.parquet" / found.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found.path, copy)
        files.append({"name": found.name, "sha256": sha256_file(copy)})
    return {"name": manifest.name, "files": files}


def _file_check(options: Informed, bar: Progress) -> FileCheck:
    known: set[str] = set()

    def check(path: str, modality: str) -> Mistake | None:
        if path not in known:
            known.add(path)
            bar.advance()
        file = options.root_path / path
        return check_links(options.folder, file, options.follow_links) or _check_content(
            options, file, modality
        )

    return check


def _check_content(options: Informed, file: Path, modality: str) -> Mistake | None:
    name, numbers = options.extract[modality]
    try:
        if file.is_dir():
            return Mistake(TITLES[Reason.missing_file], "a folder, not a file")
        if name == "features":
            import_module(EXTRACTORS[name]).read(file, numbers)
            return None
        with file.open("rb") as opened:
            if not opened.read(1):
                return Mistake(TITLES[Reason.empty_file], "no bytes")
    except MediaError as error:
        title = TITLES.get(error.reason, f"a file that cannot be used ({error.reason})")
        # without the file's name, which precedes it already
        return Mistake(title, error.detail.removeprefix(file.name).removeprefix(":").strip())
    except OSError as error:
        return Mistake(TITLES[Reason.missing_file], error.strerror or "cannot be read")
    return None

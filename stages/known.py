"""Which stages DVC knows: those on request once for each entry of asked/params.yaml beside them.

DVC takes every stage it knows for one that was run: `dvc checkout`, `pull`, `commit`, `exp apply`
and `exp save` fail where an out was never made. So nothing stands in those files until it is asked
for (stages/request.py). A dvc at work knows the stages that were there when it started: what is new
runs in a dvc of its own.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from amid import config
from amid.errors import AmidError
from amid.io.atomic import write_atomic

# Pipeline on request -> its table in the report.
SHOWN = {"benchmark": "table_benchmark", "modalities": "table_modalities"}
REQUESTED = Path("pipelines") / "report" / "requested.yaml"


def know_downloads(params: config.Params, datasets: list[str], *, checked: bool = False) -> None:
    """Makes DVC know the downloads of some data sets, and runs those it did not know. A data set
    that was asked for before stays known.

    checked: the caller's stage depends on what `check` makes. DVC then holds that for reading, and
    `check` could not be run within it, nor need it be.
    """
    for name in datasets:
        params.dataset(name)  # raises ConfigError where there is no such block, or a wrong one
    known = known_of("data")
    folders = {name: known[name] for name in params.unusable if name in known}
    folders |= {name: block.folder for name, block in params.data.items()}
    asked = {name: folders[name] for name in (*known, *datasets) if name in folders}
    new = [name for name in datasets if known.get(name) != asked[name]]
    names = [*([] if checked else ["check"]), *(f"download@{name}" for name in new)]
    targets = ["-s", *(f"pipelines/data/dvc.yaml:{name}" for name in names)] if new else []
    know("data", asked, targets)


def known_of(pipeline: str) -> dict[str, Any]:
    file = asked_file(pipeline)
    if not file.exists():
        raise AmidError(f"pipelines/{pipeline} has no stages on request: {file} is missing.")
    return YAML(typ="safe").load(file.read_text(encoding="utf-8"))["asked"]


def asked_file(pipeline: str) -> Path:
    return Path("pipelines") / pipeline / "asked" / "params.yaml"


def know(pipeline: str, asked: dict[str, Any], targets: list[str]) -> None:
    """Writes what DVC knows of a pipeline and runs `targets` of it; where that fails, what was
    known before stands there again."""
    known, file = known_of(pipeline), asked_file(pipeline)
    text = file.read_text(encoding="utf-8")
    if asked != known:
        head = text.partition("asked:")[0]
        write_atomic(file, f"{head}asked: {json.dumps(asked, ensure_ascii=False)}\n".encode())
    command, made = [sys.executable, "-m", "dvc", "repro", *targets], False
    try:
        made = not targets or subprocess.run(command).returncode == 0
    finally:
        if not made:  # or the other commands would miss it
            write_atomic(file, text.encode())
    if not made:
        sys.exit(1)  # dvc has said why


def tell_report(pipeline: str, reports: Path) -> None:
    """Writes the sum of a pipeline's table for the stage `report`, which is then out of date where
    the table is another one; nothing for a pipeline whose table the report does not show."""
    if pipeline not in SHOWN:
        return
    name, told = SHOWN[pipeline], YAML(typ="safe").load(REQUESTED.read_text(encoding="utf-8"))
    told[name] = hashlib.sha256((reports / f"{name}.csv").read_bytes()).hexdigest()
    lines = REQUESTED.read_text(encoding="utf-8").splitlines(keepends=True)
    head = "".join(line for line in lines if line.startswith("#"))
    sums = "".join(f'{table}: "{told.get(table, "")}"\n' for table in SHOWN.values())
    write_atomic(REQUESTED, f"{head}{sums}".encode())

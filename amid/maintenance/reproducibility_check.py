"""The reproducibility gate: two clean clones, run with a small profile, produce identical bytes.

The clones differ in what must not matter: folder, time zone, locale, number of workers. Every
dvc.lock, out and report must have the same sha256, `dvc status` must be clean, and a second `dvc
repro` must run nothing. The results are also compared with the committed tables and locks: they
must be equal, whatever the processor. Only where bits are the processor's own (a platform called
native, there or here) two standard deviations of the seeds are allowed.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML

from amid.core.reproducible import is_portable, platform_fingerprint
from amid.errors import AmidError
from amid.io.checksums import sha256_file
from amid.maintenance.run_diff import compare

MADE = ("data", "runs", "reports", "dvc.lock", "pipelines")
DATASET = "avlips"
# One data set, one seed, and of the swept lists as much as shows every stage at work.
SMALL = (
    *("-S", f"datasets=[{DATASET}]", "-S", "seeds=[0]"),
    *("-S", "table3.training.epochs=3", "-S", "table3.folds=[0,1]"),
    *("-S", "table3.configurations=[crcd,amid]"),  # with a fixed teacher, and with a warm-up
    *("-S", "table6.alpha=[3.7,4.0]", "-S", "table6.beta=[1.5]", "-S", "table6.gamma=[1.0]"),
)
SEED = "0"
# Stages whose outs depend neither on the list of seeds nor on what SMALL changes.
COMPARABLE = tuple(f"{name}@{DATASET}" for name in ("download", "extract", "auxiliary"))
SHOWN = 20  # files named in a message
# A deviation of few seeds may come out near 0 by chance: one of 1 point is allowed in any case.
DEVIATIONS, LEAST = 2, 1.0

Rows = dict[tuple[str, str], dict[str, str]]  # data set and configuration -> row of a table


class Clone(NamedTuple):
    """A clone to make, with the number of workers and the environment of its `dvc exp run`."""

    place: Path
    workers: int
    environment: dict[str, str]


def git_root(project: Path) -> tuple[Path, Path]:
    """The git repository that holds a project, and the project's folder in it, often `.`.

    Raises AmidError where there is none.
    """
    command = ["git", "rev-parse", "--show-toplevel", "--show-prefix"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    if done.returncode != 0:
        raise AmidError(f"{project} lies in no git repository: there is no HEAD to clone.")
    root, within = done.stdout.split("\n")[:2]
    return Path(root), Path(within)


def clones(folder: Path, within: Path = Path()) -> tuple[Clone, Clone]:
    """The two clones that are to be made below `folder`, of a project in the folder `within` of its
    repository."""
    longer = folder / "a rather longer path" / "two"
    return (
        Clone(folder / "one" / within, 1, {"TZ": "Asia/Tokyo", "LC_ALL": "C"}),
        Clone(longer / within, 2, {"TZ": "America/Lima", "LC_ALL": "C.UTF-8"}),
    )


def reproduce(source: Path, clone: Clone, profile: Sequence[str] = SMALL) -> None:
    """Clone HEAD of the repository that holds `source` and run the profile in its folder there.

    Raises AmidError, with dvc's last lines, if that fails or does not run every stage of the root's
    dvc.yaml."""
    root, within = git_root(source)
    place = clone.place.parents[len(within.parts) - 1] if within.parts else clone.place
    command = ["git", "clone", "-q", str(root), str(place)]
    subprocess.run(command, check=True)
    words = ("exp", "run", *profile, "-S", f"workers={clone.workers}")
    done = dvc(clone.place, *words, **clone.environment)
    if done.returncode != 0:
        raise AmidError(f"dvc failed in {clone.place}: {_end(done.stdout + done.stderr)}")
    for stage in terminal_stages(clone.place):
        if f"Running stage '{stage}'" not in done.stdout:
            raise AmidError(f"dvc has not run {stage} in {clone.place}: {_end(done.stdout)}")


def reproduce_all(source: Path, clones: Sequence[Clone], profile: Sequence[str] = SMALL) -> None:
    """`reproduce` several clones at once: one with a single worker would leave cores idle."""
    with ThreadPoolExecutor(len(clones)) as pool:
        for done in [pool.submit(reproduce, source, clone, profile) for clone in clones]:
            done.result()


def dvc(place: Path, *words: str, **environment: str) -> subprocess.CompletedProcess:
    """Run a dvc command of this Python in `place`, without any global git settings."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "dvc", *words],
        cwd=place,
        env={**os.environ, "PATH": path, "GIT_CONFIG_GLOBAL": os.devnull, **environment},
        capture_output=True,
        text=True,
    )


def terminal_stages(place: Path) -> list[str]:
    """The stages of the root's dvc.yaml, that is all but those made on request."""
    return sorted(YAML(typ="safe").load((place / "dvc.yaml").read_text())["stages"])


def sums(place: Path) -> dict[str, str]:
    """sha256 of every lock, out and report of a clone."""
    files = [path for name in MADE for path in sorted((place / name).rglob("*")) if path.is_file()]
    files += [place / "dvc.lock"]
    return {path.relative_to(place).as_posix(): sha256_file(path) for path in files}


def differing_files(one: Path, two: Path) -> list[str]:
    """The files that differ between two clones, and the run, metric and epoch that differ first."""
    here, there = sums(one), sums(two)
    names = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
    if not names:
        return []
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    found = [f"{len(names)} files differ: {', '.join(names[:SHOWN])}{more}"]
    if (one / "runs").is_dir() and (two / "runs").is_dir():
        _, differences = compare(one, two)
        found += [f"first run to differ: {difference}" for difference in differences[:1]]
    return found


def not_clean(places: Sequence[Path]) -> list[str]:
    """`dvc_not_clean` of several clones at once: dvc looks at its stages one by one."""
    with ThreadPoolExecutor(len(places)) as pool:
        return [line for found in pool.map(dvc_not_clean, places) for line in found]


def dvc_not_clean(place: Path) -> list[str]:
    """What `dvc status` reports, or `dvc repro` runs, in a clone that was just reproduced."""
    found = []
    # what is made on request only has not been made here
    words = ("--with-deps", *terminal_stages(place))
    if dvc(place, "status", "-q", *words).returncode != 0:
        shown = dvc(place, "status", *words).stdout
        found.append(f"dvc status is not clean in {place}: {_end(shown)}")
    again = dvc(place, "repro")
    if again.returncode != 0 or "Running stage" in again.stdout:
        found.append(f"a second dvc repro runs stages in {place}: {_end(again.stdout)}")
    return found


def unlike_committed(place: Path) -> list[str]:
    """How a clone's results differ from those committed in its HEAD: at all or, where they are of
    another platform and one of the two is native, by more than two standard deviations of the
    seeds. Empty without such tables."""
    if (text := _committed(place, "reports/table4_seeds.csv")) is None:
        return []
    here = _rows((place / "reports" / "table4_seeds.csv").read_text(), seed=SEED)
    there = _rows(text, seed=SEED)
    if not here or not here.keys() <= there.keys():
        return [f"table4_seeds.csv has {sorted(here)}, of which {sorted(there)} are committed"]
    platform = platform_fingerprint()
    committed = json.loads(_committed(place, "reports/platform.json") or "{}").get("platform", "")
    if platform != committed and not (is_portable(platform) and is_portable(committed)):
        return _far_away(here, _rows(_committed(place, "reports/table4.csv") or ""))
    found = [
        f"table4_seeds.csv, {' '.join(key)}: {row}, committed {there[key]}"
        for key, row in here.items()
        if row != there[key]
    ]
    found += _unlike_locks(place)
    if found and platform != committed:
        found.append(f"the committed tables are of {committed}, this machine is {platform}")
    return found


def hashes(locks: Sequence[str]) -> dict[str, str]:
    """Out -> hash, of the comparable stages in the texts of dvc.lock files."""
    found = {}
    for text in locks:
        for name, stage in YAML(typ="safe").load(text)["stages"].items():
            if name.startswith(COMPARABLE):
                found |= {out["path"]: out["md5"] for out in stage["outs"]}
    return found


def _unlike_locks(place: Path) -> list[str]:
    names = [f"pipelines/{section}/dvc.lock" for section in ("data", "train")]
    here = hashes([(place / name).read_text() for name in names])
    there = hashes([_committed(place, name) or "stages: {}" for name in names])
    paths = sorted(path for path in here.keys() | there.keys() if here.get(path) != there.get(path))
    return [f"{path} is {here.get(path)}, committed {there.get(path)}" for path in paths]


def _far_away(here: Rows, table: Rows) -> list[str]:
    """The accuracies of one seed's rows that lie too far from the means of a table."""
    found = []
    for key in here.keys() & table.keys():
        for head in ("student", "teacher"):
            if table[key][head]:
                got, mean = float(here[key][head]), float(table[key][head])
                spread = max(float(table[key][f"{head}_std"] or 0), LEAST)
                if abs(got - mean) > DEVIATIONS * spread:
                    found.append(
                        f"{' '.join(key)}: {head} {got:.1f}, committed {mean:.1f} ± {spread:.1f}"
                    )
    return sorted(found)


def _rows(text: str, seed: str | None = None) -> Rows:
    rows = csv.DictReader(text.splitlines())
    return {(r["dataset"], r["configuration"]): r for r in rows if seed in (None, r.get("seed"))}


def _committed(place: Path, name: str) -> str | None:
    """The text of a file in HEAD, None where there is none."""
    command = ["git", "show", f"HEAD:./{name}"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def _end(text: str) -> str:
    return text.strip()[-2000:]

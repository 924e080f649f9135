"""kill -9 at random moments of the whole pipeline; `make repro` again ends in the same bytes.

    python -m tests.campaigns.kill_pipeline --count 60

A clone with the tiny profile (tests/tiny.py) is made once undisturbed. Then it is emptied and made
again, and killed on the way: dvc, a stage, a worker, or all of them with make, at a random moment
or just when dvc writes a lock; after some kills a dvc.lock or the rwlock is cut at a random byte,
as a disk may leave it. Each kill is followed by `make repro` and nothing else. At the end of each
pass every lock, out and report must have the reference's sha256, and no MLflow run be RUNNING.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from tests import tiny

TARGETS = ("dvc", "stage", "worker", "all")
MOMENTS = ("random", "random", "random", "lock", "torn")
LONGEST = 16.0  # seconds of a pipeline before it is killed: a pass holds a dozen kills
PATIENCE = 900.0  # seconds of a pass without a kill
REPRO = ("make", "-o", "install", "repro")  # as typed, but with the packages of this Python


class Plan(NamedTuple):
    """A kill: whom, when (lock: as soon as dvc has written one after `delay` seconds)."""

    target: str
    moment: str
    delay: float


def draw(generator: random.Random, longest: float = LONGEST) -> Plan:
    delay = generator.uniform(0.2, longest)
    return Plan(generator.choice(TARGETS), generator.choice(MOMENTS), delay)


def start(place: Path, command: Sequence[str] = REPRO) -> psutil.Popen:
    with (place.parent / "output.txt").open("ab") as output:
        return psutil.Popen(
            command, cwd=place, env=tiny.environment(), stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip


def kill(make: psutil.Process, target: str, generator: random.Random) -> str | None:
    """Kills one target of a running `make repro`: dvc where there is none, all before dvc has
    begun. Who was killed; None when all is over."""
    found: dict[str, list[psutil.Process]] = {name: [] for name in (*TARGETS, "other")}
    everyone = []
    with suppress(psutil.Error):
        everyone = [*make.children(recursive=True), make]
    for process in everyone[:-1]:
        with suppress(psutil.Error):
            found[_role(process)].append(process)
    target = next(name for name in (target, "dvc", "all") if found[name] or name == "all")
    victims = everyone if target == "all" else [generator.choice(found[target])]
    for process in victims:
        with suppress(psutil.Error):
            process.kill()
    return target if victims else None


def _role(process: psutil.Process) -> str:
    """worker: a Python below a stage; other: the repair, git, the helpers of Python's pools."""
    if "dvc" in _names(process):
        return "dvc"
    above = [_names(parent) for parent in process.parents()]
    if not any("dvc" in names for names in above) or "resource_tracker" in str(process.cmdline()):
        return "other"
    if not any("stages." in name for names in above for name in names):
        return "stage" if any("stages." in name for name in _names(process)) else "other"
    return "worker" if "python" in "".join(_names(process)[:1]) else "other"


def _names(process: psutil.Process) -> list[str]:
    return [Path(word).name for word in process.cmdline()[:3]]


def locks(place: Path) -> dict[Path, int]:
    """dvc.lock files and the rwlock, with the times at which they were written."""
    rwlock = place / ".dvc" / "tmp" / "rwlock"
    paths = (*place.glob("pipelines/**/dvc.lock"), place / "dvc.lock", rwlock)
    found = {}
    for path in paths:
        with suppress(FileNotFoundError):
            found[path] = path.stat().st_mtime_ns
    return found


def disturb(
    place: Path, plan: Plan, generator: random.Random, command: Sequence[str] = REPRO
) -> str | None:
    """Starts `make repro` and kills as planned; what was done, None when it had ended before."""
    make = start(place, command)
    end = time.monotonic() + plan.delay
    while time.monotonic() < end and make.poll() is None:
        time.sleep(0.02)
    if plan.moment != "random":
        before = locks(place)
        while make.poll() is None and locks(place) == before:
            time.sleep(0.001)
    if make.poll() is not None:
        if make.returncode != 0:
            raise SystemExit(f"make repro failed:\n{last_words(place)}")
        return None
    killed = kill(make, plan.target, generator)
    make.wait(timeout=PATIENCE)
    if killed is None or plan.moment == "random":
        return killed
    if plan.moment == "torn" and killed in ("dvc", "all") and locks(place):
        return f"{killed}, {tear(generator.choice(sorted(locks(place))), generator)} torn"
    return f"{killed} at a lock"


def tear(path: Path, generator: random.Random) -> str:
    """Cuts a file at a random byte; its name."""
    whole = path.read_bytes()
    path.write_bytes(whole[: generator.randrange(max(len(whole), 1))])
    return path.name


def last_words(place: Path) -> str:
    return (place.parent / "output.txt").read_text(errors="replace")[-3000:]


def finish(place: Path, command: Sequence[str] = REPRO) -> None:
    """`make repro`, undisturbed; SystemExit with its last lines when it fails."""
    make = start(place, command)
    if make.wait(timeout=PATIENCE) != 0:
        raise SystemExit(f"make repro failed:\n{last_words(place)}")


def running(place: Path) -> int:
    """MLflow runs that are RUNNING."""
    with closing(sqlite3.connect(place / "mlruns" / "mlflow.db")) as database:
        question = "SELECT count(*) FROM runs WHERE status = 'RUNNING'"
        return database.execute(question).fetchone()[0]


def campaign(
    folder: Path,
    count: int,
    seed: int,
    most: int,
    *,
    command: Sequence[str] = REPRO,
    longest: float = LONGEST,
) -> int:
    """Kills that ended in the reference's bytes. most: kills of one pass."""
    place = tiny.clone(folder / "project")
    finish(place, command)
    reference = tiny.sums(place)
    print(f"reference: {len(reference)} files", flush=True)
    generator, done, good = random.Random(seed), 0, 0
    kinds: Counter[str] = Counter()
    while done < count:
        tiny.reset(place)
        hits = []
        while len(hits) < min(most, count - done):
            what = disturb(place, draw(generator, longest), generator, command)
            if what is None:
                break  # the pipeline came to its end
            hits.append(what)
            print(f"  {time.strftime('%H:%M:%S')} killed {what}", flush=True)
        finish(place, command)
        sums, left = tiny.sums(place), running(place)
        apart = sorted(n for n in sums.keys() | reference if sums.get(n) != reference.get(n))
        same = not apart and left == 0
        done, good = done + len(hits), good + same * len(hits)
        kinds.update(hits)
        told = "the same bytes" if same else f"differ: {apart[:10]}; {left} runs RUNNING"
        print(f"{done}/{count} kills, {len(hits)} in this pass: {told}", flush=True)
    for kind, number in sorted(kinds.items()):
        print(f"  {number} x {kind}")
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=20, help="kills of one pass")
    parser.add_argument("--longest", type=float, default=LONGEST, help="seconds before a kill")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        good = campaign(
            Path(folder), options.count, options.seed, options.most, longest=options.longest
        )
    print(f"{good}/{options.count} kills of the pipeline ended in the reference's bytes")
    sys.exit(good != options.count)


if __name__ == "__main__":
    main()

"""Trains many small runs in one worker and watches its resident memory.

python -m tests.campaigns.memory --count 200 --seed 0
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import tempfile
from pathlib import Path

import amid.core.reproducible  # noqa: F401  pins kernels before torch is imported
from amid.runs.plan import PlannedRun
from amid.runs.scheduler import run_all
from amid.runs.store import RunStore
from tests.small import small_run, write_data

WARM = 20  # runs after which all that is loaded late is loaded
LIMIT = 1.05  # of the memory after these
CONFIGURATIONS = (
    *("amid", "l_ft_l_fa", "student_alone", "teacher_alone"),
    *("ccl", "crd", "crcd", "gmc"),
)


class Watch:
    """Stands in for MLflow's tracker; looks at the worker whenever a run is done."""

    stage = "memory"

    def __init__(self) -> None:
        self.kilobytes: list[int] = []
        self.workers: set[int] = set()

    def open(self) -> None:
        """There is nothing to open."""

    def log_epochs(self, run, lines) -> None:
        """Nobody reads them."""

    def log_run(self, run, record, lines, model) -> None:
        (worker,) = multiprocessing.active_children()
        self.workers.add(worker.pid)
        self.kilobytes.append(resident(worker.pid))

    log_known = log_run


def resident(pid: int) -> int:
    """Resident memory of a process in KiB (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def planned(data: Path, count: int, seed: int) -> list[PlannedRun]:
    """`count` distinct runs of all methods in seeded order: all of them among the first few."""
    order = random.Random(seed)
    plan: list[PlannedRun] = []
    for turn in range(-(-count // len(CONFIGURATIONS))):
        names = order.sample(CONFIGURATIONS, len(CONFIGURATIONS))
        plan += [small_run(data, name, seed=turn) for name in names]
    return plan[:count]


def campaign(folder: Path, plan: list[PlannedRun]) -> list[int]:
    """KiB of the one worker after every run, oldest first."""
    watch = Watch()
    data = folder / "avlips"
    run_all(
        plan,
        store=RunStore(folder / ".runs"),
        data=data,
        workers=1,
        checkpoint_every=1,
        tracker=watch,
    )
    assert len(watch.workers) == 1
    return watch.kilobytes


def grown(kilobytes: list[int], warm: int) -> float:
    """The highest of the last five over the highest of the five up to the `warm`-th: when it is
    looked at, the worker is somewhere in its next run."""
    return max(kilobytes[-5:]) / max(kilobytes[warm - 5 : warm])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    if words.count <= WARM:
        parser.error(f"--count must be more than {WARM}, the run that memory is compared with.")
    print(f"seed {words.seed}")
    with tempfile.TemporaryDirectory() as name:
        data = write_data(Path(name) / "avlips")
        found = campaign(Path(name), planned(data, words.count, words.seed))
    for number in range(WARM, words.count + 1, WARM):
        print(f"after run {number}: {found[number - 1] / 1024:.1f} MiB")
    share = grown(found, WARM)
    print(
        f"{len(found)} runs in one worker, memory {100 * (share - 1):+.1f} % from run {WARM} "
        f"to run {len(found)} (limit {100 * (LIMIT - 1):.0f} %)"
    )
    raise SystemExit(share > LIMIT or len(found) != words.count)


if __name__ == "__main__":
    main()

"""The local executor's pool against kill -9 of one of its workers, at any moment.

    python -m tests.campaigns.pool --kills 2000 --seed 0

A pool of two gets up to four short jobs. One of its workers is killed while it starts, works, waits
for a job or ends. The pool has to end in time: either all jobs are done, or WorkerLost is raised.
One that does not ends the campaign, with the stack of each of its threads.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import signal
import threading
import time
from collections import Counter

import amid.core.reproducible  # noqa: F401  which each worker imports
from amid.executors import WorkerLost
from amid.executors.local import Local

LATEST = 0.05  # seconds after the jobs were submitted, by which the worker is killed
PATIENCE = 120.0  # seconds that a pool may take


def kill_one(seed: int) -> str:
    """Kills a worker of a pool; "done" or "lost"."""
    chosen = random.Random(seed)
    try:
        with Local().pool(2, jobs=2) as pool:
            count = chosen.choice([1, 2, 4])
            futures = [
                pool.submit(time.sleep, chosen.choice([0, 0.002, 0.01])) for _ in range(count)
            ]
            victim = chosen.choice(list(pool._pool._processes))
            killing = threading.Timer(chosen.uniform(0, LATEST), _kill, (victim,))
            killing.start()
            for future in futures:
                future.result()
            if chosen.random() < 0.5:
                killing.join()  # of a pool whose jobs are done, before it is closed
    except WorkerLost:
        return "lost"
    finally:
        killing.join()
    return "done"


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it had ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds a pool may take")
    words = parser.parse_args()
    ends: Counter[str] = Counter()
    slowest = 0.0
    for seed in range(words.seed, words.seed + words.kills):
        faulthandler.dump_traceback_later(words.patience, exit=True)
        begun = time.monotonic()
        ends[kill_one(seed)] += 1
        slowest = max(slowest, time.monotonic() - begun)
    faulthandler.cancel_dump_traceback_later()
    print(
        f"{words.kills} kills: {ends['done']} pools had done their jobs, {ends['lost']} told of a "
        f"lost worker; the slowest took {slowest:.1f} s"
    )


if __name__ == "__main__":
    main()

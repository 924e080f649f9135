"""The whole DAG of a tiny clone by the local executor and by another: equal locks, outs, reports.

    python -m tests.campaigns.outs --executor ray --url
    python -m tests.campaigns.outs --executor slurm:local

With --url the runs are in a store at a URL as well.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests import tiny


def repro(place: Path, environment: dict[str, str]) -> dict[str, str]:
    """`dvc repro` in a tiny clone at `place`; the sums of all that it made."""
    tiny.clone(place)
    start = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "-q"],
        cwd=place,
        env={**tiny.environment(), **environment},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    print(f"{place.name}: {time.monotonic() - start:.0f} s", flush=True)
    return tiny.sums(place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--executor", default="ray")
    parser.add_argument("--url", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        environment = {"AMID_EXECUTOR": given.executor}
        if given.url:
            environment["AMID_STORE"] = (root / "store").as_uri()
        local = repro(root / "local", {})
        other = repro(root / given.executor.replace(":", "-"), environment)
        equal = sum(other.get(name) == value for name, value in local.items())
        print(f"{equal} of {len(local)} files equal")
        sys.exit(local != other)


if __name__ == "__main__":
    main()

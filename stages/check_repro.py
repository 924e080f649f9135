"""python -m stages.check_repro: the reproducibility gate on HEAD; exit code 1 where it is shut."""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from amid.maintenance import reproducibility_check
from stages.common import run_command


def main() -> None:
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        for problem in check(Path.cwd(), Path(folder)):
            problems.append(problem)
            print(f"differs: {problem}", flush=True)
    if problems:
        sys.exit(1)
    print("check-repro: two clean clones gave the same bytes")


def check(
    source: Path, folder: Path, profile: Sequence[str] = reproducibility_check.SMALL
) -> Iterator[str]:
    """The gate's steps, each said before it starts; what is wrong, as it is found."""
    one, two = reproducibility_check.clones(folder)
    for clone in (one, two):
        surroundings = " ".join(f"{name}={value}" for name, value in clone.environment.items())
        print(f"clone at {clone.place}, {clone.workers} workers, {surroundings}", flush=True)
    reproducibility_check.reproduce_all(source, (one, two), profile)
    print(f"comparing {len(reproducibility_check.sums(one.place))} files", flush=True)
    yield from reproducibility_check.differing_files(one.place, two.place)
    for clone in (one, two):
        yield from reproducibility_check.dvc_not_clean(clone.place)
    yield from reproducibility_check.unlike_committed(one.place)


if __name__ == "__main__":
    run_command(main)

"""python -m stages.check_repro: the reproducibility gate on HEAD; exit code 1 where it is shut.

With --bits only what this processor computes is compared with all others', in less than a minute:
amid.maintenance.bits, against tests/golden/bits.json, which --bits --write writes anew.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from amid.core.reproducible import not_portable, platform_fingerprint
from amid.errors import ConfigError
from amid.maintenance import reproducibility_check
from stages.common import run_command


def main(bits: str = "", write: str = "") -> None:
    if (bits, write) not in (("", ""), ("--bits", ""), ("--bits", "--write")):
        raise ConfigError("check_repro takes no word, --bits, or --bits --write.")
    if bits:
        problems = compare_bits(write=bool(write))
    else:
        with tempfile.TemporaryDirectory() as folder:
            problems = [_told(problem) for problem in check(Path.cwd(), Path(folder))]
    if problems:
        sys.exit(1)
    if not bits:
        print("check-repro: two clean clones gave the same bytes")


def compare_bits(*, write: bool) -> list[str]:
    """Prints every sum, and returns the names of those that differ from the golden ones."""
    from amid.maintenance.bits import GOLDEN, measure, read_golden, write_golden

    sums = {}
    for name, found in measure():
        sums[name] = found
        print(f"{found}  {name}", flush=True)
    if write:
        write_golden(sums)
        print(f"{GOLDEN} holds these sums now.")
        return []
    golden, here = read_golden(), platform_fingerprint()
    names = golden["sums"].keys() | sums.keys()
    problems = sorted(name for name in names if golden["sums"].get(name) != sums.get(name))
    for name in problems:
        _told(name)
    if problems and (why := not_portable()):
        print(f"bits are this processor's own: {why}")
    elif problems and here != golden["platform"]:
        print(f"the sums of {GOLDEN} are of {golden['platform']}, this is {here}")
    elif not problems:
        print(f"the same bits as {GOLDEN}")
    return problems


def check(
    source: Path, folder: Path, profile: Sequence[str] = reproducibility_check.SMALL
) -> Iterator[str]:
    """The gate's steps, each said before it starts; what is wrong, as it is found."""
    one, two = reproducibility_check.clones(folder, reproducibility_check.git_root(source)[1])
    for clone in (one, two):
        surroundings = " ".join(f"{name}={value}" for name, value in clone.environment.items())
        print(f"clone at {clone.place}, {clone.workers} workers, {surroundings}", flush=True)
    reproducibility_check.reproduce_all(source, (one, two), profile)
    print(f"comparing {len(reproducibility_check.sums(one.place))} files", flush=True)
    yield from reproducibility_check.differing_files(one.place, two.place)
    yield from reproducibility_check.not_clean((one.place, two.place))
    yield from reproducibility_check.unlike_committed(one.place)


def _told(problem: str) -> str:
    print(f"differs: {problem}", flush=True)
    return problem


if __name__ == "__main__":
    run_command(main)

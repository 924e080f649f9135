"""python -m stages.compare A B: which run, metric and epoch of two checkouts differ first."""

import sys
from pathlib import Path

from amid.maintenance.run_diff import compare
from stages.common import run_command

SHOWN = 20


def main(one: str, other: str) -> None:
    count, differences = compare(Path(one), Path(other))
    if not differences:
        print(f"all {count} runs are the same, to the last bit")
        return
    print(f"{len(differences)} of {count} runs differ; first: {differences[0]}")
    for difference in differences[1:SHOWN]:
        print(f"  {difference}")
    if len(differences) > SHOWN:
        print(f"  and {len(differences) - SHOWN} more")
    sys.exit(1)


if __name__ == "__main__":
    run_command(main)

"""python -m stages.repair: mends what killed processes left, when no dvc is at work."""

from pathlib import Path

from amid.errors import AmidError
from amid.maintenance.repair import repair
from stages.common import run_command


def main() -> None:
    root = Path.cwd().resolve()
    if not (root / ".dvc").is_dir():
        raise AmidError(f"{root} has no .dvc: run this in the project's folder.")
    mended = False
    for line in repair(root):
        mended = True
        print(line, flush=True)
    if not mended:
        print("nothing to repair")


if __name__ == "__main__":
    run_command(main)

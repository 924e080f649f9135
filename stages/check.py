"""check: params.yaml as it has to be, before DVC puts names out of it into commands for the shell.

DVC writes `python -m stages.download <name>` for every key of `data`, whatever stands there; each
stage checks the names as well, but only once its command is running. So the downloads, and thereby
all other stages, depend on this one. Its out never changes: what they make stays valid.
"""

from pathlib import Path

from amid.studies import load_params, rendering
from stages.common import PARAMS, run_stage

CHECKED = Path("data") / "checked"


def main() -> None:
    load_params(PARAMS)
    rendering.write_text(CHECKED, "names and numbers of params.yaml are sound\n")


if __name__ == "__main__":
    run_stage(main)

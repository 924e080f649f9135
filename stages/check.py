"""Checks params.yaml before DVC puts names out of it into commands for the shell:

    python -m stages.check

DVC writes `python -m stages.download <name>` for every key of `data`, whatever stands there; each
stage checks the names as well, but only once its command is running.
"""

from amid import config
from stages.common import PARAMS, run_stage


def main() -> None:
    config.load(PARAMS)


if __name__ == "__main__":
    run_stage(main)

"""check: params.yaml and the data sets' blocks as they have to be, before DVC puts names out of
them into commands for the shell.

DVC writes `python -m stages.extract <name>` for every name in `datasets`, whatever stands there;
each stage checks the names as well, but only once its command is running. So the downloads, and
thereby all other stages, depend on this one. Its out never changes: what they make stays valid.

For the same reason it tells of a folder of data that this copy of the project lacks, and of what in
a folder of own data keeps DVC from reading it. Where DVC gets there first, it stops with a message
of its own, and this command lists all such places.
"""

from importlib import import_module
from pathlib import Path

from amid.datasets import DATASETS
from amid.io.project import check_in_reach
from amid.studies import load_params, rendering
from stages.common import PARAMS, run_stage

CHECKED = Path("data") / "checked"


def main() -> None:
    params = load_params(PARAMS)
    for name in params.datasets:
        block = params.dataset(name)
        check_in_reach(block.folder, name)
        source = import_module(DATASETS[block.source])
        if hasattr(source, "check_folder"):
            source.check_folder(block.options)
    for wrong in params.unusable.values():
        print(f"warning: not used, and cannot be: {wrong}")
    rendering.write_text(CHECKED, "names and numbers of params.yaml are sound\n")


if __name__ == "__main__":
    run_stage(main)

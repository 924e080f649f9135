"""python -m stages.describe FOLDER [NAME]: own data -> its block for params.yaml.

FOLDER is a folder with a manifest, or with clips in folders of classes, or a manifest itself.
Prints the block and what is worth a look; with a NAME it adds the block to params.yaml, and a
folder without a manifest gets one.
"""

from pathlib import Path

from amid.errors import AmidError
from amid.inspection.describe import MANIFEST, as_csv, describe
from amid.inspection.params_file import add_block
from amid.io.atomic import write_atomic
from amid.io.processes import available_cores
from stages.common import PARAMS, run_command


def main(folder: str, name: str = "") -> None:
    found = describe(Path(folder).expanduser(), name or None, PARAMS, available_cores())
    print("\n".join(f"  # {line}" for line in found.comments))
    print(found.block, end="")
    if not name:
        made = " and write its manifest.csv" if found.rows is not None else ""
        print(f"# To add it to params.yaml{made}: the same command, with a name at its end.")
        return
    if found.rows is not None:
        path = found.folder / MANIFEST
        try:
            write_atomic(path, as_csv(found.rows).encode("utf-8"))
        except OSError as error:
            raise AmidError(f"{path} cannot be written: {error.strerror}.") from error
        print(f"# written: {path}, {len(found.rows)} clips")
    add_block(PARAMS, found.name, found.block)
    print(f"# added to params.yaml. Train it: dvc exp run -S 'datasets=[{found.name}]' table1")


if __name__ == "__main__":
    run_command(main)

"""python -m stages.describe FOLDER [NAME]: own data -> its block, dataset/NAME.yaml.

FOLDER is a folder with a manifest, or with clips in folders of classes, or a manifest itself.
Prints the block and what is worth a look; with a NAME it writes the block to dataset/NAME.yaml,
and a folder without a manifest gets one.
"""

from pathlib import Path

from amid.config import block_file
from amid.errors import AmidError, ConfigError
from amid.inspection.describe import MANIFEST, as_csv, describe
from amid.io.atomic import write_atomic
from amid.io.processes import available_cores
from stages.common import PARAMS, run_command


def main(folder: str, name: str = "") -> None:
    file = Path(block_file(name))
    if name and file.exists():
        raise ConfigError(f"{file} is there already: take another name, or remove it.")
    found = describe(Path(folder).expanduser(), name or None, PARAMS, available_cores())
    print("\n".join(f"# {line}" for line in found.comments))
    print(found.block, end="")
    if not name:
        made = " and the folder's manifest.csv" if found.rows is not None else ""
        print(f"# To write {block_file(found.name)}{made}: the same command and {found.name}")
        return
    if found.rows is not None:
        written(found.folder / MANIFEST, as_csv(found.rows))
        print(f"# written: {found.folder / MANIFEST}, {len(found.rows)} clips")
    written(file, found.block)
    print(f"# written: {file}. Train it: dvc exp run -S 'datasets=[{found.name}]' table1")
    print(f"# For experiments of --queue and --temp, and to keep it: git add {file}")


def written(path: Path, text: str) -> None:
    try:
        write_atomic(path, text.encode("utf-8"))
    except OSError as error:
        raise AmidError(f"{path} cannot be written: {error.strerror}.") from error


if __name__ == "__main__":
    run_command(main)

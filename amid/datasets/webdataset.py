"""Pairs in webdataset's shards: tar archives in which files of one key belong together.

`00000.tar` with `000000017.jpg`, `000000017.txt`, `000000018.jpg` ...: what img2dataset and others
write. Read with the library of that name (requirements-scale.txt), which says what a key and an
ending are. No content is decoded by it. For contrastive pre-training (amid.contrastive): there are
no labels.
"""

from __future__ import annotations

import csv
import tarfile
from collections.abc import Iterator
from glob import has_magic
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from amid.errors import AmidError, ConfigError
from amid.io.atomic import replace_dir
from amid.io.checksums import sha256_file
from amid.io.progress import Progress

if TYPE_CHECKING:  # read with params.yaml by every stage: pandas waits until it is needed
    import pandas as pd

SPLITS = ("train", "validation", "test")
PAIRS = "pairs.csv"
NO_LABEL = "none"

Ending = Annotated[str, Field(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$")]
Patterns = tuple[Annotated[str, Field(min_length=1)], ...]


class Options(BaseModel):
    """train, validation, test: paths of the shards in the block's folder, with braces
    ("{00000..00331}.tar") or wildcards. files: the ending, without a dot, of each modality's files.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: Annotated[Patterns, Field(min_length=1)]
    validation: Patterns = ()
    test: Patterns = ()
    files: dict[str, Ending]
    labels: Literal[False] = False

    @model_validator(mode="after")
    def _endings_differ(self) -> Self:
        if len(set(self.files.values())) < len(self.files):
            raise ValueError(f"two modalities have the same ending in {self.files}")
        return self


class Informed(Options):
    """The options with the folder that the block names."""

    folder: Path = Field(exclude=True)


def informed(options: Options, folder: str, extract: dict, target: str, where: str) -> Informed:
    """Called when the data set's block is read, with the rest of it; where: its file."""
    if set(options.files) != set(extract):
        raise ConfigError(
            f"{where}: 'options.files' names {', '.join(options.files)}, but 'extract' "
            f"{', '.join(extract)}: name the same modalities."
        )
    given = {name: getattr(options, name) for name in Options.model_fields}
    return Informed(**given, folder=Path(folder))


class Pair(NamedTuple):
    """A key of a shard. paths: of each modality's file below the data set's folder, or None."""

    id: str
    split: str
    paths: dict[str, str | None]


def fetch(
    options: Informed, folder: Path, *, mirror: str | None, workers: int, cache: Path | None = None
) -> dict[str, Any]:
    """Unpacks the files of the modalities, one shard at a time, below `folder`/raw. Nothing is
    downloaded.

    Returns names, sizes and sums of the shards. Raises AmidError: the library is not installed, a
    shard is missing, damaged or named twice, or a modality has no file at all.
    """
    if find_spec("webdataset") is None:
        raise AmidError(
            "Reading shards needs the package webdataset, which is not installed: install it as "
            "requirements-scale.txt says."
        )
    shards = find_shards(options)
    seen = dict.fromkeys(options.files, 0)
    with (
        replace_dir(folder / "raw") as part,
        Progress("shards unpacked", len(shards)) as bar,
        (part / PAIRS).open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["id", "split", *options.files])
        for number, (path, split) in enumerate(shards):
            for pair in _unpacked(path, split, options, part, f"{number:06d}"):
                table.writerow([pair.id, pair.split, *(pair.paths[m] or "" for m in options.files)])
                for modality, found in pair.paths.items():
                    seen[modality] += found is not None
            bar.advance()
        for modality, count in seen.items():
            if not count:
                raise AmidError(
                    f"No shard holds a file that ends in '.{options.files[modality]}', the ending "
                    f"of '{modality}': correct `options.files`."
                )
    return {
        "shards": [
            {
                "name": path.relative_to(options.folder.resolve()).as_posix(),
                "bytes": path.stat().st_size,
                "sha256": sha256_file(path),
            }
            for path, _ in shards
        ]
    }


def find_shards(options: Informed) -> list[tuple[Path, str]]:
    """Paths of the shards with their splits, in the order of the patterns. Raises AmidError."""
    from braceexpand import UnbalancedBracesError, braceexpand

    folder = options.folder.resolve()
    found: dict[Path, str] = {}
    for split in SPLITS:
        for pattern in getattr(options, split):
            try:
                names = list(braceexpand(pattern))
            except UnbalancedBracesError:
                raise AmidError(f"The braces of {pattern!r} are not closed: correct it.") from None
            for name in names:
                magic = has_magic(name) and not Path(name).is_absolute()
                paths = sorted(folder.glob(name)) if magic else [folder / name]
                for path in paths:
                    if not path.resolve().is_relative_to(folder):
                        raise AmidError(
                            f"The shard {name!r} lies outside the folder {options.folder} of the "
                            "data set's block: DVC would not see its changes."
                        )
                    if path in found:
                        raise AmidError(
                            f"The shard {path.relative_to(folder)} is named twice ({found[path]}, "
                            f"{split}): a pair belongs to one split."
                        )
                    if not path.is_file():
                        raise AmidError(f"There is no shard {path}: correct `options.{split}`.")
                    found[path] = split
                if not paths:
                    raise AmidError(f"No file fits {pattern!r} in {options.folder}: correct it.")
    return list(found.items())


def rows(options: Informed, folder: Path) -> pd.DataFrame:
    """The manifest, one row a key in the order of the shards; every label is "none"."""
    import pandas as pd

    table = pd.read_csv(folder / "raw" / PAIRS, dtype=str, keep_default_na=False)
    manifest = table[["id"]].copy()
    manifest["label"] = NO_LABEL
    manifest["split"] = table["split"]
    manifest["fold"] = -1
    manifest["group"] = table["id"]
    for modality in options.files:
        manifest[f"{modality}_path"] = [path or None for path in table[modality]]
        for end in ("start", "end"):
            manifest[f"{modality}_{end}"] = float("nan")
    return manifest.astype({"fold": "int64"})


def _unpacked(path: Path, split: str, options: Informed, part: Path, place: str) -> Iterator[Pair]:
    """Writes the files of one shard below `part`/`place`; yields its keys."""
    from webdataset.tariterators import group_by_keys, tar_file_expander

    (part / place).mkdir()
    endings = set(options.files.values())
    shard = path.relative_to(options.folder.resolve()).with_suffix("").as_posix()
    known: set[str] = set()
    try:
        with path.open("rb") as stream:
            members = tar_file_expander([{"url": path.name, "stream": stream}])
            for number, sample in enumerate(group_by_keys(members, suffixes=endings)):
                key = sample["__key__"]
                if key in known or not key.isprintable():
                    why = "stands twice, apart" if key in known else "cannot be printed"
                    raise AmidError(f"The key {key!a} of the shard {path} {why}: repair it.")
                known.add(key)
                paths: dict[str, str | None] = {}
                for modality, ending in options.files.items():
                    paths[modality] = None
                    if ending in sample:
                        name = f"{place}/{number:08d}.{ending}"
                        (part / name).write_bytes(sample[ending])
                        paths[modality] = f"raw/{name}"
                if any(paths.values()):
                    yield Pair(f"{shard}/{key}", split, paths)
    except (tarfile.TarError, ValueError, EOFError) as error:
        why = str(error.args[0]) if error.args else type(error).__name__
        raise AmidError(f"The shard {path} cannot be read ({why}): get it anew.") from error

"""Find the first difference of every run between two checkouts.

Differences are ordered by epoch: the earliest epoch at which a metric differs is where to look.
Predictions and weights come after all epochs. If the specifications of a run differ (code,
features, a number of params.yaml), the fields are listed as well.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from amid.core.types import RunRecord
from amid.errors import AmidError
from amid.io.canonical_json import canonical_json, flatten
from amid.io.checksums import sha256_file

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORD, MODEL = "record.json", "model.safetensors"
LONGEST = 60  # characters shown of a value


class Difference(NamedTuple):
    """The first difference of one run.

    epoch: from 1; 0 for before training, None for after it.
    specification: dotted names of the fields in which the specifications differ.
    """

    run: str
    epoch: int | None
    what: str
    one: str
    other: str
    specification: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[float, str]:
        return (float("inf") if self.epoch is None else self.epoch, self.run)

    def __str__(self) -> str:
        when = {0: "before training", None: "after training"}.get(self.epoch, f"epoch {self.epoch}")
        text = f"{self.run}: {when}, {self.what}: {self.one} and {self.other}"
        asked = ", ".join(self.specification)
        return f"{text} (the specifications differ in {asked})" if asked else text


def compare(one: Path, other: Path) -> tuple[int, list[Difference]]:
    """The number of runs in the two folders, and the first difference of each run that differs,
    earliest first. Raises AmidError for a folder without runs."""
    records = [_records(folder) for folder in (one, other)]
    names = sorted(records[0].keys() | records[1].keys())
    found = []
    for name in names:
        paths = [places.get(name) for places in records]
        if None in paths:
            shown = ["there" if path else "missing" for path in paths]
            found.append(Difference(name, 0, "the run", *shown))
        elif (difference := first_difference(name, *paths)) is not None:
            found.append(difference)
    return len(names), sorted(found, key=lambda difference: difference.order)


def first_difference(name: str, one: Path, other: Path) -> Difference | None:
    """The first difference between two records of a run and their models, None if equal."""
    a, b = (RunRecord.from_json(path.read_text(encoding="utf-8")) for path in (one, other))
    asked, other_asked = flatten(a.spec.to_dict()), flatten(b.spec.to_dict())
    names = sorted(asked.keys() | other_asked.keys())
    apart = tuple(n for n in names if asked.get(n) != other_asked.get(n))
    for epoch, what, *values in _differing(a, b):
        return Difference(name, epoch, what, *map(_shown, values), apart)
    sums = [sha256_file(path.with_name(MODEL)) for path in (one, other)]
    if sums[0] != sums[1]:
        return Difference(name, None, f"sha256 of {MODEL}", *map(_shown, sums), apart)
    if apart:
        values = asked.get(apart[0]), other_asked.get(apart[0])
        return Difference(name, 0, apart[0], *map(_shown, values), apart)
    return None


def _differing(a: RunRecord, b: RunRecord) -> Iterator[tuple[int | None, str, Any, Any]]:
    """(epoch, what, value, value) of each result that differs, in the order of training."""
    for epoch, (here, there) in enumerate(zip(a.history, b.history, strict=False), start=1):
        for metric in sorted(here.keys() | there.keys()):
            if here.get(metric) != there.get(metric):
                yield epoch, metric, here.get(metric), there.get(metric)
    if len(a.history) != len(b.history):
        yield None, "number of epochs", len(a.history), len(b.history)
    for field in fields(RunRecord):
        values = [getattr(record, field.name) for record in (a, b)]
        if field.name not in ("spec", "history", "extractors") and values[0] != values[1]:
            yield None, field.name.replace("_", " "), *values


def _records(folder: Path) -> dict[str, Path]:
    """Path of each run below the folder (or its runs/) -> path of its record."""
    root = folder / "runs" if (folder / "runs").is_dir() else folder
    found = {path.parent.relative_to(root).as_posix(): path for path in root.rglob(RECORD)}
    if not found:
        raise AmidError(f"{folder} holds no runs: name a checkout after `dvc repro`, or its runs/.")
    return found


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else canonical_json(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."

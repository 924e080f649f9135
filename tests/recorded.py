"""Run records made by hand, for the tests of what is reported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from amid.core.types import RunRecord, RunSpec
from amid.io.checksums import record_checksums

CLIPS = 50


def record(
    right: dict[str, int],
    seed: int = 0,
    *,
    fold: int | None = None,
    labels: Sequence[int] = (0,) * CLIPS,
    **fields: Any,
) -> RunRecord:
    """A run whose heads classify the first `right[head]` test clips rightly, the others as the
    next class; `fields` of the record in place of the made ones."""
    spec = RunSpec(
        dataset="avlips",
        method="amid",
        options={},
        target="video",
        auxiliary=(),
        network={},
        training={},
        seed=seed,
        fold=fold,
        corpus="train",
        features="x",
        code="y",
    )
    classes = ["a", "b", "c"]
    predicted = {
        head: [y if n < count else (y + 1) % 3 for n, y in enumerate(labels)]
        for head, count in right.items()
    }
    history = [
        {"validation_student": 0.5, "validation_teacher": 0.5 + 0.1 * seed},
        {"validation_student": 0.6, "validation_teacher": 0.8 + 0.1 * seed},
    ]
    values = {
        "history": history,
        "best_epoch": 1,
        "selected_on": "student",
        "predictions": {"best": predicted, "last": predicted},
        "clips": [f"clip{n}" for n in range(len(labels))],
        "labels": list(labels),
        "classes": classes,
    }
    return RunRecord(spec, **{**values, **fields})


def runs(*counts: dict[str, int]) -> list[RunRecord]:
    """One record a seed."""
    return [record(right, seed) for seed, right in enumerate(counts)]


def recognised() -> dict[str, dict[str, list[RunRecord]]]:
    """Three configurations with three seeds; AMID's student 72 ± 2, its teacher 88 ± 2."""
    return {
        "avlips": {
            "student_alone": runs({"student": 30}, {"student": 31}, {"student": 33}),
            "teacher_alone": runs({"teacher": 40}, {"teacher": 41}, {"teacher": 42}),
            "ccl": runs({"student": 33}, {"student": 36}, {"student": 34}),
            "amid": runs(
                {"student": 35, "teacher": 44},
                {"student": 37, "teacher": 45},
                {"student": 36, "teacher": 43},
            ),
        }
    }


def put(run: RunRecord, folder: Path) -> None:
    """As the training stages leave it."""
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(run.to_json())
    record_checksums(folder, "record.json")

"""The number that a training stage tells DVC."""

from __future__ import annotations

from dataclasses import replace

from amid.runs.plan import PlannedRun
from amid.studies.recognition import student_metrics, table1
from amid.studies.runs import student_means
from tests.recorded import recognised


def test_the_metrics_of_a_stage_are_the_numbers_of_table_1() -> None:
    """A row without a student has none."""
    rows = recognised()
    runs, records = [], {}
    for name, made in rows["avlips"].items():
        for record in made:
            spec = replace(record.spec, options={"row": name})  # a key of its own
            runs.append(PlannedRun(name, f"{name}/seed{spec.seed}", spec))
            records[spec.key] = replace(record, spec=spec)
    found = student_means(runs, records)
    assert found == student_metrics(table1(rows))["avlips"]
    assert (found["amid"], found["student_alone"]) == (72.0, 62.67)
    assert "teacher_alone" not in found

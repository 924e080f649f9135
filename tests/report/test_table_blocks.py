"""Tables of the page show what the Markdown ones do, and say what their marks mean."""

from __future__ import annotations

import math

import pytest

from amid.report.table_blocks import Code, marks, meaning, plain_table, tables
from amid.studies import base, recognition, rendering
from tests.recorded import recognised


@pytest.mark.parametrize(
    ("p", "stars", "said"),
    [
        (0.0005, "***", "p < .001"),
        (0.005, "**", "p < .01"),
        (0.049, "*", "p < .05"),
        (0.05, "", ""),
        (None, "", ""),
        (math.nan, "", ""),
    ],
)
def test_marks_of_significance(p: float | None, stars: str, said: str) -> None:
    assert marks(p) == stars
    assert meaning(marks(p)) == said


def test_cells_are_those_of_the_markdown_table() -> None:
    frame = recognition.table1(recognised())
    (table,) = tables(frame, recognition.LAYOUT1, base.BASELINE, {}, marked="student")
    text = rendering.markdown(frame, recognition.LAYOUT1).splitlines()
    lines = [line.strip("| ").split(" | ") for line in text if line.startswith("|")]
    assert [header for header, _ in table.columns] == [cell.strip() for cell in lines[0]]
    for row, line in zip(table.rows, lines[2:], strict=True):
        assert [cell.text for cell in row.cells] == [cell.strip("*") for cell in line]
        assert row.strong == line[0].startswith("**")


def test_the_first_p_marks_its_row_and_undefined_numbers_sort_last() -> None:
    frame = recognition.table1(recognised())
    (table,) = tables(frame, recognition.LAYOUT1, base.BASELINE, {}, marked="student")
    names = [column.name for column in recognition.LAYOUT1.columns_of({"avlips"})]
    for row, values in zip(table.rows, frame.to_dict("records"), strict=True):
        cells = dict(zip(names, row.cells, strict=True))
        assert cells["student"].marks == marks(values["p_seeds_holm"])
        assert cells["p_clips_holm"].marks == marks(values["p_clips_holm"])
        undefined = values["configuration"] in ("student_alone", "ccl")  # these have no teacher
        assert (cells["teacher"].text == rendering.UNDEFINED) == undefined
        assert (cells["teacher"].order == "") == undefined
        assert cells["configuration"].order == values["configuration"]
    assert {cell.marks for row in table.rows for cell in row.cells} > {""}


def test_a_plain_table_sets_numbers_right_and_tells_commands() -> None:
    table = plain_table("c", ("name", "count", "how"), [["a", 1234, Code("dvc repro")]])
    assert table.columns == [("name", False), ("count", True), ("how", False)]
    assert plain_table("c", ("name", "word"), [["a", None]]).rows[0].cells[1].order == ""
    (row,) = table.rows
    assert row.cells[1].text == "1\u202f234"
    assert row.cells[2].code
    assert not row.cells[0].code

"""Table 7 in small on the page: its rows, its picture and its runs."""

from __future__ import annotations

from dataclasses import replace

from amid.report.pairs import noisy_pairs
from tests.report.made import report_data


def test_the_table_the_picture_and_the_runs_are_those_of_the_records() -> None:
    data = report_data()
    (section,) = noisy_pairs(data)
    (table,) = (block for block in section.blocks if block.kind == "table")
    assert [row.cells[2].text for row in table.rows] == ["all", "random", "clipscore"]
    assert {len(row.cells) for row in table.rows} == {10}
    assert [row.cells[3].text for row in table.rows] == [
        *("31.0 ± 1.0", "23.0 ± 2.6", "35.0 ± 5.0"),
    ]
    words = next(block for block in section.blocks if block.kind == "text")
    assert "Only in reports/table7_small.md: R@10, median rank," in str(words)
    (picture,) = next(block for block in section.blocks if block.kind == "pictures").items
    assert "clipscore: R@1 35.0, wrong pairs 18.7" in picture.alt
    origins = {row.name: row for row in table.provenance.rows}
    assert list(origins) == [
        *("all, ratio 1, 40 % wrong", "random, ratio 0.5, 40 % wrong"),
        "clipscore, ratio 0.5, 40 % wrong",
    ]
    runs = data.pairs["avsentences_small"]["random", 0.5, 0.4]
    shown = origins["random, ratio 0.5, 40 % wrong"].runs
    assert [key for _, key, _ in shown] == [run.key for run in runs]


def test_a_page_without_the_runs_has_no_such_section() -> None:
    assert noisy_pairs(replace(report_data(), pairs={})) == []

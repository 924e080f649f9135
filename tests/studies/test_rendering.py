"""Tables for reading say what the frames hold."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pandas as pd
import pytest

from amid.studies import base, folds, recognition, rendering
from amid.studies.rendering import Column, Layout, decimals
from tests.recorded import recognised, runs


def test_markdown_latex_and_csv_hold_the_same_numbers() -> None:
    table = recognition.table4({"ucf51": recognised()["avlips"]})
    text = rendering.markdown(table, recognition.LAYOUT4)
    assert "## ucf51, 3 seeds" in text
    assert "| **AMID (Eq. 17)** | 72.0 ± 2.0 | 88.0 ± 2.0 |" in text
    latex = rendering.latex(table, recognition.LAYOUT4)
    assert r"\begin{tabular}{llrrrr}" in latex
    assert r"teacher & \multicolumn{2}{c}{paper, UCF51} \\" in latex
    assert r"ucf51 & AMID (Eq. 17) & 72.0 $\pm$ 2.0 & 88.0 $\pm$ 2.0 & 73.8 & 75.7 \\" in latex
    read = pd.read_csv(io.StringIO(rendering.to_csv(table)))
    assert read["student"].dropna().tolist() == pytest.approx(
        table["student"].dropna().tolist(), abs=1e-4
    )


def test_the_papers_numbers_stand_beside_its_own_data_set_alone() -> None:
    table = recognition.table1({name: recognised()["avlips"] for name in ("avlips", "ucf51")})
    ours, theirs = rendering.markdown(table, recognition.LAYOUT1).split("## ucf51")
    assert "paper" not in ours
    assert "66.7" not in ours
    assert "| paper: student |" in theirs
    assert "| 66.7 |" in theirs
    assert "The paper's column is its Top-1 on UCF51" in theirs
    latex = rendering.latex(table, recognition.LAYOUT1).splitlines()
    first, second = (line for line in latex if "Baseline" in line)
    assert first.startswith("avlips")
    assert first.endswith(r"& - \\")
    assert second.endswith(r"& 66.7 \\")
    alone = recognition.table1(recognised())
    for text in (
        rendering.markdown(alone, recognition.LAYOUT1),
        rendering.latex(alone, recognition.LAYOUT1),
    ):
        assert "paper" not in text


def test_one_seed_shows_no_deviation_and_no_p() -> None:
    single = {"avlips": {"ccl": runs({"student": 35}), "amid": runs({"student": 36})}}
    text = rendering.markdown(recognition.table1(single), recognition.LAYOUT1)
    assert "| CCL | 70.0 | - | 70.0 | - | - |" in text


def test_cells() -> None:
    row = {"p": 0.0004, "x": 70.25, "x_std": None, "y": None, "name": "l_ft", "n": "a_b"}
    assert rendering.p_value(row, "p", False) == "< .001"
    assert rendering.p_value(row, "p", True) == "$<$ .001"
    assert rendering.p_value({"p": 0.0417}, "p", False) == ".042"
    assert rendering.p_value({"p": 1.0}, "p", False) == "1.000"
    assert rendering.spread(row, "x", False) == "70.3"
    assert rendering.number(row, "y", False) == "-"
    assert rendering.share({"s": 0.25}, "s", False) == "0.25"
    assert rendering.text(row, "n", True) == r"a\_b"
    assert rendering.code({"o": '{"a":1}'}, "o", False) == '`{"a":1}`'
    titled = rendering.titled(base.TITLES, bold="l_ft")
    assert titled(row, "name", False) == "**L_FT**"
    assert titled(row, "name", True) == r"L\_FT"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (8.25, "8.3"),
        (8.249999999999998, "8.3"),  # a mean of exact steps whose last bit lies below
        (8.2499, "8.2"),
        (0.05, "0.1"),
        (-0.05, "-0.1"),
        (-0.04, "0.0"),
        (100.0, "100.0"),
    ],
)
def test_half_a_digit_is_rounded_up_whatever_the_last_bit(value: float, shown: str) -> None:
    assert decimals(value) == shown
    read_back = float(f"{value:.4f}")  # as whoever reads the CSV file has it
    assert decimals(read_back) == shown


def test_decimals_with_a_sign() -> None:
    assert [decimals(x, sign="+") for x in (8.25, -8.25, -0.01)] == ["+8.3", "-8.3", "+0.0"]
    assert decimals(0.125, 2) == "0.13"


def test_a_table_without_rows_is_a_sentence() -> None:
    table = folds.table3(folds.per_fold({}))
    for text in (
        rendering.markdown(table, folds.LAYOUT),
        rendering.latex(table, folds.LAYOUT),
    ):
        assert "nothing to cross-validate" in text
        assert "tabular" not in text
    assert rendering.to_csv(table).startswith("dataset,setup,configuration")


def test_the_files_of_a_table(tmp_path) -> None:
    layout = Layout("T", (Column("x", "x", "x", rendering.number),), "Note.", heading="{dataset}")
    table = pd.DataFrame({"dataset": ["one", "two"], "x": [1.0, 2.0]})
    paths = rendering.write(table, layout, tmp_path / "reports", "t")
    assert [path.name for path in paths] == ["t.csv", "t.md", "t.tex"]
    assert paths[0].read_bytes() == b"dataset,x\none,1.0000\ntwo,2.0000\n"
    markdown = "# T\n\n## one\n\n| x |\n|---:|\n| 1.0 |\n\n## two\n\n| x |\n|---:|\n| 2.0 |\n\n"
    assert paths[1].read_text() == f"{markdown}Note.\n"
    assert paths[2].read_text().count(r"\hline") == 4


def test_latex_leaves_out_what_has_no_header_there() -> None:
    shown = recognition.LAYOUT1.columns
    hidden = replace(recognition.LAYOUT1, columns=tuple(replace(c, latex=None) for c in shown[1:]))
    latex = rendering.latex(recognition.table1(recognised()), hidden)
    assert r"avlips \\" in latex


HOSTILE = [
    "a|b",
    "`ls`",
    "``x` |",
    "**bold**",
    "[here](javascript:alert(1))",
    "<script>alert(1)</script>",
    "&lt;b&gt;",
    "100 % of $x_1^2$ & #3 {~}",
    "\\input{/etc/passwd}",
    "two\nlines | \r\n---",
    "\x1b[2Jcleared",
    "=HYPERLINK(1)",
]
SMALL = Layout(
    "T", (Column("x", "x", "x", rendering.text), Column("y", "y", "y", rendering.code)), ""
)


@pytest.mark.parametrize("content", HOSTILE)
def test_foreign_text_stays_one_cell_of_text(content: str) -> None:
    table = pd.DataFrame([{"dataset": "own", "seeds": 1, "x": content, "y": content}])
    text = rendering.markdown(table, SMALL)
    lines = text.splitlines()
    assert lines[:4] == ["# T", "", "## own, 1 seeds", ""]
    assert lines[4:6] == ["| x | y |", "|---:|---:|"]
    cell = lines[6]
    assert lines[7:] == ["", ""]
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", cell.replace(r"\\", ""))) == 3
    plain, code = re.split(r"(?<!\\) \| ", cell, maxsplit=1)
    assert not re.search(r"(?<!\\)[`*\[\]]|[<>]", plain.replace(r"\\", ""))
    fence = re.match("`+", code).group()
    assert code.removesuffix(" |").endswith(fence)
    assert fence not in code.removesuffix(" |")[len(fence) : -len(fence)]
    assert text.isprintable() or set(text) - {"\n"} == {c for c in text if c.isprintable()}


@pytest.mark.parametrize("content", HOSTILE)
def test_foreign_text_is_no_command_to_latex(content: str) -> None:
    table = pd.DataFrame([{"dataset": "own", "seeds": 1, "x": content, "y": content}])
    (line,) = [line for line in rendering.latex(table, SMALL).splitlines() if "own" in line]
    line = line.removesuffix(r" \\").replace(r"\texttt{", "", 1)
    for known in (r"\textbackslash{}", r"\textasciitilde{}", r"\textasciicircum{}"):
        line = line.replace(known, "")
    line = re.sub(r"\\[_%&#{}$]", "", line)  # what is left: two ends of cells, one brace
    assert not set(line) & set("\\$~^#%_{")
    assert (line.count("&"), line.count("}")) == (2, 1)


def test_csv_gives_back_every_text_as_it_was() -> None:
    table = pd.DataFrame({"class": HOSTILE, "value": [0.5] * len(HOSTILE)})
    read = pd.read_csv(io.StringIO(rendering.to_csv(table), newline=""), lineterminator="\n")
    assert read["class"].tolist() == HOSTILE
    assert "=HYPERLINK(1),0.5000" in rendering.to_csv(table)

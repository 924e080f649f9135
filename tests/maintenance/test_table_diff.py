"""What became of the tables since another commit, for the summary of a job."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from amid.maintenance.table_diff import CellChange, as_markdown, diff_tables
from tests.small import ROOT
from tests.warm import python

HEAD = "dataset,weight,value,student\n"
BEFORE = HEAD + "avlips,alpha,1,70.5\navlips,alpha,2,71.0\navlips,beta,1,72.0\n"


def test_equal_tables_have_no_changes_in_any_order_of_rows() -> None:
    assert diff_tables(BEFORE, BEFORE) == []
    first, *rows = BEFORE.splitlines()
    assert diff_tables(BEFORE, "\n".join([first, *reversed(rows)])) == []


def test_a_cell_is_told_by_the_columns_that_name_its_row() -> None:
    found = diff_tables(BEFORE, BEFORE.replace("71.0", "71.25"))
    assert found == [CellChange(("avlips", "alpha", "2"), "student", "71.0", "71.25")]
    assert (
        as_markdown(found).splitlines()[2] == "| avlips alpha 2 | student | 71.0 | 71.25 | +0.25 |"
    )


def test_rows_and_columns_that_come_and_go() -> None:
    after = HEAD.replace("\n", ",teacher\n") + "avlips,alpha,1,70.5,80\ngrid,alpha,1,60.0,\n"
    assert diff_tables(BEFORE, after) == [
        CellChange(("avlips", "alpha", "1"), "teacher", "", "80"),
        CellChange(("grid", "alpha", "1"), "student", "", "60.0"),
        CellChange(("avlips", "alpha", "2"), "student", "71.0", ""),
        CellChange(("avlips", "beta", "1"), "student", "72.0", ""),
    ]
    assert diff_tables(HEAD, HEAD) == []
    assert len(diff_tables(HEAD, BEFORE)) == 3


def test_cells_cannot_break_the_table() -> None:
    line = as_markdown([CellChange(("a|b",), "c", "<img>", "")]).splitlines()[2]
    assert line == "| a\\|b | c | &lt;img&gt; | - |  |"


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("within", [".", "research/amid"])
def test_the_command(tmp_path: Path, within: str) -> None:
    """Also where the project is a folder of a larger repository."""
    project = tmp_path / within

    def run(*words: str) -> subprocess.CompletedProcess:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "GIT_CONFIG_GLOBAL": os.devnull}
        return subprocess.run(
            words, cwd=project, env=environment, capture_output=True, text=True, check=False
        )

    reports = project / "reports"
    reports.mkdir(parents=True)
    for name in ("table1", "table2"):
        (reports / f"{name}.md").write_text(f"# {name}\n\n## avlips\n")
        (reports / f"{name}.csv").write_text(BEFORE)
    run("git", "init", "-q", "-b", "main", str(tmp_path))
    run("git", "add", "reports/table1.csv")
    run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "one")
    (reports / "table1.csv").write_text(BEFORE.replace("71.0", "69.0"))
    summary = run(python(), "-m", "stages.summary", "main")
    assert summary.returncode == 0, summary.stderr
    assert "## table1\n\n### avlips" in summary.stdout
    assert "1 cells of reports/table1.csv differ from main." in summary.stdout
    assert "| avlips alpha 2 | student | 71.0 | 69.0 | -2 |" in summary.stdout
    assert "New: main has no reports/table2.csv." in summary.stdout
    for base in ("nowhere", "--output=x"):
        wrong = run(python(), "-m", "stages.summary", base)
        assert wrong.returncode == 1
        assert wrong.stderr.startswith(f"error: git knows no commit '{base}'")
    assert not (project / "x").exists()
    command = f"{python()} -m stages.summary main | head -n 1; echo ${{PIPESTATUS[0]}}"
    (reports / "table1.md").write_text("# table1\n" + "long\n" * 100_000)
    piped = run("bash", "-c", command)
    assert (piped.stdout, piped.stderr) == ("## table1\n141\n", "")

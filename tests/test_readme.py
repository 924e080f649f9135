"""What the README shows is what the committed tables hold, and what it names exists."""

from __future__ import annotations

import csv
import re
import subprocess

import pytest

from amid.methods import METHODS
from amid.results import TITLES
from tests.small import ROOT
from tests.test_dag import stages

README = (ROOT / "README.md").read_text(encoding="utf-8")


def committed(name: str) -> str:
    """A file as of HEAD: a user's own run changes the one in the working tree."""
    command = ["git", "show", f"HEAD:{name}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no committed {name} to compare with")
    return done.stdout


def test_the_table_is_the_committed_one() -> None:
    shown = {cells[0]: cells[1:] for cells in _rows(README) if len(cells) == 5}
    rows = list(csv.DictReader(committed("reports/table4.csv").splitlines()))
    assert len(rows) == len(TITLES)
    for row in rows:
        wanted = [
            f"{float(row[h]):.1f} ± {float(row[f'{h}_std']):.1f}" if row[h] else "-"
            for h in ("student", "teacher")
        ]
        wanted += [
            f"{float(row[f'paper_{h}']):.1f}" if row[f"paper_{h}"] else "-"
            for h in ("student", "teacher")
        ]
        assert shown[TITLES[row["configuration"]]] == wanted


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if not target.startswith(("http://", "https://")):
                assert (page.parent / target).exists(), (page.name, target)


def test_every_stage_is_explained_and_every_make_target_exists() -> None:
    for name in stages():
        assert f"| `{name}` |" in README
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`?make (\w+)", README)):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_the_places_to_touch_for_an_addition_exist() -> None:
    """The README's table of what an addition touches, walked."""
    for method, module in METHODS.items():
        assert module == f"amid.methods.{method}"
        assert (ROOT / "amid" / "methods" / f"{method}.py").exists()
    for place in ("amid/datasets/__init__.py", "amid/results.py", "stages", "dvc.yaml"):
        assert (ROOT / place).exists()


def _rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("*") for cell in line.strip("|").split("|")] for line in lines]

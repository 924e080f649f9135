"""What the README shows is what the committed tables hold, and what it names exists."""

from __future__ import annotations

import csv
import re
import subprocess

import pytest

from amid import config
from amid.layouts import BASELINE
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
    assert len(rows) == len(config.load(ROOT / "params.yaml").table4)
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


def test_the_comparison_is_the_committed_one() -> None:
    shown = {cells[0]: cells[1:] for cells in _rows(README) if len(cells) == 4}
    tables = [
        {r["configuration"]: r for r in csv.DictReader(committed(name).splitlines())}
        for name in ("reports/table1.csv", "reports/table2.csv")
    ]
    assert list(tables[0]) == config.load(ROOT / "params.yaml").table1
    for name, row in tables[0].items():
        cells = [(row, "student"), (tables[1][name], "r@1"), (tables[1][name], "r@5")]
        wanted = [f"{float(r[key]):.1f} ± {float(r[f'{key}_std']):.1f}" for r, key in cells]
        assert shown[BASELINE[name]] == wanted


def test_configurations_hold_what_the_search_chose() -> None:
    """Every compared method has the setting that validation chose; AMID keeps the paper's weights,
    and has a row with the chosen ones beside."""
    params = config.load(ROOT / "params.yaml")
    rows = csv.DictReader(committed("reports/tune.csv").splitlines())
    trials = {r["configuration"]: int(r["trial"]) for r in rows if r["chosen"] == "True"}
    chosen = {name: params.tune.trials[name][trial] for name, trial in trials.items()}
    assert set(chosen) == set(params.tune.trials)
    rows_of = {name: name for name in params.sections["compared"]} | {"amid_tuned": "amid"}
    for name, searched in rows_of.items():
        options = params.resolved(name).options
        for key, value in chosen[searched].items():
            assert getattr(options, key) == value, (name, key)


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if not target.startswith(("http://", "https://")):
                assert (page.parent / target).exists(), (page.name, target)


def test_every_stage_is_explained_and_every_make_target_exists() -> None:
    for name in stages():
        assert re.search(rf"\| `{name}`(, on request)? \|", README), name
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`make ([\w-]+)", README)):
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

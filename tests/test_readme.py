"""What the README and docs/ show is what the committed tables hold, and what they name exists."""

from __future__ import annotations

import ast
import csv
import importlib
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from amid.augmentations import AUGMENTATIONS
from amid.datasets import DATASETS
from amid.executors import EXECUTORS
from amid.extractors import EXTRACTORS
from amid.methods import METHODS, PAIR_METHODS
from amid.networks import ENCODERS
from amid.studies import STUDIES, load_params
from amid.studies.base import BASELINE, TITLES
from amid.studies.rendering import decimals
from tests.small import ROOT, committed
from tests.test_dag import A_DATA_SET, FILES, ON_REQUEST, stages

README = (ROOT / "README.md").read_text(encoding="utf-8")
PIPELINE = (ROOT / "docs" / "pipeline.md").read_text(encoding="utf-8")
STUDIES_PAGE = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")


def test_the_readme_is_at_most_150_lines_with_one_picture() -> None:
    assert len(README.splitlines()) <= 150
    assert len(re.findall(r"!\[", README)) == 1


# Rows of Tables 4, 1 and 2 that the documents show; those that somebody added they need not.
OWN_TERMS = ("student_alone", "teacher_alone", "l_ft", "l_ft_l_fa", "amid", "amid_ccl")
OWN_TERMS += ("amid_ccl_tau01",)
OWN_ROWS = ("student_alone", "crd", "gmc", "ccl", "crcd", "amid", "amid_tuned")


def committed_rows(name: str, declared: list[str]) -> dict[str, dict[str, str]]:
    """Configuration -> row of avlips in a committed table, in the order of params.yaml, which may
    ask for rows that are not committed yet."""
    table = csv.DictReader(committed(name).splitlines())
    rows = {row["configuration"]: row for row in table if row["dataset"] == "avlips"}
    assert list(rows) == [name for name in declared if name in rows]
    return rows


def test_the_table_of_the_terms_is_the_committed_one() -> None:
    shown = {cells[0]: cells[1:] for cells in _rows(STUDIES_PAGE) if len(cells) == 5}
    rows = committed_rows("reports/table4.csv", load_params(ROOT / "params.yaml").table4)
    named = {name for name in rows if TITLES.get(name, name) in shown}
    assert named >= set(OWN_TERMS)
    for row in (rows[name] for name in named):
        wanted = [
            f"{decimals(float(row[h]))} ± {decimals(float(row[f'{h}_std']))}" if row[h] else "-"
            for h in ("student", "teacher")
        ]
        wanted += [
            decimals(float(row[f"paper_{h}"])) if row[f"paper_{h}"] else "-"
            for h in ("student", "teacher")
        ]
        assert shown[TITLES.get(row["configuration"], row["configuration"])] == wanted


def test_the_comparison_is_the_committed_one() -> None:
    shown = {cells[0]: cells[1:] for cells in _rows(README) if len(cells) == 4}
    shown = {title: cells for title, cells in shown.items() if title not in ("method", "---")}
    declared = load_params(ROOT / "params.yaml").table1
    first, second = (
        committed_rows(name, declared) for name in ("reports/table1.csv", "reports/table2.csv")
    )
    assert list(first) == list(second)
    of = {BASELINE.get(name, name): name for name in first}
    assert set(shown) <= set(of)
    assert {of[title] for title in shown} >= set(OWN_ROWS)
    for title, numbers in shown.items():
        one, other = first[of[title]], second[of[title]]
        cells = [(one, "student"), (other, "r@1"), (other, "r@5")]
        assert numbers == [
            f"{decimals(float(r[key]))} ± {decimals(float(r[f'{key}_std']))}" for r, key in cells
        ]


def test_configurations_hold_what_the_search_chose() -> None:
    """Every compared method that was searched has the setting that validation chose; AMID keeps the
    published numbers, and has a row with the chosen ones beside."""
    params = load_params(ROOT / "params.yaml")
    rows = csv.DictReader(committed("reports/tune.csv").splitlines())
    trials = {r["configuration"]: int(r["trial"]) for r in rows if r["chosen"] == "True"}
    chosen = {name: params.tune.trials[name][trial] for name, trial in trials.items()}
    assert set(chosen) == set(params.tune.trials)

    def holds(name: str, searched: str) -> bool:
        found = params.resolved(name)
        numbers = chosen[searched].items()
        same = found.method == params.resolved(searched).method
        return same and all(getattr(found.options, key) == value for key, value in numbers)

    for searched in set(chosen) - {"amid_ccl"}:
        rows = [name for name in params.table_benchmark.configurations if holds(name, searched)]
        assert rows, f"no row of the benchmark has what the search chose for {searched}"
    compared = chosen.keys() & params.sections["compared"]
    assert len(compared) >= 4  # an added method is not searched yet
    for name in compared:
        assert holds(name, name)
    assert holds("amid_tuned", "amid")


def test_links_lead_somewhere() -> None:
    found = 0
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if not target.startswith(("http://", "https://")):
                assert (page.parent / target).exists(), (page.name, target)
                found += 1
    assert found > 50


# Tables and figures of the paper, which docs/pipeline.md lists; of added studies it may.
OWN_TABLES = {"table1", "table2", "table3", "table4", "table5", "table6", "table_seeds"}
OWN_TABLES |= {"figure3", "figure4", "figure5", "report"}


def test_every_stage_has_its_row_with_its_file_and_its_outs() -> None:
    """docs/pipeline.md; what a stage does is its `desc` alone."""
    rows = {cells[0]: cells[1:] for cells in _rows(PIPELINE) if len(cells) == 3}
    rows = {name: cells for name, cells in rows.items() if name not in ("stage", "---")}
    place = {
        name: file
        for file in FILES
        for name in YAML(typ="safe").load((ROOT / file).read_text())["stages"]
    }
    named = {re.match(r"`(\w+)`(, on request)?$", cell)[1]: cell for cell in rows}
    assert {"check"} | A_DATA_SET | ON_REQUEST | OWN_TABLES <= set(named)
    assert {name for name, cell in named.items() if cell.endswith("request")} == ON_REQUEST
    found = stages()
    for name, cell in named.items():
        row, stage = rows[cell], found[name]
        assert row[0] == f"`{place[name]}`", name
        outs = [*stage["outs"], *stage.get("metrics", [])]
        made = {Path(next(iter(out)) if isinstance(out, dict) else out).parts[-1] for out in outs}
        made = {out.replace("${item.dataset}", "<ds>") for out in made}
        assert {Path(out).name for out in _braces(row[1])} == made, name


def _braces(cell: str) -> list[str]:
    """The paths in a cell, `a.{b,c}` written out."""
    found = []
    for path in re.findall(r"`([^`]+)`", cell):
        head, *rest = re.split(r"[{}]", path)
        found += [f"{head}{end}" for end in rest[0].split(",")] if rest else [path.rstrip("/")]
    return found


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    wanted = set(re.findall(r"`make ([\w-]+)", README)) | set(
        re.findall(r"^make (\w+)", README, re.M)
    )
    assert {"repro", "test"} <= wanted
    for target in wanted:
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_the_table_of_additions_names_dicts_and_walks_that_exist() -> None:
    dicts = {
        "methods": METHODS,
        "studies": STUDIES,
        "networks": ENCODERS,
        "extractors": EXTRACTORS,
        "datasets": DATASETS,
        "augmentations": AUGMENTATIONS,
        "executors": EXECUTORS,
    }
    named = set()
    for _, touched, walk in (cells for cells in _rows(README) if len(cells) == 3):
        assert walk in ("walk", "---") or re.search(r"\(docs/[\w-]+\.md(#[\w-]+)?\)$", walk)
        if line := re.search(r"a file in `amid/(\w+)/`, a line in `(\w+)`", touched):
            module = importlib.import_module(f"amid.{line[1]}")
            assert getattr(module, line[2]) is dicts[line[1]]
            named.add(line[1])
    assert named == set(dicts)


def test_links_to_sections_lead_to_one() -> None:
    found = 0
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#([\w-]+)\)", text):
            if not target.startswith(("http://", "https://")):
                other = (page.parent / target if target else page).read_text(encoding="utf-8")
                assert anchor in _anchors(other), (page.name, target, anchor)
                found += 1
    assert found > 10


def _anchors(text: str) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# Folder of plug-ins -> their dict, and what makes a file of the folder one of them.
PLUG_INS = {
    "methods": ({**METHODS, **PAIR_METHODS}, {"Options", "build"}),
    "datasets": (DATASETS, {"Options", "fetch", "rows"}),
    "extractors": (EXTRACTORS, {"Options", "shape", "extract"}),
}


@pytest.mark.parametrize("folder", PLUG_INS)
def test_a_plug_in_is_one_file_and_one_line_of_its_dict(folder: str) -> None:
    """Neither a line without its file nor a file that nothing can find by name."""
    named, contract = PLUG_INS[folder]
    assert named == {name: f"amid.{folder}.{name}" for name in named}
    found = set()
    for path in (ROOT / "amid" / folder).glob("*"):
        file = path / "__init__.py" if path.is_dir() else path
        if file.suffix == ".py" and file.exists() and contract <= defined(file):
            found.add(path.stem)
    assert found == set(named)


def defined(path: Path) -> set[str]:
    """Names that a module has at its top: its own and those it imports."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign):
            names.add(node.target.id)
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


TOP = "amid|benchmarks|docs|findings|pipelines|stages|tests"


def unknown(text: str) -> set[str]:
    """Files, folders and modules to run of this repository that a text names and that are not
    there, but for those that the text tells to make (New: `path`) and for NAME in capitals."""
    paths = set(re.findall(rf"(?<![\w./-])((?:{TOP})/[\w./-]*\w)", text))
    paths -= set(re.findall(r"New: `([\w./-]+)`", text))
    missing = {path for path in paths if not (ROOT / path).exists() and "NAME" not in path}
    for module in re.findall(rf"-m ((?:{TOP})(?:\.\w+)+)", text):
        path = ROOT / module.replace(".", "/")
        if not path.with_suffix(".py").exists() and not (path / "__main__.py").exists():
            missing.add(module)
    return missing | {name for name in re.findall(r"`(amid(?:\.\w+)+)", text) if not _leads(name)}


def _leads(name: str) -> bool:
    """Whether a dotted name is a module of the project, or something defined at the top of one."""
    if name == "amid.run":  # a tag in MLflow
        return True
    path, words = ROOT, name.split(".")
    while words and (path / words[0]).is_dir():
        path /= words.pop(0)
    if words and (path / f"{words[0]}.py").exists():
        path /= f"{words.pop(0)}.py"
    else:
        path /= "__init__.py"
    return not words or words[0] in defined(path)


def test_what_the_pages_name_exists() -> None:
    pages = (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
    found = {page.name: unknown(page.read_text(encoding="utf-8")) for page in pages}
    assert {name: missing for name, missing in found.items() if missing} == {}


def test_a_name_that_leads_nowhere_is_found() -> None:
    text = "`amid/nowhere.py`, tests/test_readme.py, `python -m stages.nothing avlips`; "
    text += (
        "New: `amid/losses/new.py`\n`amid.config.load`, `amid.config.lode`, `amid.methods.METHODS`"
    )
    assert unknown(text) == {"amid/nowhere.py", "stages.nothing", "amid.config.lode"}


def _rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("*") for cell in line.strip("|").split("|")] for line in lines]

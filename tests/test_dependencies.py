"""Every package is pinned, and no pin is a version known to be bad."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from _pytest.mark.expression import Expression
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.small import ROOT

LISTS = ("requirements.txt", "requirements-paper.txt", "requirements-scale.txt", "constraints.txt")


def pins(text: str) -> dict[str, str]:
    """Package -> version of a list in which everything is pinned by ==."""
    found = {}
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if line:
            match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.+!]+)", line)
            assert match, f"{line!r} does not pin one version"
            name = canonicalize_name(match[1])
            assert name not in found, f"{name} stands there twice"
            found[name] = match[2]
    return found


def needed(roots: set[str]) -> dict[str, str]:
    """Package -> who asks for it: what the roots require here, and what that requires."""
    found = dict.fromkeys(roots, "requirements.txt")
    waiting = [(name, frozenset()) for name in roots]
    seen = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        for text in metadata.requires(name) or ():
            wanted = Requirement(text)
            applies = wanted.marker is None or any(
                wanted.marker.evaluate({"extra": extra}) for extra in (extras or {""})
            )
            if applies:
                other = canonicalize_name(wanted.name)
                found.setdefault(other, name)
                waiting.append((other, frozenset(wanted.extras)))
    return found


def installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def bad(name: str, version: str, table: list[dict]) -> list[str]:
    """Why this version of the package must not be used."""
    found = []
    for entry in table:
        if canonicalize_name(entry["package"]) == name:
            below = "below" in entry and Version(version) < Version(entry["below"])
            if below or version in entry.get("only", []):
                found.append(entry["why"])
    return found


def known_bad() -> list[dict]:
    return tomllib.loads((ROOT / "tests" / "known_bad.toml").read_text(encoding="utf-8"))["bad"]


def all_pins() -> dict[str, dict[str, str]]:
    return {name: pins((ROOT / name).read_text(encoding="utf-8")) for name in LISTS}


def test_the_lists_agree() -> None:
    every = all_pins()
    constraints, paper = every["constraints.txt"], every["requirements-paper.txt"]
    for listed in ("requirements.txt", "requirements-scale.txt"):
        for name, version in every[listed].items():
            assert constraints[name] == version, name
    for name, version in paper.items():
        assert constraints.get(name, version) == version, name


def test_everything_that_is_required_is_pinned() -> None:
    every = all_pins()
    constraints = every["constraints.txt"]
    optional = every["requirements-scale.txt"].keys()
    there = {name for name in optional if installed(name)}
    asked = needed({*every["requirements.txt"], *there})
    loose = {name: by for name, by in asked.items() if name not in constraints}
    assert loose == {}, "not in constraints.txt, but required by"


def test_what_is_installed_is_what_is_pinned() -> None:
    versions = {
        canonicalize_name(found.metadata["Name"]): Version(found.version).public
        for found in metadata.distributions()
    }
    constraints = all_pins()["constraints.txt"]
    both = constraints.keys() & versions.keys()  # some are for other systems
    assert len(both) > 100
    assert {name: versions[name] for name in both} == {name: constraints[name] for name in both}


@pytest.mark.parametrize("name", LISTS)
def test_no_pin_is_known_to_be_bad(name: str) -> None:
    table = known_bad()
    found = {package: bad(package, v, table) for package, v in all_pins()[name].items()}
    assert {package: why for package, why in found.items() if why} == {}


def test_the_list_of_bad_versions_is_one() -> None:
    table = known_bad()
    assert len(table) > 20
    for entry in table:
        assert set(entry) in ({"package", "below", "why"}, {"package", "only", "why"})
        assert "below" not in entry or re.search(r"CVE-\d{4}-\d+", entry["why"])
    pinned = set().union(*all_pins().values())
    assert {canonicalize_name(entry["package"]) for entry in table} <= pinned


def test_a_bad_pin_is_found() -> None:
    table = known_bad()
    assert "CVE-2025-32434" in bad("torch", "2.5.1", table)[0]
    assert bad("torch", "2.6.0", table) == []
    assert bad("mlflow", "3.18.0", table) == [table[0]["why"]]
    assert bad("mlflow", "3.17.2", table) == []
    assert [bool(bad("numpy", f"2.5.{n}", table)) for n in (1, 2, 3, 4)] == [
        False,
        True,
        True,
        False,
    ]


LOOSE = ["torch", "torch>=2.6", "torch==2.*", "git+https://h/x", "a==1,<2"]


@pytest.mark.parametrize("line", LOOSE)
def test_a_loose_line_is_no_pin(line: str) -> None:
    with pytest.raises(AssertionError, match="does not pin"):
        pins(f"numpy==2.4.6\n{line}  # why\n")


def test_what_a_package_requires_is_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = {
        "a": ["B>=1", "never; extra == 'x'", "d[speed]"],
        "b": ["c; python_version >= '3'", "old; python_version < '3'"],
        "c": ["a"],
        "d": ["fast; extra == 'speed'"],
        "fast": None,
    }
    monkeypatch.setattr(metadata, "requires", tree.__getitem__)
    assert needed({"a"}) == {"a": "requirements.txt", "b": "a", "d": "a", "c": "b", "fast": "d"}


def commands_of_ci() -> list[str]:
    """The lines of .ci/run that stand for themselves: neither comments nor within a condition."""
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    return [line for line in lines if line and line[0] not in "# "]


def made_by(target: str) -> list[str]:
    """The words of the last command that `make target` would run."""
    command = ["make", "--no-print-directory", "-n", "-o", "install", target]
    outside = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        command, cwd=ROOT, env=outside, capture_output=True, text=True, check=True
    )
    return shlex.split(done.stdout.strip().splitlines()[-1])


def test_ci_runs_these_tests_and_fails_with_them(tmp_path: Path) -> None:
    """`make test`, as .ci/run calls it, pointed at a folder with one test of each kind."""
    commands = commands_of_ci()
    assert commands[0] == "set -euo pipefail"
    assert "make test" in commands
    assert commands[-1].startswith(".venv/bin/python -m pytest ")  # its closing line is the last
    program, *words = made_by("test")
    assert program == "pytest"
    assert not [word for word in words if word.startswith(("tests", "--ignore", "--deselect"))]
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(THREE_TESTS)
    words = ["-p", "xdist", *words, "-n", "0"]  # three tests want no processes of their own
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "1 failed, 1 passed, 1 deselected in" in done.stdout.splitlines()[-1]


THREE_TESTS = """
import pytest

def test_right():
    assert True

def test_wrong():
    assert False

@pytest.mark.slow
def test_slow():
    assert False
"""


def test_the_longest_groups_of_tests_begin() -> None:
    from tests.conftest import APART, group, pytest_collection_modifyitems

    def item(nodeid: str, seconds: int | None = None) -> SimpleNamespace:
        mark = pytest.mark.slow.mark if seconds is None else pytest.mark.slow(seconds=seconds).mark
        return SimpleNamespace(nodeid=nodeid, get_closest_marker={"slow": mark}.get)

    apart = sorted(APART)[0]
    items = [
        item("tests/test_a.py::test_one", 10),
        item(f"tests/test_a.py::{apart}[x]", 90),
        item("tests/test_b.py::test_two"),
        item("tests/test_c.py::test_three[a::b]", 50),
        item("tests/test_c.py::test_four", 60),
        item(f"tests/test_a.py::{apart}[y]", 80),
    ]
    given = [*items]
    pytest_collection_modifyitems(items)
    assert items == [given[n] for n in (3, 4, 1, 5, 0, 2)]
    assert [group(one.nodeid) for one in given[1:4]] == [
        f"tests/test_a.py::{apart}[x]",
        "tests/test_b.py",
        "tests/test_c.py",
    ]


def test_tests_that_are_a_group_of_their_own_are_there() -> None:
    from tests.conftest import APART

    text = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert {name for name in APART if f"\ndef {name}(" in text} == APART


def test_ci_runs_every_slow_test_once() -> None:
    """Its calls of pytest after `make test` split the slow part by expressions of markers."""
    calls = [shlex.split(line) for line in commands_of_ci() if "-m pytest" in line]
    chosen = [call[call.index("pytest") + 1 :] for call in calls]
    expressions = [words[words.index("-m") + 1] for words in chosen]
    for alone in (True, False):
        marks = {"slow": True, "alone": alone}
        fitting = [e for e in expressions if Expression.compile(e).evaluate(marks.__getitem__)]
        assert len(fitting) == 1, marks

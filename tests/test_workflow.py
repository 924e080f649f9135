"""The ready workflow for GitHub Actions runs what exists, and may write nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.small import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def workflow(path: Path) -> dict:
    return YAML(typ="safe").load(path.read_text())


def steps(path: Path) -> list[dict]:
    return [step for job in workflow(path)["jobs"].values() for step in job["steps"]]


def test_there_is_one() -> None:
    assert [path.name for path in FILES] == ["reproduce.yml"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_command_is_a_target_or_a_module_that_exists(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    commands = [step["run"] for step in steps(path) if "run" in step]
    assert commands
    for command in commands:
        assert "${{" not in command, "names of branches must not become commands"
        if target := re.fullmatch(r"make ([\w-]+)", command):
            assert re.search(rf"^{target[1]}:", makefile, re.M), command
        else:
            module = re.match(r"\.venv/bin/python -m ([\w.]+)( |$)", command)[1]
            assert (ROOT / (module.replace(".", "/") + ".py")).exists(), command


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_does_the_tests_the_gate_and_the_summary(path: Path) -> None:
    text = "\n".join(step["run"] for step in steps(path) if "run" in step)
    for part in ("make test", "make check-repro", 'stages.summary "$BASE" >> "$GITHUB_STEP_SUM'):
        assert part in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_actions_are_pinned_and_the_token_reads_only(path: Path) -> None:
    assert workflow(path)["permissions"] == {"contents": "read"}
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w-]+@(v\d+(\.\d+)*|[0-9a-f]{40})", u) for u in used), used
    for step in steps(path):
        if "setup-python" in step.get("uses", ""):
            assert step["with"]["python-version"] == "3.11"
            assert step["with"]["cache"] == "pip"
            for file in step["with"]["cache-dependency-path"].split():
                assert (ROOT / file).exists()

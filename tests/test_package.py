"""The package that others install: `amid` alone, whose losses need torch and nothing else."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from amid.tracking.registry import SERVED_WITH
from tests.small import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOSS = "amid.losses.mutual_information"


def script() -> str:
    """The training script of docs/use-the-losses.md."""
    page = (ROOT / "docs" / "use-the-losses.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    return found


def python(code: str, *words: str, path: str = str(ROOT), program: str = sys.executable):
    """A Python of its own in which nothing but `path` is added to what its environment has."""
    return subprocess.run(
        [program, *words, "-c", code],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        cwd=os.sep,
        capture_output=True,
        text=True,
    )


def listed(*names: str) -> set[str]:
    """Requirements of the lists at the root."""
    lines = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in names).splitlines()
    found = {line.partition("#")[0].strip() for line in lines}
    return {line for line in found if line and not line.startswith("-r ")}


def test_extras_are_the_lists_that_the_project_installs() -> None:
    assert PROJECT["dependencies"] == ["torch>=2.6"]
    assert set(EXTRAS["paper"]) == listed("requirements-paper.txt")
    assert set(EXTRAS["scale"]) == listed("requirements-scale.txt")
    wanted = listed("requirements.txt", "requirements-dev.txt")
    assert set(EXTRAS["dev"]) == {"amid[scale]", *wanted}
    pinned = dict(line.split("==") for line in wanted)
    for name, floor in (line.split(">=") for line in EXTRAS["student"]):
        assert pinned[name] == floor
    served = {Requirement(line).name for line in EXTRAS["student"]}
    assert served == set(SERVED_WITH) - {"mlflow", "torch"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pip wheel .` makes, by the build backend itself."""
    folder = tmp_path_factory.mktemp("wheel")
    code = f"from hatchling.build import build_wheel; build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_amid_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        said = f"amid-{PROJECT['version']}.dist-info"
        about = metadata.PathDistribution(zipfile.Path(archive, f"{said}/"))
        needs = [Requirement(line) for line in about.requires]
        assert {name.split("/")[0] for name in names} == {"amid", said}
        assert (about.version, about.metadata["License-Expression"]) == (PROJECT["version"], "MIT")
        assert archive.read(f"{said}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert [str(need) for need in needs if need.marker is None] == ["torch>=2.6"]
    tracked = subprocess.run(
        ["git", "ls-files", "amid"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert names >= set(tracked.stdout.split())
    assert not [name for name in names if "__pycache__" in name]


def test_every_loss_needs_torch_alone() -> None:
    code = "import sys, torch\nbefore = set(sys.modules)\n"
    for path in sorted((ROOT / "amid" / "losses").glob("[!_]*.py")):
        code += f"import amid.losses.{path.stem}\n"
    code += "print([m for m in sys.modules if m not in before and not m.startswith('amid')])\n"
    code += "print(sorted({m for m in sys.modules if m.startswith('amid')}))"
    done = python(code)
    assert done.returncode == 0, done.stderr
    others, ours = map(ast.literal_eval, done.stdout.splitlines())
    assert others == []
    assert LOSS in ours
    assert all(name in ("amid", "amid.losses") or name[:12] == "amid.losses." for name in ours)


def test_a_loss_is_imported_in_less_than_1_2_of_torchs_time() -> None:
    """By the interpreter's own clock of each module, as two runs differ more on a busy machine."""
    done = python(f"import {LOSS}", "-X", "importtime")
    assert done.returncode == 0, done.stderr
    spent = re.findall(r"^import time: +(\d+) \| +(\d+) \| +(\S+)$", done.stderr, re.M)
    ours = sum(int(own) for own, _, name in spent if name.split(".")[0] == "amid")
    (torch,) = (int(whole) for _, whole, name in spent if name == "torch")
    assert 0 < ours < 0.2 * torch


def check_script(path: str = str(ROOT), program: str = sys.executable) -> None:
    """Runs the page's script and checks what it prints."""
    done = python(script(), "-W", "ignore", path=path, program=program)
    assert done.returncode == 0, done.stderr
    right = ast.literal_eval(done.stdout)
    assert 0.55 < right["student"] < 0.75
    assert right["teacher"] > 0.95


@pytest.mark.slow
def test_the_script_of_the_page_trains() -> None:
    assert len(script().splitlines()) <= 60
    check_script()


def needed(name: str) -> set[str]:
    """A distribution and what it requires here, however deep, extras left out."""
    found, waiting = set(), [canonicalize_name(name)]
    while waiting:
        name = waiting.pop()
        try:
            lines = metadata.requires(name) or ()
        except metadata.PackageNotFoundError:
            continue  # a marker may ask for packages of another system
        found.add(name)
        for need in map(Requirement, lines):
            other = canonicalize_name(need.name)
            applies = need.marker is None or need.marker.evaluate({"extra": ""})
            if applies and other not in found:
                waiting.append(other)
    return found


def link(name: str, folder: Path) -> None:
    """Makes an installed distribution importable from `folder`."""
    found = metadata.distribution(name)
    tops = {file.parts[0] for file in found.files if file.parts[0] not in ("..", "__pycache__")}
    for top in tops:
        (folder / top).symlink_to(found.locate_file(top))


@pytest.mark.slow
def test_the_wheel_in_a_bare_environment(tmp_path: Path) -> None:
    """Built and installed by pip without network; of other packages it sees torch and what torch
    requires, no numpy among them."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(tmp_path), str(ROOT)], check=True)
    (built,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "bare", with_pip=True)
    program = str(tmp_path / "bare" / "bin" / "python")
    command = [program, "-m", "pip", "install", "-q", "--no-index", "--no-deps", str(built)]
    subprocess.run(command, check=True)
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in needed("torch"):
        link(name, packages)
    assert not (packages / "numpy").exists()
    where = python("import amid; print(amid.__file__)", path="", program=program).stdout
    assert where.startswith(str(tmp_path / "bare"))
    check_script(path=str(packages), program=program)
    done = python(f"from {LOSS} import class_aware_nce", path="", program=program)
    assert "No module named 'torch'" in done.stderr

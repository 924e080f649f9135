"""The reproducibility gate: two clean clones of the small profile give the same bytes.

Also against the committed tables: the same bytes where the platform is the one they were made on
(reports/platform.json), else within two standard deviations of the seeds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from amid.core.reproducible import code_fingerprint, derive_seed
from amid.maintenance import reproducibility_check
from amid.methods import METHODS
from tests.small import ROOT
from tests.test_dag import TABLES

pytestmark = pytest.mark.alone  # the gate: two clones at once, each with workers of its own


@pytest.fixture(scope="module")
def clones(tmp_path_factory: pytest.TempPathFactory, warm: Path) -> tuple[Path, Path]:
    """The small profile in two folders, with one and two workers, in two time zones and locales;
    the stages of one are processes of their own from beginning to end, the other's are forked from
    one process."""
    one, two = reproducibility_check.clones(tmp_path_factory.mktemp("gate"))
    path = os.pathsep.join((str(warm), str(Path(sys.executable).parent), os.environ["PATH"]))
    both = one, two._replace(environment={**two.environment, "PATH": path})
    assert [clone.workers for clone in both] == [1, 2]
    assert all(both[0].environment[name] != both[1].environment[name] for name in ("TZ", "LC_ALL"))
    reproducibility_check.reproduce_all(ROOT, both)
    for clone in both:
        assert (
            set(reproducibility_check.terminal_stages(clone.place)) == TABLES
        )  # of which each has run
    return both[0].place, both[1].place


@pytest.mark.slow
def test_two_clean_clones_give_equal_bytes(clones: tuple[Path, Path]) -> None:
    assert len(reproducibility_check.sums(clones[0])) > 5000
    assert reproducibility_check.differing_files(*clones) == []


@pytest.mark.slow
def test_status_is_clean_and_a_second_repro_runs_nothing(clones: tuple[Path, Path]) -> None:
    assert reproducibility_check.not_clean(clones) == []


@pytest.mark.slow
def test_the_committed_tables_are_reproduced(clones: tuple[Path, Path]) -> None:
    if not (ROOT / "reports" / "table4_seeds.csv").exists():
        pytest.skip("no tables are committed")
    assert reproducibility_check.unlike_committed(clones[0]) == []
    locks = [clones[0] / "pipelines" / section / "dvc.lock" for section in ("data", "train")]
    assert len(reproducibility_check.hashes([lock.read_text() for lock in locks])) >= 7


def test_derived_seeds_depend_on_every_part_and_on_nothing_else() -> None:
    assert derive_seed(0, "student") == derive_seed(0, "student")
    parts = [(0, "student"), (1, "student"), (0, "teacher"), (0, "epoch", 1), (0, "epoch", 11)]
    assert len({derive_seed(*p) for p in parts}) == len(parts)
    assert all(0 <= derive_seed(*p) < 2**63 for p in parts)


def test_the_code_fingerprint_sees_code_and_not_comments(tmp_path: Path) -> None:
    package = tmp_path / "amid_like"
    package.mkdir()
    text = '"""Doc."""\nfrom amid.core.types import Batch\n\n\ndef f(x):\n    return x + 1\n'

    def fingerprint() -> str:
        command = [sys.executable, "-c", _FINGERPRINT]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}, text=True,
            capture_output=True, check=True,
        )  # fmt: skip
        return done.stdout

    (package / "__init__.py").write_text(text)
    before = fingerprint()
    (package / "__init__.py").write_text(text.replace('"""Doc."""', '"""Other."""  # why'))
    assert fingerprint() == before
    (package / "__init__.py").write_text(text.replace("x + 1", "x + 2"))
    assert fingerprint() != before


_FINGERPRINT = "from amid.core.reproducible import code_fingerprint as f; print(f('amid_like'))"


def test_a_new_line_in_a_list_of_names_makes_no_run_stale(monkeypatch) -> None:
    before = code_fingerprint("amid.training.train", "amid.methods.amid")
    code_fingerprint.cache_clear()
    read = Path.read_text

    def with_a_new_line(path: Path, *arguments, **options) -> str:
        text = read(path, *arguments, **options)
        changed = path.parts[-2:] in {("methods", "__init__.py"), ("amid", "progress.py")}
        return text + "\nNEW = 1\n" if changed else text

    monkeypatch.setattr(Path, "read_text", with_a_new_line)
    assert code_fingerprint("amid.training.train", "amid.methods.amid") == before
    code_fingerprint.cache_clear()
    monkeypatch.setattr(Path, "read_text", lambda p, *a, **o: read(p, *a, **o) + "\nNEW = 1\n")
    assert code_fingerprint("amid.training.train", "amid.methods.amid") != before
    code_fingerprint.cache_clear()


def test_a_changed_method_makes_its_own_runs_stale_and_no_other_s(monkeypatch) -> None:
    names = ("amid", "baseline", "crd")

    def fingerprints() -> dict[str, str]:
        code_fingerprint.cache_clear()
        return {n: code_fingerprint("amid.training.train", METHODS[n]) for n in names}

    before = fingerprints()
    assert len(set(before.values())) == len(names)
    read = Path.read_text

    def with_a_new_line(path: Path, *arguments, **options) -> str:
        new = "\nNEW = 1\n" if path.parts[-2:] == ("methods", "crd.py") else ""
        return read(path, *arguments, **options) + new

    monkeypatch.setattr(Path, "read_text", with_a_new_line)
    after = fingerprints()
    assert {name for name in names if after[name] != before[name]} == {"crd"}
    code_fingerprint.cache_clear()

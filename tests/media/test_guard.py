"""Hangs, crashes and hunger in child processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amid.errors import AmidError
from amid.media import MediaError, Reason
from amid.media.guard import guarded
from tests.media.guarded import LIMITS, work
from tests.small import ROOT


def outcomes(tasks, workers=2):
    names = [f"{number}.avi" for number in range(len(tasks))]
    return list(guarded(work, tasks, names, workers=workers, limits=LIMITS))


CULPRITS = [
    (("hang", 0), Reason.timeout, "not decoded within 0.5 s"),
    (("segfault", 0), Reason.crashed, "SIGSEGV"),
    (("exit", 7), Reason.crashed, "exit code 7"),
    (("bug", 0), Reason.crashed, "ZeroDivisionError: division by zero"),
    (("hungry", 0), Reason.memory, "more than 1024 MiB"),
    (("torch", 0), Reason.memory, "more than 1024 MiB"),
    (("kill", 0), Reason.memory, "want of memory"),
]


@pytest.mark.slow
def test_each_culprit_is_named_and_no_neighbour_is_lost():
    tasks = [("good", number) for number in range(3 * len(CULPRITS))]
    for place, (task, _, _) in enumerate(CULPRITS):
        tasks[3 * place + 1] = task
    found = outcomes(tasks, workers=3)
    assert len(found) == len(tasks)
    for place, (_, reason, words) in enumerate(CULPRITS):
        number = 3 * place + 1
        error = found[number]
        assert isinstance(error, MediaError)
        assert error.reason is reason
        assert error.detail.startswith(f"{number}.avi: ")
        assert words in error.detail
        assert [found[number - 1], found[number + 1]] == [number - 1, number + 1]


def test_who_fails_once_is_tried_again_alone(tmp_path):
    tasks = [("good", 0), ("once", str(tmp_path / "flag")), ("good", 2)]
    assert outcomes(tasks) == [0, str(tmp_path / "flag"), 2]


def test_children_are_kept_from_file_to_file():
    pids = outcomes([("pid", 0)] * 20)
    assert len(set(pids)) <= 2
    assert os.getpid() not in pids
    for pid in set(pids):  # and gone at the end
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.slow
def test_children_die_with_their_caller_even_if_they_hang():
    hanging = "from tests.media.guarded import hang; hang()"
    with subprocess.Popen([sys.executable, "-c", hanging], stdout=subprocess.PIPE) as caller:
        pids = [int(caller.stdout.readline()) for _ in range(2)]
        caller.kill()
    until = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_mistakes_that_are_not_the_files_are_raised():
    with pytest.raises(AmidError, match="no weights") as caught:
        outcomes([("good", 0), ("mistake", "no weights"), ("good", 2)])
    assert "in work" in str(caught.value.__cause__)
    assert outcomes([]) == []


def test_a_script_is_not_run_again_by_the_children(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "print('run', flush=True)\n"
        "from amid.media.guard import guarded\n"
        "from tests.media.guarded import length\n"
        "print(list(guarded(length, ['a', 'bcd'], ['a', 'bcd'], workers=2)))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["run", "[1, 3]"]

"""Two processes that share each batch do what one does with the whole of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.sharing import CASES, stepped, write_films
from tests.small import ROOT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data` below it, and what two processes leave of every case."""
    folder = tmp_path_factory.mktemp("shared")
    write_films(folder / "data")
    two_processes(folder, *CASES)
    return folder


def two_processes(folder: Path, *cases: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.sharing", str(folder), str(rank), *cases],
            env=environment,
        )
        for rank in range(2)
    ]
    try:
        assert [process.wait(timeout=300) for process in both] == [0, 0]
    finally:
        for process in both:
            process.kill()
            process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_as_one_with_the_joint_batch(case: str, folder: Path) -> None:
    """20 steps, batches of 13 and of 1, discriminators among them: losses, weights, running
    statistics, eta, S1, S2, what is said of the test clips."""
    one = stepped(folder / "data", case, devices=1)
    two = load_file(folder / f"{case}.safetensors")
    assert one.keys() == two.keys()
    tolerance = 1e-6 if CASES[case][2] == torch.float32 else 1e-12
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=tolerance, atol=tolerance, msg=name)

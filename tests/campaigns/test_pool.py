"""The campaign of kills of a pool's workers, short."""

import re
import subprocess
import sys

import pytest

from tests.small import ROOT


@pytest.mark.slow
def test_a_pool_ends_whenever_a_worker_is_killed() -> None:
    words = ["--kills", "40", "--seed", "0", "--patience", "60"]
    command = [sys.executable, "-m", "tests.campaigns.pool", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counts = re.match(r"40 kills: (\d+) pools had done their jobs, (\d+) told of a", done.stdout)
    assert sum(map(int, counts.groups())) == 40

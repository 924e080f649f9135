"""The short version of the campaign."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaigns.kill_training import campaign


@pytest.mark.slow
def test_killed_runs_end_in_the_same_bytes(tmp_path: Path) -> None:
    kills, same = campaign(tmp_path, count=1, aimed=2, seed=1)
    assert kills >= 2
    assert same == 3

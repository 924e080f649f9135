"""The campaigns on mlruns, short."""

from pathlib import Path

import pytest

from tests.campaigns.mlruns import kill_and_restart, logged, open_at_once


@pytest.mark.slow
def test_first_use_by_several_processes_at_once(tmp_path: Path) -> None:
    assert open_at_once(tmp_path, 4) == 4


def test_metrics_are_there_once_after_a_kill(tmp_path: Path) -> None:
    assert kill_and_restart(tmp_path, workers=3, metrics=400, kills=1, seed=0) == 2
    assert logged(tmp_path, workers=3, metrics=400) == (1200, 1200, 0)

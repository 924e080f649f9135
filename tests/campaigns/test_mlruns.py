"""The campaign of kills while MLflow is written to, short; tests/tracking/test_tracker.py has the
first use
by several processes."""

from pathlib import Path

import pytest

from tests.campaigns.mlruns import kill_and_restart, logged

pytestmark = pytest.mark.alone  # kills by the clock


@pytest.mark.slow
def test_metrics_are_there_once_after_a_kill(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tests.campaigns.mlruns.KILL_SECONDS", (0.5, 1.5))
    assert kill_and_restart(tmp_path, workers=3, metrics=150, kills=1, seed=0) == 2
    assert logged(tmp_path, workers=3, metrics=150) == (450, 450, 0)

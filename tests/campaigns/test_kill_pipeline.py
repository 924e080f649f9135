"""Short version of kill_pipeline.py: one kill of the two stages that make the features."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaigns.kill_pipeline import campaign

# Of a target with few stages, DVC runs those that do not need each other in an order that depends
# on the seed of Python's hashes, and writes them into dvc.lock in that order.
FEATURES = (
    *("env", "PYTHONHASHSEED=0", "sh", "-c"),
    "python -m stages.repair && dvc repro pipelines/data/dvc.yaml:extract@avlips",
)


@pytest.mark.slow(seconds=110)
def test_killed_stages_end_in_the_same_bytes(tmp_path: Path) -> None:
    assert campaign(tmp_path, 1, 0, 1, command=FEATURES, longest=5.0) == 1

"""The campaign of memory, short: one method, whose first runs load all there is to load."""

from pathlib import Path

import pytest

from tests.campaigns.memory import LIMIT, campaign, grown
from tests.small import small_run, write_data


@pytest.mark.slow
def test_a_worker_does_not_grow(tmp_path: Path) -> None:
    data = write_data(tmp_path / "avlips")
    plan = [small_run(data, "student_alone", seed) for seed in range(16)]
    found = campaign(tmp_path, plan)
    assert len(found) == 16
    assert grown(found, 8) <= LIMIT

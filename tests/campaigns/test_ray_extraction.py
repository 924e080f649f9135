"""The campaign of extraction on a ray cluster, short: 15 clips, a node killed at work."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.campaigns.ray_extraction import campaign, failures

pytestmark = [
    pytest.mark.alone,  # two nodes, one killed by the clock
    pytest.mark.skipif(find_spec("ray") is None, reason="not installed: requirements-scale.txt"),
]


@pytest.mark.slow
def test_a_killed_node_costs_no_clip_and_makes_none_twice(tmp_path: Path) -> None:
    found = campaign(tmp_path, 16, kill_after=1, files=2, seconds=3.0, size=(240, 320))
    assert failures(found, 15) == []
    assert found.planned == 8  # a film has both modalities, so that one shard serves both

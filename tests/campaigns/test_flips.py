"""The campaign of bit flips, short."""

from pathlib import Path

from tests.campaigns.flips import campaign


def test_flipped_bits_are_detected(tmp_path: Path) -> None:
    found, missed = campaign(tmp_path, count=39, seed=1)
    assert (found, list(missed)) == (39, [])

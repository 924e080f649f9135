"""What may go wrong through the user's input or the data, as one sentence each."""

from __future__ import annotations


class AmidError(Exception):
    """A mistake in the input or the data; its message tells what, where and what to do."""

    exit_code = 1


class ConfigError(AmidError):
    """A mistake in params.yaml; the message names the key."""

    exit_code = 2


class Stopped(Exception):
    """A run was told to stop, and did so at a place from which it goes on."""

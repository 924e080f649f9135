"""The project's own folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def project_home(environment: Mapping[str, str] = os.environ) -> Path:
    """The project's folder: DVC_ROOT, which DVC sets for every stage (a queued experiment works in
    a copy, but keeps runs and archives in the original), else the working directory."""
    return Path(environment.get("DVC_ROOT") or Path.cwd())

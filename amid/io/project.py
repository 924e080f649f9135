"""The project's own folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from amid.errors import ConfigError


def project_home(environment: Mapping[str, str] = os.environ) -> Path:
    """The project's folder: DVC_ROOT, which DVC sets for every stage (a queued experiment works in
    a copy, but keeps runs and archives in the original), else the working directory."""
    return Path(environment.get("DVC_ROOT") or Path.cwd())


def find_input(path: str | Path, environment: Mapping[str, str] = os.environ) -> Path:
    """A file or folder that a user named, `~` for the home folder.

    A relative one that is not here is that of the project's own folder, if it is there: an
    experiment of `--queue` or `--temp` works in a copy without what git does not track.
    """
    found = Path(path).expanduser()
    if found.is_absolute() or found.exists():
        return found
    of_project = project_home(environment) / found
    return of_project if of_project.exists() else found


def check_in_reach(folder: str, dataset: str, environment: Mapping[str, str] = os.environ) -> None:
    """Raises ConfigError where the folder that a data set's block names is not in this copy of
    the project, but in the project itself: DVC watches it and looks for it here."""
    here, there = Path(folder), project_home(environment) / folder
    if not here.is_absolute() and not here.exists() and there.exists():
        raise ConfigError(
            f"dataset/{dataset}.yaml: 'folder' is '{folder}', which this copy of the project "
            "lacks: an experiment of --queue or --temp has only what git tracks. Give its whole "
            f"path, {there.resolve()}, or run the experiment without --queue and --temp."
        )

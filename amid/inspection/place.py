"""Where own data lies: what git and DVC's experiments make of that place."""

from __future__ import annotations

import subprocess
from pathlib import Path


def written_path(folder: Path, home: Path) -> str:
    """`folder` as a block is to name it: from the project's folder on where git tracks its files,
    so that every clone and experiment has them, else from the root."""
    home = home.resolve()
    if folder.is_relative_to(home) and _git(home, "ls-files", "--", str(folder)):
        return folder.relative_to(home).as_posix()
    return folder.as_posix()


def copy_warning(folder: str, dataset: str, home: Path) -> str | None:
    """A sentence where experiments of `--queue` and `--temp`, which work in a copy with what git
    tracks, lack the folder that the data set's block names; else None."""
    if Path(folder).is_absolute() or _git(home, "rev-parse", "--git-dir") is None:
        return None
    if _git(home, "ls-files", "--", folder):
        return None
    return (
        f"`folder` in dataset/{dataset}.yaml is '{folder}', which git does not track: experiments "
        "of --queue and --temp will not find it. Its whole path works everywhere: "
        f"{(home / folder).resolve()}"
    )


def git_warning(folder: Path, home: Path) -> str | None:
    """A sentence where `dvc exp run` would put the folder's files into git; else None."""
    home = home.resolve()
    if not folder.is_relative_to(home) or _git(home, "rev-parse", "--git-dir") is None:
        return None
    listed = _git(home, "ls-files", "--others", "--exclude-standard", "-z", "--", str(folder))
    count = len((listed or "").split("\0")) - 1
    if count < 1:
        return None
    inside = folder.relative_to(home).as_posix()
    return (
        f"git does not ignore the {count} files in {inside}/: `dvc exp run` would put them into "
        f"the commit of every experiment. Move the folder out of the project, or: echo "
        f"/{inside}/ >> .git/info/exclude"
    )


def _git(home: Path, *words: str) -> str | None:
    """What git says; None where it fails or is not there."""
    try:
        done = subprocess.run(["git", *words], cwd=home, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None

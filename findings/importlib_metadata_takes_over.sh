#!/usr/bin/env bash
# Importing the backport importlib_metadata changes what the standard library's importlib.metadata answers.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check importlib_metadata==9.1.0 huey==3.5.4
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import sys
from importlib import metadata

FIELD = "License-Expression"  # which the metadata of huey 3.5.4 does not have


def answer() -> str:
    try:
        return repr(metadata.metadata("huey")[FIELD])
    except KeyError as error:
        return f"KeyError: {error}"


print(f"Python {sys.version.split()[0]}; importlib_metadata 9.1.0")
print("Behaviour: `import importlib_metadata`, by whichever package of a process, makes importlib.metadata (the")
print("standard library's) answer with the backport's objects: metadata(name)[field] for an absent field is None")
print("before it and a KeyError after it.")
print("One would have sworn: a backport stands beside the module that it copies, and leaves that as it is.\n")

before, kind = answer(), type(metadata.metadata("huey")).__module__
import importlib_metadata  # noqa: E402

after, other = answer(), type(metadata.metadata("huey")).__module__
print(f"importlib.metadata.metadata('huey')['{FIELD}'] before the import: {before}, of {kind}")
print(f"importlib.metadata.metadata('huey')['{FIELD}'] after it:          {after}, of {other}")
same = before == "None" and after.startswith("KeyError") and other.startswith("importlib_metadata")
raise SystemExit(0 if same else "No longer as described.")
PYTHON

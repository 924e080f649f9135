"""The steps of a walk in docs/, carried out in a copy of the project.

New: `path`                 and a code block: the file to create
In `NAME` of `path.py`:     and a Python block: lines for the dict NAME, before its closing brace
In `path.yaml`:             and a YAML block: keys to add or replace, the rest stays
"""

from __future__ import annotations

import re
from pathlib import Path

from ruamel.yaml import YAML

from tests.params import change
from tests.small import ROOT

NEW = re.compile(r"^New: `([\w./-]+)`\n\n```\w+\n(.*?)^```", re.M | re.S)
LINES = re.compile(r"^In `(\w+)` of `([\w./-]+\.py)`:\n\n```python\n(.*?)^```", re.M | re.S)
KEYS = re.compile(r"^In `([\w./-]+\.yaml)`:\n\n```yaml\n(.*?)^```", re.M | re.S)


def follow(page: str, place: Path) -> list[str]:
    """Carries out the steps of docs/<page> in `place`; the files touched, those of tests last."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    touched = []
    for name, content in NEW.findall(text):
        assert not (place / name).exists(), name
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(content)
        touched.append(name)
    for names, name, lines in LINES.findall(text):
        touched.append(name)
        code = (place / name).read_text()
        start = re.search(rf"^{names}\b.*= \{{$", code, re.M).end()
        end = code.index("\n}", start) + 1
        (place / name).write_text(code[:end] + lines + code[end:])
    for name, content in KEYS.findall(text):
        touched.append(name)
        change(place / name, YAML().load(content))
    assert len(set(touched)) == len(touched)
    return sorted(touched, key=lambda name: name.startswith("tests/"))

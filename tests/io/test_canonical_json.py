"""Equal values give equal bytes; nested values get dotted names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from amid.io.canonical_json import canonical_json, flatten
from amid.io.project import project_home


def test_the_bytes_depend_on_the_value_alone() -> None:
    one, other = {"b": [1, 2.5], "a": {"d": None, "c": "ü"}}, {"a": {"c": "ü", "d": None}}
    text = canonical_json(one)
    assert text == '{"a":{"c":"\\u00fc","d":null},"b":[1,2.5]}'
    assert canonical_json({**other, "b": [1, 2.5]}) == text
    assert json.loads(text) == one


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [-float("inf")]}])
def test_what_is_no_json_is_refused(value) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(value)


def test_flatten() -> None:
    nested = {"a": {"b": 1, "c": {"d": 2}}, "e": 3, "f": [{"g": 1}], "h": {}}
    assert flatten(nested) == {"a.b": 1, "a.c.d": 2, "e": 3, "f": [{"g": 1}]}


def test_the_project_is_where_dvc_says_else_here(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert project_home() == Path.cwd() == tmp_path
    assert project_home({"DVC_ROOT": ""}) == tmp_path
    assert project_home({"DVC_ROOT": "/elsewhere"}) == Path("/elsewhere")
    monkeypatch.setenv("DVC_ROOT", "/another")
    assert project_home() == Path("/another")

"""LICENSE, CITATION.cff, CHANGELOG.md and docs/licences.md say what is so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.licences import STRICT, free_choice, licence, listed, pinned
from tests.small import ROOT
from tests.test_package import PROJECT

PAGE = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")


def attention() -> str:
    """The packages that the first table of the page is about, as a text."""
    table = PAGE.split("## What asks for attention")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    return " ".join(row.split("|")[1] for row in rows)


def test_every_pinned_package_has_its_licence() -> None:
    assert set(listed()) == pinned()


def test_licences_are_those_that_the_installed_packages_state() -> None:
    table = listed()
    found = {name: stated for name in table if (stated := licence(name)) is not None}
    assert len(found) > 100
    assert found == {name: table[name] for name in found}


def test_nothing_strict_comes_as_a_surprise() -> None:
    """Whatever is copyleft or proprietary stands in the table that says what it is for."""
    named = set(re.findall(r"`([^`]+)`", attention()))
    strict = {name for name, expression in listed().items() if not free_choice(expression)}
    assert {"pygit2", "espeakng-loader", "psycopg2-binary", "tqdm"} <= strict
    assert {name for name in strict if not name.startswith("nvidia-")} <= named
    assert "espeak-ng**, GPL-3.0-or-later" in PAGE


@pytest.mark.parametrize(
    ("expression", "free"),
    [
        ("MIT", True),
        ("Apache-2.0 OR GPL-2.0-or-later", True),
        ("GPL-2.0-only OR EPL-1.0", False),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", False),
        ("LGPL-3.0-or-later", False),
        ("BSL-1.0 AND MIT", True),
    ],
)
def test_what_counts_as_strict(expression: str, free: bool) -> None:
    assert free_choice(expression) == free


def test_libraries_inside_the_wheels_are_named_as_they_are_there() -> None:
    """What the metadata does not tell: FFmpeg's encoders, and how FFmpeg was built."""
    import av

    folder = Path(av.__file__).parent.parent / "av.libs"
    if not folder.is_dir():
        pytest.skip("PyAV is not of its wheel for Linux")
    names = {path.name.partition("-")[0] for path in folder.iterdir()}
    assert ({"libx264", "libx265"} <= names) == ("x264" in PAGE)
    (util,) = folder.glob("libavutil*")
    assert b"libavutil license: LGPL version 3 or later" in util.read_bytes()


def citation() -> dict[str, Any]:
    return YAML(typ="safe").load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def works() -> Iterator[dict[str, Any]]:
    given = citation()
    yield from (given, given["preferred-citation"], *given["references"])


def test_the_citation_has_what_its_format_requires() -> None:
    """Of the Citation File Format 1.2.0; cffconvert checks the same and more."""
    given = citation()
    assert {"cff-version", "message", "title", "authors"} <= set(given)
    assert (given["cff-version"], given["license"]) == ("1.2.0", "MIT")
    assert str(given["version"]) == PROJECT["version"]
    assert given["authors"] == [{"name": "the AMID authors"}]
    titles = [work["title"] for work in given["references"]]
    assert len(titles) == len(set(titles)) == 5
    for work in works():
        assert work["type"] in ("software", "conference-paper")
        assert all(set(a) in ({"name"}, {"family-names", "given-names"}) for a in work["authors"])
        if work["type"] != "software":
            assert 2020 <= work["year"] <= 2023


def test_the_papers_are_those_of_the_documents() -> None:
    """Surnames and year of each are in docs/equations.md or docs/methods.md, where it is used."""
    pages = "".join((ROOT / "docs" / n).read_text() for n in ("equations.md", "methods.md"))
    for work in citation()["references"]:
        assert work["title"].lower() in re.sub(r"\s+", " ", pages).lower().replace("\n", " ")
        assert work["authors"][0]["family-names"] in pages
        assert str(work["year"]) in pages


def test_the_changelog_is_of_the_packages_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = re.search(r"^## (\S+)", text, re.M)[1]
    assert first == PROJECT["version"]
    assert (ROOT / "LICENSE").read_text().startswith("MIT License\n\nCopyright (c) ")


def test_strict_names_licences_and_no_others() -> None:
    assert STRICT.search("LGPL-2.1-or-later")
    assert not STRICT.search("Apache-2.0")

"""Figures inside a page: no styles, no requests, colours that follow the page, the same bytes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from matplotlib.figure import Figure

from amid.studies import class_wise
from amid.studies.plotting import STYLES, VARIABLES, subplots, to_inline_svg
from tests.small import ROOT

HOSTILE = "<script>$x$&\"'"
CODE = """
import sys
from tests.studies.test_plotting import class_wise_figure
from amid.studies.plotting import to_inline_svg
sys.stdout.buffer.write(to_inline_svg(class_wise_figure(), "one").encode())
"""


def class_wise_figure() -> Figure:
    table = pd.DataFrame(
        {
            "dataset": "avlips",
            "class": ["bin", HOSTILE, "red"],
            "amid": [90.0, 50.0, 1 / 3],
            "ccl": [80.0, 50.0, 2 / 3],
            "amid_std": [1.0, 2.0, 3.0],
            "ccl_std": [1.0, 2.0, 3.0],
        }
    )
    return class_wise.draw_class_wise(table)


def lines(color: str) -> Figure:
    figure, axes = subplots(1, 1, (3, 2))
    axes[0, 0].plot([1, 2, 3], [1, 3, 2], color=color)
    return figure


def parsed(figure: Figure, name: str = "one") -> ElementTree.Element:
    return ElementTree.fromstring(to_inline_svg(figure, name))


def test_a_page_that_forbids_styles_and_requests_shows_it() -> None:
    for element in parsed(class_wise_figure()).iter():
        assert element.tag in (
            "svg",
            "g",
            "defs",
            "clipPath",
            "pattern",
            "path",
            "rect",
            "use",
            "text",
        )
        assert "style" not in element.attrib
        for name, value in element.attrib.items():
            assert ":" not in value, (name, value)
            assert "url(" not in value or value.startswith("url(#")
            assert name != "href" or value.startswith("#")


def test_every_reference_has_its_element_and_every_id_a_reference() -> None:
    svg = parsed(class_wise_figure())
    ids = [element.attrib["id"] for element in svg.iter() if "id" in element.attrib]
    values = " ".join(value for element in svg.iter() for value in element.attrib.values())
    assert len(set(ids)) == len(ids) > 2
    assert set(re.findall(r"#([a-z]\w+)", re.sub(r"var\([^)]*\)", "", values))) == set(ids)


def test_ids_differ_between_figures_of_a_page() -> None:
    one, other = (
        {element.attrib.get("id") for element in parsed(class_wise_figure(), name).iter()} - {None}
        for name in ("one", "other")
    )
    assert one
    assert not one & other


def test_text_stays_text() -> None:
    svg = parsed(class_wise_figure())
    texts = [element.text for element in svg.iter("text")]
    assert {"bin", HOSTILE, "red", "avlips", "CCL"} <= set(texts)
    assert "<script" not in to_inline_svg(class_wise_figure(), "one")


@pytest.mark.parametrize("color", [style[0] for style in STYLES])
def test_colors_are_variables_of_the_style_sheet(color: str) -> None:
    svg = parsed(lines(color))
    strokes = {element.attrib["stroke"] for element in svg.iter() if "stroke" in element.attrib}
    assert f"var({VARIABLES[color.lower()]}, {color.lower()})" in strokes
    assert svg.attrib["fill"] == "var(--ink, #000000)"
    css = (ROOT / "amid" / "report" / "page.css").read_text(encoding="utf-8")
    palettes = re.findall(r":root[^{]*\{[^}]*\}", css)
    assert len(palettes) == 4  # light, dark by button, dark by system, print
    for palette in palettes[:3]:
        assert all(f"{variable}: #" in palette for variable in VARIABLES.values())


def test_a_colour_without_a_variable_is_named() -> None:
    with pytest.raises(ValueError, match="#123456"):
        to_inline_svg(lines("#123456"), "one")


def test_numbers_have_two_decimals() -> None:
    svg = to_inline_svg(class_wise_figure(), "one")
    assert not re.search(r"\d\.\d{3}", re.sub(r">[^<]*<", "><", svg))


def test_bars_of_one_look_are_one_path_that_ends_where_the_numbers_do() -> None:
    (bars,) = (
        path for path in parsed(class_wise_figure()).iter("path")
        if path.attrib.get("fill") == "var(--s0, #0072b2)" and "clip-path" in path.attrib
    )  # fmt: skip
    heights = []
    for bar in bars.attrib["d"].strip("z").split("z"):
        ys = [float(point.split()[1]) for point in re.split("[ML]", bar)[1:]]
        heights.append(max(ys) - min(ys))
    assert heights[0] / heights[1] == pytest.approx(90 / 50, abs=0.01)
    assert heights[2] == pytest.approx(heights[0] / 270, abs=0.02)


def test_a_users_matplotlibrc_does_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    before = to_inline_svg(class_wise_figure(), "one")
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 20.0)
    monkeypatch.setitem(matplotlib.rcParams, "axes.facecolor", "#123456")
    assert to_inline_svg(class_wise_figure(), "one") == before


@pytest.mark.slow
def test_the_bytes_depend_on_the_numbers_alone(tmp_path: Path) -> None:
    """In another process with other hashes, locale, time zone, number of cores and font cache."""
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment |= {"MPLCONFIGDIR": str(tmp_path), "SOURCE_DATE_EPOCH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, env=environment, capture_output=True, check=True
    )
    assert done.stdout.decode() == to_inline_svg(class_wise_figure(), "one")

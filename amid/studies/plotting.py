"""What all figures share: styles and panels, and a figure saved as PNG or put inline in a page."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by line style and by marker as well.
STYLES = (
    ("#0072B2", "-", "o"),
    ("#D55E00", "--", "D"),
    ("#009E73", "-.", "s"),
    ("#CC79A7", ":", "^"),
)
GUIDE, REMARK = "#808080", "#595959"  # a line that marks a place, and the words beside it
# The colours that figures may use -> variables of the page's style sheet, for light and dark.
VARIABLES = {
    "#0072b2": "--s0",
    "#d55e00": "--s1",
    "#009e73": "--s3",
    "#cc79a7": "--s4",
    "#000000": "--ink",
    GUIDE: "--muted",
    REMARK: "--muted",
    "#b0b0b0": "--muted",  # matplotlib's grid lines
}
LONG_FRACTION = re.compile(r"-?\d+\.\d{3,}")


def subplots(
    rows: int, columns: int, size: tuple[float, float], **kwargs: Any
) -> tuple[Figure, np.ndarray]:
    """A figure of `size` inches and its axes, (rows, columns), in matplotlib's default style.

    The defaults are restored process-wide, so that a user's matplotlibrc does not change figures.
    """
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcdefaults()
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **kwargs)


def draw_band(axis: Axes, x: pd.Series, mean: pd.Series, std: pd.Series, color: str) -> None:
    """Shades mean ± std."""
    axis.fill_between(x, mean - std, mean + std, color=color, alpha=0.15, linewidth=0)


def escape_dollars(text: str) -> str:
    """`text` for matplotlib, which otherwise reads what stands between two $ as a formula."""
    return text.replace("$", r"\$")


def save_png(figure: Figure, path: Path) -> None:
    """Writes a PNG whose bytes depend on the figure alone."""
    figure.savefig(path, dpi=160, metadata={"Software": None})


def to_inline_svg(figure: Figure, name: str) -> str:
    """The figure as an <svg> element for a page whose content security policy forbids styles.

    Text stays text. Colours become variables of the page (`VARIABLES`), with the figure's own as a
    fallback. name: unique within the page, as ids are derived from it. The element is hidden from
    screen readers: what contains it needs a description. ValueError for an unknown colour.
    """
    import matplotlib

    file = io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    drawn = ElementTree.fromstring(file.getvalue())
    width, height = (96 * inches for inches in figure.get_size_inches())
    svg = ElementTree.Element(
        "svg",
        {
            "class": "plot",
            "viewBox": drawn.attrib["viewBox"],
            "width": _rounded(f"{width:.3f}"),
            "height": _rounded(f"{height:.3f}"),
            "aria-hidden": "true",
            "fill": _color("#000000"),
            "stroke-linejoin": "round",  # of all elements, by matplotlib's style sheet
            "stroke-linecap": "butt",
        },
    )
    referenced = set(re.findall(r"#(\w+)", " ".join(_attributes(drawn))))
    svg.extend(_joined([part for child in drawn for part in _cleaned(child, referenced)]))
    looks = {one.attrib["id"]: one.attrib for one in svg.iter("path") if "id" in one.attrib}
    for use in svg.iter("use"):  # what the path itself sets it does not inherit
        look = looks[use.attrib["href"].removeprefix("#")]
        for name in use.attrib.keys() & look.keys():
            del use.attrib[name]
    return ElementTree.tostring(svg, encoding="unicode").replace(" />", "/>")


def _attributes(element: ElementTree.Element) -> list[str]:
    return [value for one in element.iter() for value in one.attrib.values()]


def _cleaned(element: ElementTree.Element, referenced: set[str]) -> list[ElementTree.Element]:
    """What is left of an SVG element without namespaces, style sheets, groups that only nest, ids
    that nothing refers to and shapes that cannot be seen."""
    tag = element.tag.rpartition("}")[2]
    if tag in ("metadata", "style"):
        return []
    found: dict[str, str] = {}
    for key, value in element.attrib.items():
        if key == "style":
            pairs = (part.partition(":") for part in value.split(";"))
            found |= {name.strip(): given.strip() for name, _, given in pairs}
        elif key != "id" or value in referenced:
            found[key.rpartition("}")[2]] = value
    found.pop("font-family", None)  # the page's style sheet has it
    if "rotate(-0 " in found.get("transform", ""):
        del found["transform"]
    for name, value in found.items():
        if name in ("fill", "stroke"):
            found[name] = _color(value)
        elif name != "id":
            found[name] = _rounded(" ".join(value.split()))
    if "d" in found:
        found["d"] = re.sub(r" ?([A-Za-z]) ?", r"\1", found["d"])
    children = [part for child in element for part in _cleaned(child, referenced)]
    unseen = tag in ("path", "rect") and found.get("fill") == "none" and "stroke" not in found
    if unseen or (tag in ("g", "defs") and not children):
        return []
    if tag == "g" and not found:
        return children
    cleaned = ElementTree.Element(tag, found)
    cleaned.text = element.text if (element.text or "").strip() else None
    cleaned.extend(_joined(children))
    return [cleaned]


def _joined(elements: list[ElementTree.Element]) -> list[ElementTree.Element]:
    """Consecutive opaque paths of the same look as one path."""
    found: list[ElementTree.Element] = []
    for element in elements:
        if found and element.tag == found[-1].tag == "path":
            last, own = ({**one.attrib, "d": ""} for one in (found[-1], element))
            if last == own and not any(name.endswith("opacity") or name == "id" for name in own):
                found[-1].attrib["d"] += element.attrib["d"]
                continue
        found.append(element)
    return found


def _rounded(numbers: str) -> str:
    """Two decimals at the most: a hundredth of a point cannot be seen."""
    return LONG_FRACTION.sub(lambda found: f"{round(float(found[0]), 2) + 0.0:g}", numbers)


def _color(value: str) -> str:
    if value == "none" or value.startswith("url(#"):
        return value
    if value not in VARIABLES:
        raise ValueError(f"no variable of the page for the colour {value}: add it to VARIABLES")
    return f"var({VARIABLES[value]}, {value})"

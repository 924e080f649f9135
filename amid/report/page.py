"""Sections -> one self-contained HTML file: style, script and pictures are inline."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from amid.report.blocks import Section

HERE = Path(__file__).parent
TITLE = "What distillation gives a student"


def page(sections: Sequence[Section]) -> str:
    """The page. All text is escaped; the content security policy allows only its own style and
    script, by their sha256, and no network."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return environment.get_template("page.html.j2").render(
        title=TITLE,
        sections=sections,
        style=Markup(style),  # part of this project, never of a data set
        script=Markup(script),
        policy=(
            f"default-src 'none'; style-src '{_sum(style)}'; script-src '{_sum(script)}'; "
            "img-src data:; base-uri 'none'; form-action 'none'"
        ),
    )


def _sum(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"

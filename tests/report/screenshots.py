"""Pictures of reports/index.html for people to look at: `python -m tests.report.screenshots OUT`.

A folder OUT of PNG files: desktop, phone and dark, the whole page and section by section.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.browser import browser, opened
from tests.small import ROOT

LOOKS = {"desktop": ("desktop", "light"), "phone": ("phone", "light"), "dark": ("desktop", "dark")}


def main(out: Path, page: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with browser() as launched:
        for name, (size, scheme) in LOOKS.items():
            with opened(launched, page, size, color_scheme=scheme) as (shown, _, _):
                shown.screenshot(path=out / f"{name}.png")
                for section in shown.query_selector_all("section"):
                    part = section.get_attribute("id")
                    section.screenshot(path=out / f"{name}-{part}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("page", type=Path, nargs="?", default=ROOT / "reports" / "index.html")
    main(**vars(parser.parse_args()))

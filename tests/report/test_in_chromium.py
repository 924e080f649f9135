"""The page as Chromium shows it from a file: quiet, offline, sortable, readable for everyone.

The page is reports/index.html where it has been made, else one of made-up records. axe-core is
taken from AMID_AXE, a file, or from node_modules (`npm install --no-save axe-core`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from amid.report.benchmark import read_benchmark
from tests import benchmarked
from tests.browser import browser, opened, wait_until
from tests.report.made import made_page, usual_page
from tests.small import ROOT

pytestmark = pytest.mark.slow

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
COLOUR = "getComputedStyle(document.body).backgroundColor"
COLUMN = "[...document.querySelector('table').tBodies[0].rows].map(r => r.cells[1].textContent)"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as launched:
        yield launched


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, chromium: Any) -> Path:
    committed = ROOT / "reports" / "index.html"
    if committed.exists():
        return committed
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(usual_page(), encoding="utf-8")
    return path


def test_it_asks_for_nothing_and_complains_of_nothing(chromium: Any, path: Path) -> None:
    with opened(chromium, path) as (page, asked, complaints):
        for summary in page.query_selector_all("summary"):
            summary.evaluate("summary => summary.click()")
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_timeout(200)
        assert asked == []
        assert complaints == []


def test_its_policy_lets_no_request_out(chromium: Any, path: Path) -> None:
    with opened(chromium, path) as (page, _, complaints):
        script = "fetch('http://127.0.0.1:9/').then(() => 'out', () => 'kept')"
        assert page.evaluate(script) == "kept"
        assert any("Content Security Policy" in words for words in complaints)


def test_a_table_is_sorted_by_keyboard(chromium: Any, path: Path) -> None:
    with opened(chromium, path) as (page, _, _):
        header = page.locator("table thead th").nth(1)
        before = page.evaluate(COLUMN)
        header.locator("button").focus()
        page.keyboard.press("Enter")
        assert header.get_attribute("aria-sort") == "descending"
        falling = page.evaluate(COLUMN)
        numbers = [float(text.split()[0]) for text in falling]
        assert numbers == sorted(numbers, reverse=True)
        page.keyboard.press("Space")
        assert header.get_attribute("aria-sort") == "ascending"
        assert [float(text.split()[0]) for text in page.evaluate(COLUMN)] == sorted(numbers)
        assert sorted(before) == sorted(falling)
        assert page.locator("th[aria-sort=ascending], th[aria-sort=descending]").count() == 1


def test_what_is_undefined_is_last_whichever_way_a_table_is_sorted(
    chromium: Any, tmp_path: Path
) -> None:
    made = tmp_path / "index.html"
    made.write_text(usual_page(), encoding="utf-8")
    with opened(chromium, made) as (page, _, _):
        table = page.locator("table").first  # Table 1, whose first row has no teacher
        header = table.locator("thead th").filter(has_text="teacher").first
        column = header.evaluate("th => th.cellIndex")
        for way in ("descending", "ascending"):
            header.locator("button").click()
            assert header.get_attribute("aria-sort") == way
            shown = table.locator("tbody tr").evaluate_all(
                "(rows, column) => rows.map(row => row.cells[column].textContent)", column
            )
            defined = [text != "-" for text in shown]
            assert defined == sorted(defined, reverse=True), way
            assert True in defined
            assert False in defined


def test_a_table_without_script_is_whole(chromium: Any, path: Path) -> None:
    with opened(chromium, path, java_script_enabled=False) as (page, _, _):
        assert page.locator("table").first.locator("tbody tr").count() > 3
        assert page.locator("button").count() == 0


def test_dark_follows_the_system_and_the_button(chromium: Any, path: Path) -> None:
    with opened(chromium, path, color_scheme="dark") as (page, _, _):
        dark = page.evaluate(COLOUR)
        page.get_by_role("button", name="Light colours").click()
        light = page.evaluate(COLOUR)
        assert light != dark
        page.reload()  # remembered
        assert page.evaluate(COLOUR) == light
    with opened(chromium, path, color_scheme="light") as (page, _, _):
        assert page.evaluate(COLOUR) == light
        page.get_by_role("button", name="Dark colours").press("Enter")
        assert page.evaluate(COLOUR) == dark


def test_the_page_never_scrolls_sideways(chromium: Any, path: Path) -> None:
    with opened(chromium, path, "phone") as (page, _, _):
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        for width in (360, 390, 768, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate(WIDER) <= 0, width
        for region in page.query_selector_all("[role=region]"):  # wide ones do, by keyboard too
            assert region.get_attribute("tabindex") == "0"


def test_a_shade_tells_that_a_table_goes_on_to_the_right(chromium: Any, path: Path) -> None:
    with opened(chromium, path, "phone") as (page, _, _):
        page.wait_for_selector(".scroll.more:has(table)")
        first = page.locator(".scroll.more").first
        box = first.element_handle()
        box.evaluate("box => { box.scrollLeft = box.scrollWidth; }")
        wait_until(lambda: not box.evaluate("box => box.classList.contains('more')"))
        page.set_viewport_size({"width": 1600, "height": 900})
        shaded = "document.querySelectorAll('.scroll.more:has(table)').length"
        wait_until(lambda: page.evaluate(shaded) == 0)


def _goes_on(page: Any, so: bool) -> bool:
    """Whether a table of the benchmark is told to go on to the right, if `so`, or none is."""
    return page.evaluate("!!document.querySelector('#benchmark .scroll.more')") is so


@pytest.fixture(scope="module")
def with_benchmark(tmp_path_factory: pytest.TempPathFactory, chromium: Any) -> Path:
    """A page with the benchmark of all configurations."""
    folder = tmp_path_factory.mktemp("benchmark")
    of = benchmarked.params(["avlips"], {"paper": 3})
    found = read_benchmark(benchmarked.write_reports(of, folder))
    (folder / "index.html").write_text(made_page(found), encoding="utf-8")
    return folder / "index.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_benchmark_fits_a_desktop_and_scrolls_on_a_phone(
    chromium: Any, with_benchmark: Path, scheme: str
) -> None:
    for size, scrolls in (("desktop", False), ("phone", True)):
        with opened(chromium, with_benchmark, size, color_scheme=scheme) as opening:
            page, asked, complaints = opening
            part = page.locator("#benchmark")
            assert part.locator("svg").count() == 2
            assert part.locator("table").first.locator("tbody tr").count() == 18
            wait_until(partial(_goes_on, page, scrolls))
            assert page.evaluate(WIDER) <= 0
            assert (asked, complaints) == ([], [])
            ink = "getComputedStyle(document.querySelector('#benchmark svg.plot text')).fill"
            assert page.evaluate(ink) == page.evaluate("getComputedStyle(document.body).color")


def test_the_first_stop_of_the_keyboard_skips_to_the_content(chromium: Any, path: Path) -> None:
    with opened(chromium, path) as (page, _, _):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "content"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(chromium: Any, path: Path, scheme: str) -> None:
    places = (os.environ.get("AMID_AXE", ""), ROOT / "node_modules" / "axe-core" / "axe.min.js")
    axe = next((Path(p) for p in places if p and Path(p).is_file()), None)
    if axe is None:
        pytest.skip("axe-core is not here: npm install --no-save axe-core, or AMID_AXE=axe.min.js")
    with opened(chromium, path, color_scheme=scheme) as (page, _, _):
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        page.evaluate(axe.read_text(encoding="utf-8"))
        found = page.evaluate("axe.run()")
    assert len(found["passes"]) > 20
    told = [
        f"{rule['impact']} {rule['id']}: {rule['help']}, {node['html'][:200]}"
        for rule in found["violations"]
        for node in rule["nodes"][:3]
    ]
    assert [words for words in told if words.startswith(("serious", "critical"))] == [], told
    assert told == []

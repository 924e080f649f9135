"""Chromium without a window for tests of pages; they skip where it is not installed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@contextmanager
def browser() -> Iterator[Any]:
    """A browser of playwright's, closed at the end."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no {' or '.join(NAMES)} is installed")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield launched
        launched.close()


def wait_until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Asks until it is true. playwright's `wait_for_function` evaluates its words inside the page
    from the second time on, which the page's own policy forbids."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not so after {seconds} s"
        time.sleep(0.05)


@contextmanager
def opened(
    launched: Any, path: Path, size: str = "desktop", **context: Any
) -> Iterator[tuple[Any, list[str], list[str]]]:
    """The page at `path`, from the file; what it asked for beyond itself, and what it complained
    about, as lists that go on growing. context: of playwright's new_context."""
    width, height = SIZES[size]
    within = launched.new_context(viewport={"width": width, "height": height}, **context)
    page = within.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    address = path.resolve().as_uri()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    beyond = [url for url in asked if url != address and not url.startswith("data:")]
    yield page, beyond, complaints
    within.close()

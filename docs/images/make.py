"""Screenshots of MLflow for the documents: python docs/images/make.py

Reads mlruns/, as `make repro` leaves it, and writes docs/images/mlflow.png (Table 1's comparison)
and docs/images/mlflow_runs.png (Table 6's runs with the chosen columns). Needs
`pip install playwright`, and Chromium (CHROMIUM, or `chromium` on the PATH).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120  # that the server, or a page, may take
PICTURES = {  # title of the comparison, charts or table, what is there once it is drawn, size
    "mlflow": ("Table 1 on avlips", "CHART", ".scatterlayer .trace", (1440, 1000)),
    "mlflow_runs": ("Table 6 on avlips", "TABLE", ".ag-row", (1440, 600)),
}
NO_ASSISTANT = """
    localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
    localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
"""


def main() -> None:
    from playwright.sync_api import sync_playwright

    browser = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if browser is None:
        sys.exit("Chromium is not on the PATH: name it in CHROMIUM.")
    port = free_port()
    with served(port) as links, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser)
        for name, (title, mode, drawn, (width, height)) in PICTURES.items():
            if title not in links:
                sys.exit(f"mlruns/ has no runs for {title}: run `make repro` first.")
            page = chromium.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(1000 * SECONDS)
            page.add_init_script(NO_ASSISTANT)
            page.goto(links[title].replace("compareRunsMode=CHART", f"compareRunsMode={mode}"))
            page.get_by_text("Model training", exact=True).click()
            page.locator(drawn).nth(7).wait_for(state="attached")
            page.wait_for_timeout(3000)  # the last of the charts
            page.screenshot(path=Path(__file__).with_name(f"{name}.png"))
            page.close()
        chromium.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def served(port: int) -> Iterator[dict[str, str]]:
    """`make ui`'s two commands; title -> address of each prepared comparison."""
    words = [sys.executable, "-m", "stages.ui", str(port)]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    links = dict(line.split(": ", 1) for line in told.splitlines() if ": http" in line)
    words = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)]
    store = ["--backend-store-uri", "sqlite:///mlruns/mlflow.db", "--workers", "1"]
    server = subprocess.Popen(
        [*words, *store], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server)
        yield links
    finally:
        server.terminate()
        server.wait(30)


def wait_for(address: str, server: subprocess.Popen) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    sys.exit("MLflow's server did not start.")


if __name__ == "__main__":
    main()

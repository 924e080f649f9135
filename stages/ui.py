"""python -m stages.ui PORT: prepares the comparisons of MLflow's UI and prints their addresses."""

import os

from amid import config, tracking
from amid.errors import AmidError
from amid.shown import masked
from amid.views import views
from stages.common import HOME, PARAMS, run_command


def main(port: str) -> None:
    if not port.isdigit():
        raise AmidError(f"'{port}' is no port: give a number, such as 5000.")
    prepared = tracking.prepare_views(tracking.open_any(HOME), views(config.load(PARAMS)))
    address = tracking.server(os.environ) or f"http://127.0.0.1:{port}"
    for title, path in prepared.items():
        print(f"{title}: {masked(address.rstrip('/'))}{path}")
    if not prepared:
        print("no comparison yet: `make repro` trains and logs the runs they are made of")


if __name__ == "__main__":
    run_command(main)

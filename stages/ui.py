"""python -m stages.ui PORT: prepares the comparisons of MLflow's UI and prints their addresses, on
the server of MLFLOW_TRACKING_URI where that is one, else on a UI of this machine at PORT."""

import os

from amid.errors import AmidError
from amid.io.redact import redact
from amid.studies import load_params
from amid.tracking.client import open_any, server_trouble
from amid.tracking.client import server as server_of
from amid.tracking.views import prepare_views, views
from stages.common import HOME, PARAMS, run_command


def main(port: str) -> None:
    if not port.isdigit():
        raise AmidError(f"'{port}' is no port: give a number, such as 5000.")
    server = server_of(os.environ)
    try:
        prepared = prepare_views(open_any(HOME), views(load_params(PARAMS)))
    except Exception as error:
        trouble = server_trouble(error, server) if server else None
        if trouble is None:
            raise
        raise AmidError(f"{trouble}.") from None
    address = redact((server or f"http://127.0.0.1:{port}").rstrip("/"))
    if server:
        print(f"The runs are on the server {address} (MLFLOW_TRACKING_URI): none is started here.")
    for title, path in prepared.items():
        print(f"{title}: {address}{path}")
    if not prepared:
        print("no comparison yet: `make repro` trains and logs the runs they are made of")


if __name__ == "__main__":
    run_command(main)

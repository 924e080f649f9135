"""python -m stages.ui PORT: prepares the comparisons of MLflow's UI and prints their addresses, on
the server of MLFLOW_TRACKING_URI where that is one, else on a UI of this machine at PORT."""

import os

from amid import config, tracking
from amid.errors import AmidError
from amid.shown import masked
from amid.views import views
from stages.common import HOME, PARAMS, run_command


def main(port: str) -> None:
    if not port.isdigit():
        raise AmidError(f"'{port}' is no port: give a number, such as 5000.")
    server = tracking.server(os.environ)
    try:
        prepared = tracking.prepare_views(tracking.open_any(HOME), views(config.load(PARAMS)))
    except Exception as error:
        trouble = tracking.server_trouble(error, server) if server else None
        if trouble is None:
            raise
        raise AmidError(f"{trouble}.") from None
    address = masked((server or f"http://127.0.0.1:{port}").rstrip("/"))
    if server:
        print(f"The runs are on the server {address} (MLFLOW_TRACKING_URI): none is started here.")
    for title, path in prepared.items():
        print(f"{title}: {address}{path}")
    if not prepared:
        print("no comparison yet: `make repro` trains and logs the runs they are made of")


if __name__ == "__main__":
    run_command(main)

"""python -m stages.ui PORT: prepares the comparisons of MLflow's UI and prints their addresses, on
the server of MLFLOW_TRACKING_URI where that is one, else on a UI of this machine at PORT."""

import os
from contextlib import suppress
from functools import partial

from amid.config import Params
from amid.errors import AmidError
from amid.io.redact import redact
from amid.studies import load_params, sensitivity
from amid.studies.base import load_records
from amid.tracking.client import STORE, open_any
from amid.tracking.client import server as server_of
from amid.tracking.trouble import server_trouble, store_trouble
from amid.tracking.views import prepare_views, views
from stages.common import HOME, PARAMS, RUNS, run_command


def main(port: str) -> None:
    if not port.isdigit():
        raise AmidError(f"'{port}' is no port: give a number, such as 5000.")
    server = server_of(os.environ)
    params = load_params(PARAMS)
    try:
        prepared = prepare_views(open_any(HOME), views(params), current_runs(params))
    except Exception as error:
        trouble = server_trouble(error, server) if server else None
        trouble = trouble or store_trouble(error, HOME / "mlruns" / STORE)
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


def current_runs(params: Params) -> dict[str, dict[str, str]]:
    """Of Tables 1, 4, 5 and 6 as they stand, by comparison: key of a run -> its row, or its rows
    where several share it. None of a table whose runs are not there yet."""
    found: dict[str, dict[str, str]] = {}
    for dataset in params.datasets:
        only = params.model_copy(update={"datasets": [dataset]})
        loads = {
            f"table{number}-{dataset}": partial(load_records, only, RUNS, rows)
            for number, rows in ((1, params.table1), (4, params.table4), (5, params.table5))
        }
        loads[f"table6-{dataset}"] = partial(sensitivity.load, only, RUNS)
        for view, load in loads.items():
            with suppress(AmidError):
                named: dict[str, list[str]] = {}
                for row, runs in load()[dataset].items():
                    for run in runs:
                        named.setdefault(run.key, []).append(_name(row))
                found[view] = {key: ", ".join(names) for key, names in named.items()}
    return found


def _name(row: str | tuple[str, float]) -> str:
    """A configuration, or `alpha 4.1`."""
    return row if isinstance(row, str) else f"{row[0]} {row[1]:g}"


if __name__ == "__main__":
    run_command(main)

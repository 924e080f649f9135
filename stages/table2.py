"""table2: Table 2, retrieval by the compared methods, from the run records."""

from amid import config, layouts, rendering, results
from amid.records import load_records
from amid.tracking import Tracker
from stages.common import HOME, PARAMS, REPORTS, RUNS, run_stage


def main() -> None:
    params = config.load(PARAMS)
    with Tracker("table2", HOME, {"datasets": params.datasets, "seeds": params.seeds}) as tracker:
        table = results.table2(load_records(params, RUNS, params.table1))
        tracker.log_files(*rendering.write(table, layouts.TABLE2, REPORTS, "table2"))


if __name__ == "__main__":
    run_stage(main)

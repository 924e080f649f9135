"""table1: Table 1, recognition by the compared methods, from the run records."""

import json

from amid import config, layouts, rendering, results
from amid.records import load_records
from amid.tracking import Tracker
from stages.common import HOME, PARAMS, REPORTS, RUNS, run_stage


def main() -> None:
    params = config.load(PARAMS)
    with Tracker("table1", HOME, {"datasets": params.datasets, "seeds": params.seeds}) as tracker:
        records = load_records(params, RUNS, params.table1)
        table = results.table1(records)
        files = rendering.write(table, layouts.TABLE1, REPORTS, "table1")
        metrics = json.dumps(results.student_metrics(table), indent=1, sort_keys=True) + "\n"
        for name, text in {
            "table1_seeds.csv": rendering.to_csv(results.per_seed(records)),
            "table1.json": metrics,
        }.items():
            files.append(rendering.write_text(REPORTS / name, text))
        tracker.log_files(*files)


if __name__ == "__main__":
    run_stage(main)

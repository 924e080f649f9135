"""table3: Table 3, cross-validation by group in each setup, from the run records."""

from amid import config, layouts, rendering, results
from amid.records import load_folds
from amid.tracking import Tracker
from stages.common import HOME, PARAMS, REPORTS, RUNS, run_stage


def main() -> None:
    params = config.load(PARAMS)
    numbers = {"datasets": params.datasets, "folds": params.table3.folds}
    with Tracker("table3", HOME, numbers) as tracker:
        folds = results.per_fold(load_folds(params, RUNS))
        files = rendering.write(results.table3(folds), layouts.TABLE3, REPORTS, "table3")
        path = REPORTS / "table3_folds.csv"
        files.append(rendering.write_text(path, rendering.to_csv(folds)))
        tracker.log_files(*files)


if __name__ == "__main__":
    run_stage(main)

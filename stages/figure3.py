"""figure3: Figure 3, class-wise accuracy of two configurations, from the run records."""

from amid import config, figures, rendering, series
from amid.records import load_records
from amid.tracking import Tracker
from stages.common import HOME, PARAMS, REPORTS, RUNS, run_stage


def main() -> None:
    params = config.load(PARAMS)
    with Tracker("figure3", HOME, {"datasets": params.datasets, "seeds": params.seeds}) as tracker:
        classes = series.class_wise(load_records(params, RUNS, params.figure3))
        files = []
        for dataset, rows in classes.groupby("dataset", sort=False):  # a file a panel
            path = REPORTS / "figure3" / f"{dataset}.csv"
            text = rendering.to_csv(rows.drop(columns="dataset"))
            files.append(rendering.write_text(path, text))
        figures.figure3(classes, REPORTS / "figure3.png")
        tracker.log_files(*files, REPORTS / "figure3.png")


if __name__ == "__main__":
    run_stage(main)

"""table5: Table 5 and Figure 5 from the run records."""

from amid import config, figures, layouts, rendering, results, series
from amid.records import load_records
from amid.tracking import Tracker
from stages.common import HOME, PARAMS, REPORTS, RUNS, run_stage, write_curves


def main() -> None:
    params = config.load(PARAMS)
    with Tracker("table5", HOME, {"datasets": params.datasets, "seeds": params.seeds}) as tracker:
        records = load_records(params, RUNS, params.table5)
        files = rendering.write(results.table5(records), layouts.TABLE5, REPORTS, "table5")
        seeds = rendering.to_csv(results.per_seed(records))
        files.append(rendering.write_text(REPORTS / "table5_seeds.csv", seeds))
        curves = load_records(params, RUNS, params.figure5)
        similarities = series.similarities(curves)
        write_curves(similarities, REPORTS / "figure5")
        warmup = series.warmup_epochs(curves)
        figures.figure5(similarities, warmup, REPORTS / "figure5.png")
        tracker.log_files(*files, REPORTS / "figure5.png")


if __name__ == "__main__":
    run_stage(main)

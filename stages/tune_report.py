"""tune_report: what the search of each method's numbers found on validation."""

from amid import config, layouts, rendering, studies
from amid.records import load_tune
from amid.tracking import Tracker
from stages.common import HOME, PARAMS, REPORTS, RUNS, run_stage


def main() -> None:
    params = config.load(PARAMS)
    numbers = {"datasets": params.datasets, "seeds": params.tune.seeds}
    with Tracker("tune_report", HOME, numbers) as tracker:
        table = studies.tune(params, load_tune(params, RUNS))
        texts = {
            "tune.csv": rendering.to_csv(table),
            "tune.md": rendering.markdown(table, layouts.TUNE),
        }
        files = [rendering.write_text(REPORTS / name, text) for name, text in texts.items()]
        tracker.log_files(*files)


if __name__ == "__main__":
    run_stage(main)

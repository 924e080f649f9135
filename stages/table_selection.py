"""table_selection: accuracy and cost of sample selection, from the run records."""

from amid import config, figures, layouts, rendering, studies
from amid.records import load_selection
from amid.tracking import Tracker
from stages.common import HOME, PARAMS, REPORTS, RUNS, run_stage


def main() -> None:
    params = config.load(PARAMS)
    numbers = {"datasets": params.datasets, "seeds": params.seeds}
    with Tracker("table_selection", HOME, numbers) as tracker:
        table = studies.selection(load_selection(params, RUNS))
        files = rendering.write(table, layouts.SELECTION, REPORTS, "table_selection")
        figures.selection(table, REPORTS / "table_selection.png")
        tracker.log_files(*files, REPORTS / "table_selection.png")


if __name__ == "__main__":
    run_stage(main)

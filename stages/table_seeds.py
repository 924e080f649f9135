"""table_seeds: how many seeds a difference needs, from the run records."""

from amid import config, layouts, rendering, studies
from amid.records import load_records
from amid.tracking import Tracker
from stages.common import HOME, PARAMS, REPORTS, RUNS, run_stage


def main() -> None:
    params = config.load(PARAMS)
    numbers = {"datasets": params.datasets, "seeds": params.seeds}
    with Tracker("table_seeds", HOME, numbers) as tracker:
        records = load_records(params, RUNS, params.table_seeds.configurations)
        table = studies.seeds(records, params)
        tracker.log_files(*rendering.write(table, layouts.SEEDS, REPORTS, "table_seeds"))


if __name__ == "__main__":
    run_stage(main)

"""table_adversarial: when the adversarial term helps, from the run records."""

from amid import config, layouts, rendering, studies
from amid.records import load_adversarial
from amid.tracking import Tracker
from stages.common import HOME, PARAMS, REPORTS, RUNS, run_stage


def main() -> None:
    params = config.load(PARAMS)
    numbers = {"datasets": params.datasets, "seeds": params.table_adversarial.seeds}
    with Tracker("table_adversarial", HOME, numbers) as tracker:
        table = studies.adversarial(load_adversarial(params, RUNS))
        files = rendering.write(table, layouts.ADVERSARIAL, REPORTS, "table_adversarial")
        tracker.log_files(*files)


if __name__ == "__main__":
    run_stage(main)

"""python -m stages.table STUDY: a table or figure of amid.studies.STUDIES, from the run records."""

from amid.studies import get_study, load_results_params
from amid.tracking.tracker import Tracker
from stages.common import HOME, PARAMS, REPORTS, RUNS, run_stage


def main(study: str) -> None:
    chosen = get_study(study)
    params = load_results_params(PARAMS)
    with Tracker(study, HOME, {"datasets": params.datasets, "seeds": params.seeds}) as tracker:
        tracker.log_files(*chosen.write(params, RUNS, REPORTS))


if __name__ == "__main__":
    run_stage(main)

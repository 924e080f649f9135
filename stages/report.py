"""report: reports/index.html, the page that people open first."""

import os
from pathlib import Path

from amid import config, rendering
from amid.records import load_folds, load_records, load_sensitivity
from amid.report import dag
from amid.report.environment import facts, platforms
from amid.report.material import Material, configurations, read_exhibits
from amid.report.page import page
from amid.report.sections import all_sections
from amid.runs.store import open_store
from amid.tracking import Tracker
from stages.common import HOME, PARAMS, REPORTS, RUNS, run_stage

FILES = ("data", "train", "ablation", "compared", "sensitivity", "report")


def main() -> None:
    params = config.load(PARAMS)
    with Tracker("report", HOME, {"datasets": params.datasets, "seeds": params.seeds}) as tracker:
        loaded = (
            load_records(params, RUNS, configurations(params)),
            load_folds(params, RUNS),
            load_sensitivity(params, RUNS),
        )
        keys = {
            run.key for of in loaded for rows in of.values() for row in rows.values() for run in row
        }
        trained_on = platforms(open_store(os.environ, HOME).root, keys)
        material = Material(
            params,
            *loaded,
            {name: read_exhibits(RUNS / "exhibits" / name) for name in params.datasets},
            dag.read(Path.cwd(), ["dvc.yaml", *(f"pipelines/{n}/dvc.yaml" for n in FILES)]),
            facts(trained_on),
        )
        html = page(all_sections(material))
        tracker.log_files(rendering.write_text(REPORTS / "index.html", html))


if __name__ == "__main__":
    run_stage(main)

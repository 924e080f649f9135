"""report: reports/index.html, the page that people open first."""

import os
from pathlib import Path

from amid.report import dag
from amid.report.benchmark import read_benchmark
from amid.report.data import ReportData, configurations, read_exhibits
from amid.report.environment import facts, platforms
from amid.report.modalities import read_modalities
from amid.report.page import page
from amid.report.sections import all_sections
from amid.runs.store import open_store
from amid.studies import contrastive, folds, load_params, rendering, sensitivity
from amid.studies.base import load_records
from amid.tracking.tracker import Tracker
from stages.common import HOME, PARAMS, REPORTS, RUNS, run_stage

FILES = ("data", "train", "ablation", "compared", "sensitivity", "contrastive_small", "report")


def main() -> None:
    params = load_params(PARAMS)
    with Tracker("report", HOME, {"datasets": params.datasets, "seeds": params.seeds}) as tracker:
        loaded = (
            load_records(params, RUNS, configurations(params)),
            folds.load(params, RUNS),
            sensitivity.load(params, RUNS),
        )
        pairs = contrastive.load(params, RUNS, contrastive.SMALL)
        keys = {
            run.key
            for of in (*loaded, pairs)
            for rows in of.values()
            for row in rows.values()
            for run in row
        }
        trained_on = platforms(open_store(os.environ, HOME).root, keys)
        data = ReportData(
            params,
            *loaded,
            {name: read_exhibits(RUNS / "exhibits" / name) for name in params.datasets},
            dag.read_stages(Path.cwd(), ["dvc.yaml", *(f"pipelines/{n}/dvc.yaml" for n in FILES)]),
            facts(trained_on),
            read_benchmark(REPORTS),
            read_modalities(REPORTS),
            pairs,
        )
        html = page(all_sections(data))
        tracker.log_files(rendering.write_text(REPORTS / "index.html", html))


if __name__ == "__main__":
    run_stage(main)

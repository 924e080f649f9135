"""table4: Table 4 and Figure 4 from the run records."""

import json

from amid import config, figures, results
from amid.reproducible import platform_fingerprint
from amid.tracking import Tracker
from stages.common import HOME, PARAMS, REPORTS, RUNS, run_stage


def main() -> None:
    params = config.load(PARAMS)
    with Tracker("table4", HOME, {"datasets": params.datasets, "seeds": params.seeds}) as tracker:
        REPORTS.mkdir(exist_ok=True)
        records = results.load_records(params, RUNS, params.table4)
        table = results.table4(records)
        curves = results.load_records(params, RUNS, params.figure4)
        gaps = results.gaps(curves)
        texts = {
            "table4.csv": results.to_csv(table),
            "table4_seeds.csv": results.to_csv(results.per_seed(records)),
            "table4.md": results.table4_markdown(table),
            "table4.tex": results.table4_latex(table),
            "metrics.json": json.dumps(results.metrics(table), indent=1, sort_keys=True) + "\n",
        }
        for name, text in texts.items():
            (REPORTS / name).write_text(text, encoding="utf-8", newline="\n")
        (REPORTS / "figure4").mkdir(exist_ok=True)
        for dataset in params.datasets:  # a file a data set, a column a curve: as `dvc plots` likes
            wide = results.to_csv(results.wide(gaps[gaps["dataset"] == dataset]))
            (REPORTS / "figure4" / f"{dataset}.csv").write_text(wide, newline="\n")
        figures.figure4(gaps, results.warmup_epochs(curves), REPORTS / "figure4.png")
        # No out of DVC's, as it names the machine: where it is the same, the bytes must be.
        platform = json.dumps({"platform": platform_fingerprint()}) + "\n"
        (REPORTS / "platform.json").write_text(platform)
        tracker.log_files(*(REPORTS / name for name in (*texts, "figure4.png")))


if __name__ == "__main__":
    run_stage(main)

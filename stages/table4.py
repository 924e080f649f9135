"""table4: Table 4 and Figure 4 from the run records."""

import json

from amid import config, figures, layouts, rendering, results, series
from amid.records import load_records
from amid.reproducible import platform_fingerprint
from amid.tracking import Tracker
from stages.common import HOME, PARAMS, REPORTS, RUNS, run_stage, write_curves


def main() -> None:
    params = config.load(PARAMS)
    with Tracker("table4", HOME, {"datasets": params.datasets, "seeds": params.seeds}) as tracker:
        records = load_records(params, RUNS, params.table4)
        table = results.table4(records)
        files = rendering.write(table, layouts.TABLE4, REPORTS, "table4")
        for name, text in {
            "table4_seeds.csv": rendering.to_csv(results.per_seed(records)),
            "metrics.json": json.dumps(results.metrics(table), indent=1, sort_keys=True) + "\n",
        }.items():
            files.append(rendering.write_text(REPORTS / name, text))
        curves = load_records(params, RUNS, params.figure4)
        gaps = series.gaps(curves)
        write_curves(gaps, REPORTS / "figure4")
        figures.figure4(gaps, series.warmup_epochs(curves), REPORTS / "figure4.png")
        # No out of DVC's, as it names the machine: where it is the same, the bytes must be.
        platform = json.dumps({"platform": platform_fingerprint()}) + "\n"
        rendering.write_text(REPORTS / "platform.json", platform)
        tracker.log_files(*files, REPORTS / "figure4.png")


if __name__ == "__main__":
    run_stage(main)

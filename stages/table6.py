"""table6: Table 6, its comparison with the seeds' noise, and Figure 6 from the run records."""

from amid import config, figures, layouts, rendering, results, studies
from amid.records import load_sensitivity
from amid.tracking import Tracker
from stages.common import HOME, PARAMS, REPORTS, RUNS, run_stage


def main() -> None:
    params = config.load(PARAMS)
    with Tracker("table6", HOME, {"datasets": params.datasets, "seeds": params.seeds}) as tracker:
        records = load_sensitivity(params, RUNS)
        _, options, *_ = params.resolved(params.table6.configuration)
        defaults = {name: getattr(options, name) for name in ("alpha", "beta", "gamma")}
        table = results.table6(records, defaults)
        noise = studies.sensitivity(records, params)
        files = rendering.write(table, layouts.TABLE6, REPORTS, "table6")
        pages = ((table, layouts.TABLE6), (noise, layouts.SENSITIVITY))
        page = "\n".join(rendering.markdown(frame, layout) for frame, layout in pages)
        rendering.write_text(REPORTS / "table6.md", page)
        noise_csv = rendering.to_csv(noise)
        files.append(rendering.write_text(REPORTS / "table6_noise.csv", noise_csv))
        for dataset in params.datasets:  # as `dvc plots` likes
            rows = rendering.to_csv(table[table["dataset"] == dataset])
            rendering.write_text(REPORTS / "figure6" / f"{dataset}.csv", rows)
        figures.figure6(table, REPORTS / "figure6.png")
        tracker.log_files(*files, REPORTS / "figure6.png")


if __name__ == "__main__":
    run_stage(main)

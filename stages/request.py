"""python -m stages.request PIPELINE: makes DVC know the stages of pipelines/PIPELINE that are on
request (stages/known.py says why), and runs them."""

from pathlib import Path

from ruamel.yaml import YAML

from amid import config
from amid.io.atomic import write_atomic
from stages.common import PARAMS, REPORTS, run_command
from stages.known import know, know_downloads, tell_report

OUT = Path("data") / "asked"  # of the downloads' request, for which `extract` waits


def main(pipeline: str) -> None:
    params = config.load(PARAMS)
    if pipeline == "data":
        know_downloads(params, params.datasets, checked=True)
        write_atomic(OUT, b"DVC knows the downloads of all data sets in `datasets`\n")
        return
    datasets = own_datasets(pipeline) or params.datasets
    know_downloads(params, datasets)
    asked = {"datasets": datasets, "tables": ["all"]}
    if pipeline == "contrastive":  # the others' features are outs of a stage that DVC knows already
        asked["extracted"] = [name for name in datasets if name not in params.datasets]
    know(pipeline, asked, [f"pipelines/{pipeline}/asked/dvc.yaml"])
    tell_report(pipeline, REPORTS)


def own_datasets(pipeline: str) -> list[str]:
    """The data sets that a pipeline's own parameters name, in place of those of params.yaml."""
    file = Path("pipelines") / pipeline / "params.yaml"
    blocks = YAML(typ="safe").load(file.read_text(encoding="utf-8")) if file.exists() else {}
    return [name for block in blocks.values() for name in block.get("datasets", ())]


if __name__ == "__main__":
    run_command(main)

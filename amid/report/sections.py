"""All sections of the report, in the order of the page."""

from __future__ import annotations

from amid.report import clips, dag, figures, training_curves
from amid.report.benchmark import benchmark
from amid.report.blocks import Picture, Pictures, Section, Text
from amid.report.data import ReportData
from amid.report.headline import headline
from amid.report.modalities import missing_modalities
from amid.report.pairs import noisy_pairs
from amid.report.paper_tables import numbers_of_the_paper, paper_tables
from amid.report.table_blocks import Code, plain_table


def all_sections(data: ReportData) -> list[Section]:
    """The sections, in the order of the page."""
    return [
        headline(data),
        *benchmark(data),
        paper_tables(data),
        figures.paper_figures(data),
        *missing_modalities(data),
        *noisy_pairs(data),
        training_curves.training(data),
        training_curves.weights(data),
        clips.quarantine(data),
        clips.tsne(data),
        clips.confusion(data),
        clips.predictions(data),
        pipeline(data),
        environment(data),
        numbers_of_the_paper(),
    ]


def pipeline(data: ReportData) -> Section:
    """The DAG with one node per stage, and a table of the stages."""
    ends = [name for name, stage in data.stages.items() if stage.file == "dvc.yaml"]
    picture, alt = dag.draw(data.stages, ends)
    caption = (
        "A doubled node stands for one stage per data set. Lines that follow from others are left "
        "out."
    )
    rows = [
        [name, data.stages[name].desc, Code(data.stages[name].command(dataset))]
        for dataset in data.params.datasets[:1]
        for column in dag.columns(dag.needs(data.stages))
        for name in column
    ]
    blocks = [
        Text("The command dvc repro makes everything, from raw clips to this page."),
        Pictures([Picture(picture, alt, caption, layout="wide")]),
        plain_table("The stages", ("stage", "makes", "command"), rows),
    ]
    return Section("pipeline", "The pipeline", blocks)


def environment(data: ReportData) -> Section:
    """Versions and platform; nothing that names a machine or a person."""
    note = (
        "Where the platform is called portable, every x86-64 processor with AVX2 gives these "
        "numbers, to the last bit. Other versions of torch, numpy or Python, another kind of "
        "processor or a GPU may change the last bits of a sum, after which a training run takes a "
        "different course."
    )
    rows = [list(pair) for pair in data.environment]
    table = plain_table("Software and platform", ("what", "which"), rows)
    return Section("environment", "Environment", [table, Text(note)])

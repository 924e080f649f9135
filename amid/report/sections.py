"""All sections of the report, in the order of the page."""

from __future__ import annotations

from amid.report import curves, dag, findings, testclips
from amid.report.content import Picture, Pictures, Section, Text
from amid.report.material import Material
from amid.report.tables import Code, plain_table


def all_sections(material: Material) -> list[Section]:
    """In the order of the page."""
    return [
        findings.headline(material),
        findings.paper_tables(material),
        curves.paper_figures(material),
        curves.training(material),
        curves.weights(material),
        testclips.quarantine(material),
        testclips.plane(material),
        testclips.confusion(material),
        testclips.clips(material),
        pipeline(material),
        environment(material),
    ]


def pipeline(material: Material) -> Section:
    """The DAG, a node a group of runs."""
    ends = [name for name, stage in material.stages.items() if stage.file == "dvc.yaml"]
    picture, alt = dag.drawn(material.stages, ends)
    caption = (
        "A sheet behind a node: there is one for every data set. A line that follows from others "
        "is left out."
    )
    rows = [
        [name, material.stages[name].desc, Code(material.stages[name].command(dataset))]
        for dataset in material.params.datasets[:1]
        for column in dag.columns(dag.needs(material.stages))
        for name in column
    ]
    blocks = [
        Text("Everything from raw clips to this page is one command, dvc repro."),
        Pictures([Picture(picture, alt, caption, wide=True)]),
        plain_table("What each stage makes", ("stage", "makes", "command"), rows),
    ]
    return Section("pipeline", "The pipeline", blocks)


def environment(material: Material) -> Section:
    """What the page was made with; nothing that names a machine or a person."""
    note = (
        "What this page was made with, and the runs that were trained beside it. "
        "Another processor or another torch may change the last bits of a sum, and a training "
        "takes another path from there: then the numbers differ within their deviations."
    )
    rows = [list(pair) for pair in material.environment]
    table = plain_table("Software and instruction set", ("what", "which"), rows)
    return Section("environment", "Environment", [table, Text(note)])

"""Read the DAG from dvc.yaml files, lay it out and draw it: one node per stage."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
from markupsafe import Markup

from amid.report import svg

BOX, GAP, TALL, ROW = 98.0, 27.0, 30.0, 44.0  # pixels: eight columns fit a desktop
FITS = 13  # letters of a name in a box; of longer ones they are narrower
Edges = Mapping[str, set[str]]  # stage -> the stages it needs


@dataclass(frozen=True)
class Stage:
    """One entry of a dvc.yaml.

    file: path of the dvc.yaml from the project's root.
    each: whether the stage exists once per data set; `@` then stands for its name in deps and outs.
    """

    name: str
    file: str
    desc: str
    each: bool
    deps: tuple[str, ...]
    outs: tuple[str, ...]

    def command(self, dataset: str) -> str:
        """The command that reproduces its outs, from the project's root."""
        place = self.name if self.file == "dvc.yaml" else f"{self.file}:{self.name}"
        return f"dvc repro {place}@{dataset}" if self.each else f"dvc repro {place}"


def read_stages(root: Path, files: Sequence[str]) -> dict[str, Stage]:
    """Read the dvc.yaml `files` below `root`: name -> stage."""
    from ruamel.yaml import YAML

    found = {}
    for file in files:
        stages = YAML(typ="safe", pure=True).load((root / file).read_text(encoding="utf-8"))
        for name, entry in stages["stages"].items():
            stage = entry.get("do", entry)
            outs = [
                next(iter(out)) if isinstance(out, dict) else out
                for out in (*stage.get("outs", []), *stage.get("metrics", []))
            ]
            found[name] = Stage(
                name, file, str(stage.get("desc", "")), "do" in entry or "matrix" in entry,
                tuple(map(_plain, stage["deps"])), tuple(map(_plain, outs)),
            )  # fmt: skip
    return found


def needs(stages: Mapping[str, Stage]) -> dict[str, set[str]]:
    """Stage -> the stages whose outs it reads, without those that another of these needs."""
    direct = {
        name: {
            other.name
            for other in stages.values()
            if other.name != name and any(_made(dep, other) for dep in stage.deps)
        }
        for name, stage in stages.items()
    }
    graph = nx.transitive_reduction(_graph(direct))
    return {name: set(graph.predecessors(name)) for name in direct}


def upstream(edges: Edges, names: Sequence[str]) -> set[str]:
    """The stages `names` and all that they need, directly or through others."""
    graph = _graph(edges)
    return set(names).union(*(nx.ancestors(graph, name) for name in names))


def columns(edges: Edges) -> list[list[str]]:
    """The stages by column, from left to right.

    Each stage is to the right of all that it needs, and at about their height.
    """
    found = [list(names) for names in nx.topological_generations(_graph(edges))]
    place: dict[str, float] = {}
    for column in found:

        def key(name: str) -> tuple[float, str]:
            places = [place[other] for other in edges[name]]
            return (sum(places) / len(places) if places else 0.0, name)

        column.sort(key=key)
        for number, name in enumerate(column):
            place[name] = number - (len(column) - 1) / 2
    return found


def routed(edges: Edges) -> Edges:
    """The same edges with an extra node in each column that an edge crosses, so that its line is
    drawn between the stages of that column and not behind one."""
    column = {name: n for n, names in enumerate(columns(edges)) for name in names}
    found: dict[str, set[str]] = {name: set() for name in edges}
    for name, of in edges.items():
        for other in sorted(of):  # a set's order is another one in each process
            last = other
            for number in range(column[other] + 1, column[name]):
                way = f"{other} > {name} {number}"
                found[way], last = {last}, way
            found[name].add(last)
    return found


def draw(stages: Mapping[str, Stage], ends: Sequence[str]) -> tuple[Markup, str]:
    """Draw the stages `ends` and all that they need. Returns the SVG and its text alternative."""
    edges = needs(stages)
    kept = upstream(edges, ends)
    edges = {name: of for name, of in edges.items() if name in kept}
    ways = routed(edges)
    layers = columns(ways)
    height = 20 + ROW * max(map(len, layers))
    corner = {
        name: (10 + (BOX + GAP) * x, height / 2 + ROW * (y - (len(layer) - 1) / 2) - TALL / 2)
        for x, layer in enumerate(layers)
        for y, name in enumerate(layer)
    }
    parts = []
    for name, of in ways.items():
        for other in sorted(of):
            (x0, y0), (x1, y1) = corner[other], corner[name]
            parts.append(_edge(x0 + BOX, y0 + TALL / 2, x1, y1 + TALL / 2))
        if name not in edges:
            x, y = corner[name]
            parts.append(_edge(x, y + TALL / 2, x + BOX, y + TALL / 2))
    box = Markup('<rect class="{}" x="{:.0f}" y="{:.0f}" width="{:.0f}" height="{:.0f}" rx="6"/>')
    for name in edges:
        (x, y), stage = corner[name], stages[name]
        rects = [box.format("node", x, y, BOX, TALL)]
        if stage.each:  # a sheet for every data set
            rects.insert(0, box.format("node behind", x + 3, y - 3, BOX, TALL))
        label = Markup('<text class="node middle" x="{:.0f}" y="{:.0f}"{}>{}</text>')
        fit = Markup(' textLength="{:.0f}" lengthAdjust="spacingAndGlyphs"').format(BOX - 8)
        parts.append(
            Markup("<g><title>{}: {}</title>{}{}</g>").format(
                name, stage.desc, Markup("").join(rects),
                label.format(x + BOX / 2, y + TALL / 2 + 4, fit if len(name) > FITS else "", name),
            )
        )  # fmt: skip
    width = 20 + (BOX + GAP) * len(layers) - GAP
    words = "; ".join(f"{n} needs {', '.join(sorted(of))}" for n, of in edges.items() if of)
    return svg.drawing(width, height, parts), f"{len(edges)} stages from left to right. {words}."


def _edge(x0: float, y0: float, x1: float, y1: float) -> Markup:
    reach = max(GAP, (x1 - x0) / 2.5)
    path = (
        f"M{x0:.0f} {y0:.1f}C{x0 + reach:.0f} {y0:.1f} {x1 - reach:.0f} {y1:.1f} {x1:.0f} {y1:.1f}"
    )
    return Markup('<path class="edge" d="{}"/>').format(path)


def _graph(edges: Edges) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(edges)
    graph.add_edges_from((other, name) for name, of in edges.items() for other in of)
    return graph


def _made(dep: str, stage: Stage) -> bool:
    """Whether a stage makes `dep`, a folder that contains it, or something in it."""
    return any(
        out == dep or out.startswith(f"{dep}/") or dep.startswith(f"{out}/") for out in stage.outs
    )


def _plain(path: str) -> str:
    return re.sub(r"\$\{(item\.dataset|key)\}", "@", path)

"""The page holds all it shows, escapes what others wrote, and is marked up for everyone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from amid.core.reproducible import platform_fingerprint
from amid.report import clips, dag, environment, figures, paper_tables
from amid.report import page as page_module
from amid.report.data import configurations
from amid.report.sections import all_sections
from amid.studies.recognition import table1
from amid.studies.rendering import decimals
from stages.report import FILES
from tests.report.made import made_page, report_data, usual_page
from tests.small import ROOT, committed, small_params

EMPTY = {at: {"student": [], "teacher": []} for at in ("best", "last")}
HOSTILE = "<script>alert('x')</script>\"&\n"


class Page(HTMLParser):
    """The elements of a page: (tag, attributes), and the text of those of interest."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes) -> None:
        self.elements.append((tag, dict(attributes)))
        self.text.setdefault(tag, []).append("")
        self.open.append(tag)

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.text[tag][-1] += data

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def html() -> str:
    return usual_page()


@pytest.fixture(scope="module")
def parsed(html: str) -> Page:
    return Page(html)


def test_the_sections_stand_in_their_order(parsed: Page) -> None:
    assert [section["id"] for section in parsed.all("section")] == [
        *("result", "tables", "figures", "pairs", "training", "weights", "quarantine"),
        *("representations", "confusion", "clips", "pipeline", "environment", "the-paper"),
    ]


def test_it_needs_no_other_file(html: str, parsed: Page) -> None:
    assert "http:" not in html
    assert "https:" not in html
    assert not parsed.all("link")
    assert not parsed.all("iframe")
    for tag in ("img", "script"):
        for attributes in parsed.all(tag):
            assert (attributes.get("src") or "data:").startswith("data:")
    assert {a["href"][0] for a in parsed.all("a")} == {"#"}
    assert not re.search(r"url\((?!#)", html)
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    policy = next(m["content"] for m in parsed.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert len(html.encode()) < 2 << 20


def test_names_of_classes_and_clips_are_text(html: str) -> None:
    hostile = made_page(classes=(HOSTILE, "</style>", "{{ 7 * 7 }}"), clip=HOSTILE)
    for tag in ("<script", "</script", "<style", "</style"):
        assert hostile.count(tag) == html.count(tag)
    assert "&lt;script&gt;alert" in hostile
    assert "{{ 7 * 7 }}" in hostile
    assert "\n&#34;" not in hostile  # a line feed of a label is shown as its code


def test_headings_go_down_one_by_one_and_tables_have_captions_and_headers(parsed: Page) -> None:
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert len(parsed.all("caption")) == len(parsed.all("table")) > 8
    assert {th["scope"] for th in parsed.all("th")} == {"col", "row"}
    assert parsed.all("img")
    for attributes in parsed.all("img"):
        assert attributes["alt"]
    pictures = [a for tag, a in parsed.elements if a.get("role") == "img"]
    assert len(pictures) == len(parsed.all("svg")) > 5
    assert all(len(attributes["aria-label"]) > 20 for attributes in pictures)


def test_the_headline_says_what_table_1_says(html: str) -> None:
    made = report_data()
    rows = table1(made.rows(made.params.table1)).set_index("configuration")
    alone, taught = rows.loc["student_alone"], rows.loc["amid"]
    assert f"{decimals(taught['student'])} ± {decimals(taught['student_std'])}" in html
    assert f"{decimals(alone['student'])} ± {decimals(alone['student_std'])}" in html
    gain = taught["student"] - alone["student"]
    assert gain > 0
    assert f"It gains {decimals(gain)} points" in html


def test_every_run_behind_a_number_is_named_with_its_command(html: str) -> None:
    made = report_data()
    for runs in made.records["avlips"].values():
        assert all(run.key in html for run in runs)
    for runs in made.pairs["avsentences_small"].values():
        assert all(run.key in html for run in runs)
    assert "dvc repro pipelines/contrastive_small/dvc.yaml:contrastive_small<" in html
    assert "dvc repro pipelines/train/dvc.yaml:amid@avlips" in html
    assert "dvc repro pipelines/compared/dvc.yaml:folds@avlips" in html
    assert "dvc repro pipelines/sensitivity/dvc.yaml:sensitivity@avlips" in html


def test_one_seed_has_no_deviation_and_no_p() -> None:
    html = made_page(seeds=(0,), folds=False)
    assert "with one seed there is no significance test" in html
    assert " ± -" in html
    assert "there is nothing to cross-validate" in html
    assert not re.search(r"\bnan\b", html.lower())


@pytest.mark.slow
def test_a_data_set_without_test_clips_says_so_and_keeps_its_curves() -> None:
    made = report_data(datasets=("avlips", "grid"))

    def without(rows: dict) -> dict:
        return {
            name: [replace(run, labels=[], clips=[], predictions=EMPTY) for run in runs]
            for name, runs in rows.items()
        }

    for bare in (("grid",), ("avlips", "grid")):
        kinds = {
            kind: {d: without(of) if d in bare else of for d, of in getattr(made, kind).items()}
            for kind in ("records", "folds", "sensitivity")
        }
        html = page_module.page(all_sections(replace(made, **kinds)))
        for dataset in made.params.datasets:
            left_out = f"{dataset}: there are no test clips, so the tables have no row of it."
            assert (left_out in html) == (dataset in bare)
            assert (
                f"{dataset}: there are no test clips to compare on." in html or dataset not in bare
            )
            assert (f"Table 1: recognition with one modality, {dataset}" in html) != (
                dataset in bare
            )
            assert (f"<figcaption>Figure 3: 3 classes, {dataset}" in html) != (dataset in bare)
            assert (f"<figcaption>Figure 6: test Top-1 at other weights, {dataset}" in html) != (
                dataset in bare
            )
            assert f"<figcaption>Figure 4: teacher − student in points, {dataset}" in html
            assert f"{dataset}: loss, AMID" in html
        assert not re.search(r"\bnan\b", html.lower())


def test_tsne_says_whether_classes_are_named() -> None:
    made = report_data()
    for count, named in ((60, True), (61, False)):
        classes = [f"class{n}" for n in range(count)]
        points = [[n, 0.1, 0.2, 0.3, 0.4] for n in range(count)]
        plane = {**made.exhibits["avlips"]["plane"], "points": points}
        records = {
            "avlips": {"amid": [replace(made.records["avlips"]["amid"][0], classes=classes)]}
        }
        exhibits = {"avlips": {"plane": plane}}
        section = clips.tsne(replace(made, records=records, exhibits=exhibits))
        said = " ".join(block.words for block in section.blocks if block.kind == "text")
        assert ("Names stand at the medians of their classes." in said) == named
        assert (f"{count} classes are too many to name" in said) != named
        pictures = next(block for block in section.blocks if block.kind == "pictures")
        assert all(('"cloudname"' in one.svg) == named for one in pictures.items)
        assert all("<title>class0</title>" in one.svg for one in pictures.items)


def test_figure_6_tells_the_teacher_where_it_draws_it() -> None:
    made = report_data()
    frame, _ = paper_tables.table6_frames(made)
    rows = frame[frame["weight"] == "beta"]
    section = figures.paper_figures(made)
    pictures = [one for b in section.blocks if b.kind == "pictures" for one in b.items]
    (told,) = (one.alt for one in pictures if one.caption.startswith("Figure 6"))
    told = re.search("Accuracy at [0-9]+ values of beta: .*? Accuracy", told)[0]
    for head in ("student", "teacher"):
        assert f"the {head}'s from {rows[head].min():.1f} to {rows[head].max():.1f} %" in told


def test_figure_3_shows_the_largest_differences_of_many_classes() -> None:
    count = figures.SHOWN_CLASSES + 1
    classes = [f"class{n}" for n in range(count)]
    made = report_data()
    rows = {}
    for name, right in (("amid", range(count)), ("ccl", range(1, count, 2))):
        predictions = {"best": {"student": [n if n in right else 0 for n in range(count)]}}
        run = replace(
            made.records["avlips"][name][0],
            labels=list(range(count)), classes=classes, predictions=predictions,
        )  # fmt: skip
        rows[name] = [run]
    records = {"avlips": {**made.records["avlips"], **rows}}
    section = figures.paper_figures(replace(made, records=records))
    pictures = next(block for block in section.blocks if block.kind == "pictures")
    (one,) = pictures.items
    assert one.caption == "Figure 3: the 60 of 61 classes with the largest differences, avlips"
    shown = set(re.findall(r">(class\d+)</text>", one.svg))
    assert len(shown) == 60
    assert set(re.findall(r"class\d+", one.alt)) == shown
    assert "AMID is ahead of CCL in 30 of 60 classes" in one.alt


def test_what_opens_is_told_apart_by_ear(parsed: Page) -> None:
    summaries = parsed.text["summary"]
    assert len(summaries) == len(set(summaries)) > 8
    assert "Runs behind these numbers (avlips): Table 5: what each part of AMID adds, avlips" in (
        summaries
    )


def test_the_platform_of_the_runs_is_told_beside_that_of_the_page(tmp_path: Path) -> None:
    here = platform_fingerprint()
    for platform, key in ((here, "aa"), ("elsewhere", "bb"), ("locks", "")):
        (tmp_path / platform / key).mkdir(parents=True)
        if key:
            (tmp_path / platform / key / "record.json").touch()
    assert environment.platforms(tmp_path, {"bb"}) == ["elsewhere"]
    assert environment.platforms(tmp_path, {"aa", "bb"}) == sorted(["elsewhere", here])
    assert environment.platforms(tmp_path, {"cc"}) == []
    assert environment.platforms(tmp_path / "none", {"aa"}) == []
    said = {which: dict(environment.facts(of)) for which, of in (
        ("same", [here]), ("other", ["elsewhere"]), ("none", []),
    )}  # fmt: skip
    assert said["same"]["platform of the run store"] == here
    trained, made = "platform that the runs were trained on", "platform that this page was made on"
    assert said["other"][trained] == "elsewhere"
    assert said["other"][made] == here
    assert "not known" in said["none"][trained]


@pytest.mark.slow
def test_several_data_sets_each_have_their_part() -> None:
    html = made_page(datasets=("avlips", "grid"))
    assert "On avlips, a student" in html
    assert "On grid, a student" in html
    assert "amid@grid" in html


@pytest.mark.slow
def test_the_same_material_gives_the_same_bytes(html: str) -> None:
    """In another process, with other hashes, locale and time zone."""
    code = "import sys; from tests.report.made import made_page; sys.stdout.write(made_page())"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    environment |= {"PYTHONUTF8": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True
    )
    assert done.stdout.decode() == html


def test_a_list_that_names_an_untrained_configuration_is_kept_for_the_error() -> None:
    params = small_params(sections={"amid": ["amid"]})
    assert "crd" in configurations(params)  # of table1: load_records then says what is wrong
    assert configurations(params).count("amid") == 1


def test_the_committed_page_shows_every_committed_stage(tmp_path: Path) -> None:
    """DVC lets no stage depend on a dvc.yaml: who adds a stage makes the page anew."""
    html = committed("reports/index.html")
    files = ["dvc.yaml", *(f"pipelines/{name}/dvc.yaml" for name in FILES)]
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(committed(file), encoding="utf-8")
    stages = dag.read_stages(tmp_path, files)
    assert {"check", "download", "amid", "table1", "report"} <= set(stages)
    for name in stages:
        assert f">{name}</text>" in html, f"python -m stages.report: {name} is not drawn"


def test_style_and_script_hold_no_end_of_their_own() -> None:
    for name, end in (("page.css", "</style"), ("page.js", "</script")):
        assert end not in (page_module.HERE / name).read_text(encoding="utf-8").lower()


def test_colours_of_text_are_told_from_their_ground() -> None:
    """4.5 to 1, WCAG AA, in light and in dark; dark is the same by system and by button."""
    css = (page_module.HERE / "page.css").read_text(encoding="utf-8")
    light, button, system = (
        dict(re.findall(r"--(\w+): (#\w{6});", block))
        for block in re.findall(r":root[^{]*\{\s*color-scheme[^}]*\}", css)
    )
    assert button == system
    for palette in (light, button):
        for ground in ("paper", "raised"):
            for name in ("ink", "muted", "link", "s0", "s1", "s2", "s3", "s4"):
                contrast = _contrast(palette[name], palette[ground])
                assert contrast >= (4.5 if name != "s2" else 3), (name, ground, contrast)


def _contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        shares = (int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)

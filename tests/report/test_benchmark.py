"""The benchmark on the page: there with its files, and without them nothing of it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from amid.errors import AmidError
from amid.io.checksums import sha256_bytes
from amid.report.benchmark import benchmark, other_runs, read_benchmark
from amid.report.blocks import Table
from amid.report.page import page
from amid.studies.rendering import UNDEFINED, decimals
from stages import known
from tests import benchmarked
from tests.report.made import made_page, report_data, usual_page
from tests.small import ROOT, committed

FEW = ["student_alone", "kd", "amid"]
PROTOCOLS = {"paper": 4, "strong": 3}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    of = benchmarked.params(["avlips", "grid"], PROTOCOLS, FEW)
    return benchmarked.write_reports(of, tmp_path_factory.mktemp("benchmark"))


@pytest.fixture(scope="module")
def frames(reports: Path) -> dict[str, pd.DataFrame]:
    found = read_benchmark(reports)
    assert found is not None
    return found


def section(frames: dict[str, pd.DataFrame], **changes) -> list:
    """The blocks of the section."""
    (found,) = benchmark(replace(report_data(**changes), benchmark=frames))
    return list(found.blocks)


@pytest.fixture(scope="module")
def blocks(frames: dict[str, pd.DataFrame]) -> list:
    """Of a page of avlips and of a data set that the benchmark lacks."""
    return section(frames, datasets=("avlips", "utd_mhad"))


def tables_of(blocks: list) -> list[Table]:
    return [block for block in blocks if isinstance(block, Table)]


def words_of(blocks: list) -> str:
    return "\n".join(block.words for block in blocks if block.kind == "text")


@pytest.mark.slow
def test_it_is_the_first_table_and_the_rest_of_the_page_is_as_without_it(
    frames: dict[str, pd.DataFrame], blocks: list
) -> None:
    bare, html = usual_page(), made_page(frames)
    ids = re.findall(r'<section id="([a-z-]+)"', html)
    assert ids[:3] == ["result", "benchmark", "tables"]
    first = html[: html.index("</caption>")]
    assert first.endswith(f"<caption>{tables_of(blocks)[0].caption}".replace("'", "&#39;"))
    rest = re.sub(r'<section id="benchmark".*?</section>\n', "", html, flags=re.DOTALL)
    entry = '<li><a href="#benchmark">Benchmark of all methods</a></li>\n'
    assert rest.count(entry) == 1
    assert rest.replace(entry, "") == bare
    assert "enchmark" not in bare
    assert not re.search(r"\bnan\b|<NA>|None", re.sub(r"<script>.*", "", html, flags=re.DOTALL))
    found = re.findall(r"<figcaption>(.*?)</figcaption>", html)
    for dataset in ("avlips", "grid"):
        for place in ("protocol paper, 4 seeds", "protocol strong, 3 seeds"):
            assert f"Gain over the student alone, {dataset}, {place}" in found
            assert f"Mean ranks, {dataset}, {place}" in found
    assert "style=" not in html  # which the page's policy forbids


def test_the_tables_show_what_the_files_say(frames: dict[str, pd.DataFrame], blocks: list) -> None:
    shown = tables_of(blocks)
    first, *_, lost = shown
    assert [header for header, _ in first.columns] == [
        *("configuration", "student", "gain over student alone", "effect, student alone"),
        *("p, student alone", "gain over KD", "effect, KD", "p, KD", "mean rank"),
    ]
    table = frames[""]
    rows = table[(table["dataset"] == "avlips") & (table["protocol"] == "paper")]
    for row, values in zip(first.rows, rows.to_dict("records"), strict=True):
        cells = [cell.text for cell in row.cells]
        mean, half = values["student"], values["interval"]
        assert cells[1] == f"{decimals(mean)} [{decimals(mean - half)}, {decimals(mean + half)}]"
        assert row.cells[1].order == mean
        assert cells[-1] == decimals(values["rank"])
        alone, plain = (values["configuration"] == name for name in ("student_alone", "kd"))
        assert (cells[2] == UNDEFINED) == alone
        assert (cells[5] == UNDEFINED) == plain
        if not alone:
            assert cells[2].startswith(f"{values['difference_alone']:+.1f} [".replace("-", "−"))
    assert first.rows[-1].strong  # AMID
    assert f"critical difference {rows['critical'].iloc[0]:.1f}" in first.caption
    assert "Friedman's test of the ranks: p" in first.caption
    assert len(shown) == 2 * 2 + 2
    assert [header for header, _ in lost.columns][-1] == "lost against KD"
    assert lost.caption == "Protocol strong, 2 data sets"
    assert len({table.name for table in shown}) == len(shown)


def test_every_run_is_named_with_its_seed(frames: dict[str, pd.DataFrame], blocks: list) -> None:
    origins = [block for block in blocks if block.kind == "provenance"]
    assert [block.dataset for block in origins] == ["avlips", "grid"]
    keys = [key for block in origins for row in block.rows for _, key, _ in row.runs]
    assert keys == frames["_seeds"]["run"].tolist()
    assert origins[0].rows[0].name == "student alone, protocol paper"
    assert [which for which, _, _ in origins[0].rows[0].runs] == [f"seed {n}" for n in range(4)]


def test_pictures_are_told_in_words(blocks: list) -> None:
    rows = [block for block in blocks if block.kind == "pictures"]
    pictures = [one for block in rows for one in block.items]
    gain, ranks, *_ = pictures
    assert gain.alt.startswith("Gain over the student alone in points, with 95 % interval: ")
    assert "KD +" in gain.alt or "KD −" in gain.alt
    assert ranks.alt.startswith("Mean ranks, 1 the best: ")
    assert "Joined as not told apart: " in ranks.alt
    assert len(pictures) == 8


def test_a_data_set_of_the_page_without_a_benchmark_is_named(
    frames: dict[str, pd.DataFrame], blocks: list
) -> None:
    words = words_of(blocks)
    assert "utd_mhad: not trained for the benchmark" in words
    assert "grid: not trained" not in words
    assert benchmark(replace(report_data(datasets=("utd_mhad",)), benchmark=frames)) == []


def test_a_benchmark_of_other_runs_than_the_tables_says_so(
    frames: dict[str, pd.DataFrame],
) -> None:
    made = report_data()
    alone, of_amid = (made.records["avlips"][name] for name in ("student_alone", "amid"))
    keys = {("student_alone", n): run.key for n, run in enumerate(alone)}
    keys |= {("amid", n): run.key for n, run in enumerate(of_amid)}

    def with_keys(keys: dict) -> dict[str, pd.DataFrame]:
        seeds = frames["_seeds"].copy()
        for (name, seed), key in keys.items():
            here = (seeds["configuration"] == name) & (seeds["seed"] == seed)
            here &= (seeds["dataset"] == "avlips") & (seeds["protocol"] == "paper")
            seeds.loc[here, "run"] = key
        return {**frames, "_seeds": seeds}

    assert other_runs(replace(made, benchmark=with_keys(keys))) == []
    changed = with_keys({**keys, ("amid", 1): "0" * 20})
    (told,) = other_runs(replace(made, benchmark=changed))
    assert told.startswith("avlips: the benchmark was trained with other code, data or parameters")
    assert "(other runs of AMID)" in told
    strong = made.params.dataset("avlips").model_copy(update={"training": {"protocol": "strong"}})
    params = made.params.model_copy(update={"data": {**made.params.data, "avlips": strong}})
    (told,) = other_runs(replace(made, params=params, benchmark=changed))
    assert "(other runs of student alone, AMID)" in told  # compared with that protocol's


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "spread", "said"),
    [
        ({"protocols": {"paper": 1}}, 6.0, "avlips, protocol paper, 1 seed; no test of the ranks"),
        ({"protocols": {"strong": 2}}, 6.0, "under the training protocol strong, each"),
        ({"configurations": FEW[:2]}, 6.0, "Students of 2 configurations"),
        ({}, 0.0, "avlips, protocol paper, 4 seeds"),
    ],
)
def test_little_to_compare_is_shown_all_the_same(
    changes: dict, spread: float, said: str, tmp_path: Path
) -> None:
    chosen = {"protocols": PROTOCOLS, "configurations": FEW, **changes}
    of = benchmarked.params(["avlips"], chosen["protocols"], chosen["configurations"])
    found = read_benchmark(benchmarked.write_reports(of, tmp_path, spread=spread))
    html = page(benchmark(replace(report_data(), benchmark=found)))
    assert said in html
    text = re.sub(r"<(style|script)>.*?</\1>", "", html, flags=re.DOTALL)
    assert not re.search(r"\b(nan|inf|None)\b|<NA>", text)
    assert html.count("<table>") == len(chosen["protocols"]) * 2


def test_files_that_do_not_belong_together_are_a_sentence(reports: Path, tmp_path: Path) -> None:
    assert read_benchmark(tmp_path) is None
    for path in reports.glob("*.csv"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "table_benchmark_seeds.csv").unlink()
    with pytest.raises(AmidError, match=r"table_benchmark_seeds\.csv is missing: run `dvc repro"):
        read_benchmark(tmp_path)
    older = pd.read_csv(reports / "table_benchmark.csv").drop(columns=["level", "parameters"])
    older.to_csv(tmp_path / "table_benchmark.csv", index=False)
    with pytest.raises(AmidError, match=r"lacks columns of this version \(level, parameters\)"):
        read_benchmark(tmp_path)
    (tmp_path / "table_benchmark.csv").write_text("")
    with pytest.raises(AmidError, match=r"table_benchmark\.csv cannot be read"):
        read_benchmark(tmp_path)
    rows = (reports / "table_benchmark.csv").read_text().splitlines(keepends=True)
    (tmp_path / "table_benchmark.csv").write_text(rows[0])
    with pytest.raises(AmidError, match=r"table_benchmark\.csv has no rows"):
        read_benchmark(tmp_path)


def test_keys_and_names_that_look_like_numbers_stay_text(tmp_path: Path, reports: Path) -> None:
    for path in reports.glob("*.csv"):
        text = path.read_text().replace("avlips", "007")
        (tmp_path / path.name).write_text(re.sub(r"[0-9a-f]{20}", "00000000000000001e10", text))
    found = read_benchmark(tmp_path)
    assert set(found["_seeds"]["run"]) == {"00000000000000001e10"}
    assert set(found[""]["dataset"]) == {"007", "grid"}


@pytest.mark.parametrize("pipeline", known.SHOWN)
def test_the_committed_page_shows_the_committed_tables_on_request(pipeline: str) -> None:
    """DVC is told of the table by its sum: python -m stages.request benchmark."""
    name = known.SHOWN[pipeline]
    html, told = committed("reports/index.html"), committed(known.REQUESTED.as_posix())
    command = ["git", "ls-tree", "--name-only", "HEAD", f"reports/{name}.csv"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert bool(made) == (f'id="{pipeline}"' in html)
    table = committed(f"reports/{name}.csv").encode() if made else b""
    assert f'{name}: "{sha256_bytes(table) if made else ""}"' in told

"""Missing modalities on the page: there with its files, and without them nothing of it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from amid.errors import AmidError
from amid.report.modalities import missing_modalities, read_modalities
from amid.report.page import page
from amid.report.sections import all_sections
from amid.studies.modalities import TABLE_MODALITIES
from tests.report.made import report_data
from tests.studies.test_modalities import params, write_runs


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("modalities")
    write_runs(place / "runs" / "modalities" / "avlips")
    TABLE_MODALITIES.write(params(), place / "runs", place)
    return place


@pytest.mark.slow
def test_it_stands_after_the_figures_and_the_rest_of_the_page_is_as_without_it(
    reports: Path,
) -> None:
    data = report_data()
    bare = page(all_sections(data))
    html = page(all_sections(replace(data, modalities=read_modalities(reports))))
    ids = re.findall(r'<section id="([a-z-]+)"', html)
    assert ids.index("modalities") == ids.index("figures") + 1
    rest = re.sub(r'<section id="modalities".*?</section>\n', "", html, flags=re.DOTALL)
    entry = '<li><a href="#modalities">Missing modalities at test</a></li>\n'
    assert rest.count(entry) == 1
    assert rest.replace(entry, "") == bare
    assert "issing modalities" not in bare
    assert not re.search(r"\bnan\b|<NA>|None", re.sub(r"<script>.*", "", html, flags=re.DOTALL))


def test_the_table_the_picture_and_the_runs_are_those_of_the_files(reports: Path) -> None:
    frames = read_modalities(reports)
    (section,) = missing_modalities(replace(report_data(), modalities=frames))
    (table,) = (block for block in section.blocks if block.kind == "table")
    assert [cell.text for cell in table.rows[3].cells][:5] == [
        *("video + audio", "yes", "40.0 ± 10.0", "53.3 ± 11.5", "+13.3"),
    ]
    assert [row.cells[1].text for row in table.rows] == ["yes", "", "", "yes", "yes", "", "yes"]
    (picture,) = next(block for block in section.blocks if block.kind == "pictures").items
    assert "video + audio: trained on this subset 40.0, teacher, modality dropout 53.3" in (
        picture.alt
    )
    origins = table.provenance.rows
    assert [row.name for row in origins][-2:] == [
        "teacher, modality dropout",
        "teacher, no modality dropout",
    ]
    assert len(origins) == 7 + 2
    keys = {key for row in origins for _, key, _ in row.runs}
    assert keys == set(frames["_seeds"]["run"])


def test_a_page_of_other_data_sets_or_without_the_files_has_none(
    reports: Path, tmp_path: Path
) -> None:
    assert read_modalities(tmp_path) is None
    frames = read_modalities(reports)
    other = report_data(datasets=("grid",))
    assert missing_modalities(replace(other, modalities=frames)) == []


def test_files_of_another_version_are_a_sentence(reports: Path, tmp_path: Path) -> None:
    for path in reports.glob("*.csv"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "table_modalities_seeds.csv").unlink()
    with pytest.raises(AmidError, match=r"table_modalities_seeds\.csv is missing: run `dvc repro"):
        read_modalities(tmp_path)
    older = pd.read_csv(reports / "table_modalities.csv").drop(columns=["whole", "seen"])
    older.to_csv(tmp_path / "table_modalities.csv", index=False)
    with pytest.raises(AmidError, match=r"lacks columns of this version \(seen, whole\)"):
        read_modalities(tmp_path)

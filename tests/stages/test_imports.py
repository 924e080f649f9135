"""What a stage imports is time that every `dvc repro` spends: seconds for torch, say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from amid.studies import STUDIES, contrastive, get_study, load_params
from amid.studies.sensitivity import folder_name, grid
from tests.recorded import put, record
from tests.small import ROOT
from tests.studies.test_contrastive import run

# table3 and figure3 compute with the functions that training has; table4 names torch's platform.
WITH_TORCH = {"table3", "figure3", "table4"}
WITHOUT_TORCH = {
    name for name in STUDIES if not get_study(name).on_request and name not in WITH_TORCH
}
# Writes the tables as their stages do, MLflow's part left out.
WRITE = """
import sys
from pathlib import Path
from amid.studies import get_study, load_results_params
from stages import table
params = load_results_params(Path("params.yaml"))
runs, reports, *names = sys.argv[1:]
for name in names:
    get_study(name).write(params, Path(runs), Path(reports))
    if "torch" in sys.modules:
        sys.exit(f"{name} imports torch")
"""


@pytest.mark.slow
def test_tables_are_written_without_torch(tmp_path: Path) -> None:
    params = load_params(ROOT / "params.yaml")
    section_of = {name: section for section, names in params.sections.items() for name in names}
    rows = [Path(section) / "avlips" / name for name, section in section_of.items()]
    rows += [Path("sensitivity") / "avlips" / folder_name(*row) for row in grid(params)]
    similarity = {"validation_within_class_similarity": 0.5}
    history = [{"validation_student": 0.5, "validation_teacher": 0.6} | similarity] * 2
    retrieval = {at: dict.fromkeys(("r@1", "r@5", "r@10", "map"), 0.5) for at in ("best", "last")}
    for row in rows:
        for seed in params.seeds:
            heads = {"student": 20 + seed, "teacher": 30 + seed}
            made = record(heads, seed, history=history, retrieval=retrieval)
            put(made, tmp_path / "runs" / row / f"seed{seed}")
    small = contrastive.block_of(params, contrastive.SMALL)
    for rule, *shares in contrastive.grid(small):
        place = tmp_path / "runs" / "contrastive_small" / "avsentences_small"
        for seed in small.seeds:
            folder = contrastive.folder_name(rule, *shares)
            put(run(rule, seed, 0.3 + 0.01 * seed), place / folder / f"seed{seed}")
    words = [tmp_path / "runs", tmp_path / "reports", *sorted(WITHOUT_TORCH)]
    subprocess.run([sys.executable, "-c", WRITE, *map(str, words)], cwd=ROOT, check=True)
    written = {path.stem for path in (tmp_path / "reports").iterdir()}
    assert written >= WITHOUT_TORCH

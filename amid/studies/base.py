"""What every study shares: the contract, the records it reads, means and tests over runs.

Accuracies and shares are in per cent. Of every number x: x is the mean over the runs of a row at
the epoch where the head that a run selects on (the student, where there is one) is best on
validation, or at the last one under the protocol `strong`; x_std its sample deviation; x_last,
x_last_std the same at the last epoch; p_x_holm is p_x after Holm's correction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from amid.config import Params, unknown
from amid.core.types import RunRecord
from amid.errors import AmidError, ConfigError
from amid.io.checksums import verify
from amid.runs.plan import Fingerprint, PlannedRun
from amid.studies.rendering import Column, titled
from amid.studies.sections import ELSEWHERE, SECTIONS, stage_of
from amid.studies.statistics import holm, mean_std

# {data set: {row of a table: its runs}}; what a row is, its study says.
Records = Mapping[str, Mapping[Any, Sequence[RunRecord]]]

TITLES = {
    "student_alone": "student alone",
    "teacher_alone": "teacher alone",
    "l_ft": "L_FT",
    "l_ft_l_fa": "L_FT + L_FA",
    "crd": "CRD",
    "gmc": "GMC",
    "ccl": "CCL",
    "crcd": "CRCD",
    "amid": "AMID (Eq. 17)",
    "amid_tuned": "AMID, numbers from the search",
    "amid_unlabelled": "AMID, numbers for clips without a label",
    "amid_ccl": "AMID with CCL's contrastive loss (its temperature, 0.5)",
    "amid_ccl_tau01": "AMID with CCL's contrastive loss (our temperature, 0.1)",
    "fixed_teacher": "fixed teacher",
    "without_warmup": "without warm-up",
    "without_d2": "without D2",
    "without_dynamic": "without dynamic weight",
    "kd": "KD",
    "kd_tuned": "KD, numbers from the search",
    "kd_joint": "KD, joint teacher",
    "lskd": "LSKD",
    "lskd_tuned": "LSKD, numbers from the search",
    "lskd_joint": "LSKD, joint teacher",
    "dkd": "DKD",
    "dkd_tuned": "DKD, numbers from the search",
    "dkd_joint": "DKD, joint teacher",
    "dist": "DIST",
    "dist_joint": "DIST, joint teacher",
    "fitnets": "FitNets",
    "fitnets_tuned": "FitNets, numbers from the search",
    "fitnets_joint": "FitNets, joint teacher",
    "rkd": "RKD",
    "rkd_tuned": "RKD, numbers from the search",
    "rkd_joint": "RKD, joint teacher",
    "c2kd": "C2KD",
    "c2kd_fixed": "C2KD, fixed teacher",
    "ofakd": "OFA-KD",
    "ofakd_joint": "OFA-KD, joint teacher",
    "mfh": "MFH",
    "mfh_tuned": "MFH, numbers from the search",
}
BASELINE = {**TITLES, "student_alone": "Baseline (student alone)", "amid": "AMID"}
REFERENCE = "amid"  # the configuration that the tests compare with
SELECTED = (
    "at the epoch where the student is best on validation (under the protocol `strong`: at the "
    "last one); the test split takes no part in the choice"
)


def _accept(_: Params) -> None:
    """Of a study whose block needs no other check than its type."""


@dataclass(frozen=True)
class Study:
    """A table or a figure, as `amid.studies.STUDIES` names it.

    block: type of its block in params.yaml, whose key is the study's name; None for a study that
    reads another's. write: (params, folder of the runs, folder of the reports) -> the files that
    it wrote. check: raises ConfigError where the block does not fit the rest of params.yaml.
    trains: folder below runs/ of the study's own runs, and the name of the stage that trains them;
    None for a study of the runs that `sections` lists. plan: (params, data set, fingerprint) ->
    these runs. settle: (params, data set, folds of its clips) -> params in which what depends on
    the data is settled, before `plan`. on_request: whether `dvc repro` leaves it out. rows: params
    -> the configurations of `sections` whose records the study reads. sections: those whose runs
    its stage depends on.
    """

    block: Any
    write: Callable[[Params, Path, Path], list[Path]]
    check: Callable[[Params], None] = _accept
    trains: str | None = None
    plan: Callable[[Params, str, Fingerprint], list[PlannedRun]] | None = None
    settle: Callable[[Params, str, Sequence[int]], Params] | None = None
    on_request: bool = False
    rows: Callable[[Params], Sequence[str]] = lambda _: ()
    sections: Sequence[str] = SECTIONS


# ---------------------------------------------------------------------------------- params.yaml


def check_configurations(params: Params, key: str, names: Sequence[str]) -> None:
    """Raises ConfigError unless params.yaml has a configuration of each name; `key` lists them."""
    for name in names:
        if name not in params.configurations:
            what = f"configuration '{name}'"
            raise ConfigError(unknown(what, name, params.configurations, key))


def check_rows(
    params: Params, key: str, names: Sequence[str], sections: Sequence[str] | None = None
) -> None:
    """Raises ConfigError unless each name is a configuration that a section has; `key` lists them.

    Said before anything is trained: a table cannot be made without its rows. sections: of a study
    that has no Study.rows, those that its stage depends on; None: any.
    """
    check_configurations(params, key, names)
    allowed = params.sections if sections is None else sections
    trained = {name for section in allowed for name in params.sections.get(section, ())}
    for name in names:
        if name not in trained:
            of = "no entry of 'sections'" if sections is None else f"none of {', '.join(sections)}"
            add = ELSEWHERE if sections is None else sections[-1]
            raise ConfigError(
                f"params.yaml: '{key}' names '{name}', which {of} trains: add it to one, such as "
                f"'sections.{add}', or take it out of '{key}'."
            )


def check_distinct(key: str, values: Sequence[object]) -> None:
    """Raises ConfigError if `key` lists a value twice."""
    if len(set(values)) < len(values):
        raise ConfigError(f"params.yaml: '{key}' names a value twice: {values}.")


# ---------------------------------------------------------------------------------- records


def load_records(
    params: Params, runs: Path, configurations: Sequence[str], sections: Sequence[str] = SECTIONS
) -> Records:
    """Records of `sections`. Row: a configuration; records in the order of the seeds.

    Enumerated from the parameters, never globbed: what an earlier choice left does not count.
    sections: as in Study.
    """
    stages = {name: stage_of(params, name, sections) for name in configurations}
    return {
        dataset: {
            name: read_records(runs / stage / dataset / name, params.seeds)
            for name, stage in stages.items()
        }
        for dataset in params.datasets
    }


def read_records(folder: Path, seeds: Sequence[int]) -> list[RunRecord]:
    """The records in <folder>/seed<n>/, checked against their sums."""
    found = []
    for seed in seeds:
        path = folder / f"seed{seed}" / "record.json"
        if not path.exists():
            raise AmidError(f"{path} is missing: run `dvc repro`.")
        verify(path)
        found.append(RunRecord.from_json(path.read_text(encoding="utf-8")))
    return found


# ---------------------------------------------------------------------------------- numbers


def spreads(
    runs: Sequence[RunRecord], name: str, share: Callable[[RunRecord, str], float | None]
) -> dict[str, float | None]:
    """Columns <name>, <name>_std, <name>_last, <name>_last_std of share(run, "best" | "last")."""
    found: dict[str, float | None] = {}
    for at, suffix in (("best", ""), ("last", "_last")):
        shares = [share(run, at) for run in runs]
        mean, std = mean_std([None if value is None else 100 * value for value in shares])
        found |= {f"{name}{suffix}": mean, f"{name}{suffix}_std": std}
    return found


def student_accuracies(groups: Sequence[Sequence[RunRecord]]) -> np.ndarray:
    """(groups, seeds) test Top-1 of the student in per cent, at the epoch chosen on validation."""
    return 100 * np.array([[run.accuracy("student") for run in runs] for runs in groups])


def validation_accuracies(runs: Sequence[RunRecord]) -> list[float]:
    """The student's Top-1 on validation in per cent at each run's best epoch."""
    return [100 * run.history[run.best_epoch]["validation_student"] for run in runs]


def with_holm(table: pd.DataFrame, by: Sequence[str], *names: str) -> pd.DataFrame:
    """The table with p_x_holm beside each p_x in `names`, corrected within groups of `by`."""
    corrected = table.copy()
    for name in names:
        groups = table.groupby(list(by), sort=False)[name]
        values = groups.transform(lambda p: pd.Series(holm(list(p)), p.index, dtype=float))
        corrected.insert(corrected.columns.get_loc(name) + 1, f"{name}_holm", values)
    return corrected


def configuration_column(titles: Mapping[str, str]) -> Column:
    """The column of the configurations by their titles, the reference in bold."""
    form = titled(titles, bold=REFERENCE)
    return Column("configuration", "configuration", "configuration", form, left=True)

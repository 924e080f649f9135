"""Table 1's last lines: what its numbers support, and a student alone that learns nothing, or less
than a linear probe."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from amid.core.types import RunRecord
from amid.studies.recognition import TABLE1
from amid.studies.remarks import advised, remarks, supported
from amid.studies.rendering import plain
from tests.recorded import put, record
from tests.small import project_params

LABELS = [n % 4 for n in range(100)]


def alone(*right: int) -> list[RunRecord]:
    """The student alone, `right` of 100 test clips of 4 classes in each seed."""
    found = []
    for seed, count in enumerate(right):
        run = record({"student": count}, seed, labels=LABELS)
        spec = dataclasses.replace(run.spec, method="baseline")
        found.append(dataclasses.replace(run, spec=spec, classes=["a", "b", "c", "d"]))
    return found


def probed(test: float | None) -> dict:
    return {"avlips": {"chance": 0.25, "modalities": {"video": {"test": test}}}}


@pytest.mark.parametrize(
    ("right", "linear", "words"),
    [
        ((33, 33), 0.30, ["reaches 33.0 %, chance is 25.0 %: it learns nothing from video"]),
        ((35, 35), 0.30, []),  # 25 + 2 * 4.33 = 33.7
        ((60, 70), 0.83, ["reaches 65.0 %, a linear probe of the same features of video 83.0 %"]),
        ((76, 76), 0.83, []),  # 83 - 2 * 3.76 = 75.5
        ((60, 60), None, []),
        ((13, 14), 0.83, ["chance is 25.0 %", "probe of the same features of video 83.0 %"]),
    ],
)
def test_what_makes_a_table_useless_is_told(right: tuple, linear: float, words: list[str]) -> None:
    found = remarks({"avlips": {"student_alone": alone(*right)}}, probed(linear))
    assert len(found) == len(words)
    for line, word in zip(found, words, strict=True):
        assert line.startswith("avlips: WARNING: ")
        assert word in line


def test_without_a_baseline_or_a_probe_nothing_is_told() -> None:
    assert remarks({"avlips": {"amid": [record({"student": 10})]}}, probed(0.9)) == []
    assert remarks({"avlips": {"student_alone": alone(60)}}, {}) == []


def rows(**right: tuple[int, ...]) -> dict:
    """Right test clips of 100 of the student, a number a seed."""
    found = {}
    for name, counts in right.items():
        runs = alone(*counts)
        if name != "student_alone":
            of = [dataclasses.replace(run.spec, method=name) for run in runs]
            runs = [dataclasses.replace(r, spec=s) for r, s in zip(runs, of, strict=True)]
        found[name] = runs
    return {"avlips": found}


@pytest.mark.parametrize(
    ("right", "words"),
    [
        # gains 10, 12, 8: their deviation is 2, t(2) at .975 is 4.3027: 4.3027 * 2 / sqrt(3) = 4.97
        (
            {"student_alone": (60, 60, 60), "amid": (70, 72, 68)},
            "AMID is 10.0 points above 'student alone' (95 % interval +5.0 to +15.0): shown, "
            "with 3 seeds on these test clips.",
        ),
        # gains 1, 4, -2: deviation 3, half 7.45; G*Power has 73 for an effect of 1 / 3
        (
            {"student_alone": (60, 60, 60), "amid": (61, 64, 58)},
            "AMID is 1.0 points above 'student alone' (95 % interval -6.5 to +8.5): not shown "
            "with 3 seeds; a difference of this size would need about 73.",
        ),
        (
            {"student_alone": (9, 9), "kd": (64, 66), "amid": (60, 61)},
            "AMID is 4.5 points below 'KD' (95 % interval -10.9 to +1.9): not shown with 2 seeds;",
        ),
        (
            {"student_alone": (60, 61), "amid": (60, 61)},
            "AMID is 0.0 points above 'student alone' in each of 2 seeds: no spread",
        ),
        (
            {"student_alone": (60, 60), "amid": (61, 59)},
            "a difference of this size would need more than 10,000.",
        ),
        ({"student_alone": (60,), "amid": (70,)}, "with one seed, which shows nothing: train with"),
    ],
)
def test_what_the_numbers_support(right: dict, words: str) -> None:
    (line,) = supported(rows(**right))
    assert line.startswith("avlips: AMID is ")
    assert words in line


def test_a_table_without_amid_or_without_another_row_supports_nothing() -> None:
    assert supported(rows(student_alone=(60, 61))) == []
    assert supported(rows(amid=(60, 61))) == []
    assert supported(rows(amid=(60, 61), ccl=(50, 51))) == []


def on_validation(name: str, *seeds: dict[str, float], alpha: float = 4.0) -> list[RunRecord]:
    """Runs of a configuration with these accuracies of its heads on validation."""
    found = []
    for run, heads in zip(alone(*[60] * len(seeds)), seeds, strict=True):
        spec = dataclasses.replace(
            run.spec, method="baseline" if name == "student_alone" else name,
            options={"alpha": alpha} if name == "amid" else {},
        )  # fmt: skip
        history = [{}, {f"validation_{head}": value for head, value in heads.items()}]
        found.append(dataclasses.replace(run, spec=spec, history=history, best_epoch=1))
    return found


def both(student: float, amid: float, teacher: float, alpha: float = 4.0) -> dict:
    """The student alone and AMID with a teacher; 0.02 above and below the means in two seeds."""
    ours = [{"student": amid + d, "teacher": teacher + d} for d in (-0.02, 0.02)]
    students = on_validation(
        "student_alone", {"student": student - 0.02}, {"student": student + 0.02}
    )
    return {
        "avlips": {"student_alone": students, "amid": on_validation("amid", *ours, alpha=alpha)}
    }


@pytest.mark.parametrize(
    ("records", "linear", "words"),
    [
        (both(0.60, 0.70, 0.85), 0.50, []),
        (both(0.60, 0.70, 0.85), None, []),
        (
            both(0.60, 0.70, 0.85),
            0.59,
            ["the student alone reaches 60.0 %, a linear probe of the same features of video 59.0"],
        ),
        (both(0.60, 0.70, 0.85), 0.57, []),
        (
            both(0.60, 0.55, 0.61),
            None,
            ["the teacher of AMID reaches 61.0 %, the student alone 60.0 %: there is little to"],
        ),
        (both(0.60, 0.55, 0.63), None, []),
        (
            both(0.85, 0.84, 0.95),
            None,
            ["strong (85.0 %) and AMID is not above it (84.0 %): try -S alpha=0.5 -S beta=0.5"],
        ),
        (both(0.85, 0.84, 0.95, alpha=0.5), None, []),
        (both(0.85, 0.86, 0.95), None, []),
        (both(0.79, 0.70, 0.95), None, []),
        (both(0.90, 0.85, 0.90), 0.95, ["a linear probe", "little to gain", "try -S alpha=0.5"]),
    ],
)
def test_what_to_try_is_told_by_the_numbers_of_validation(
    records: dict, linear: float | None, words: list[str]
) -> None:
    video = {"test": None, "validation": linear}
    probes = {"avlips": {"modalities": {"video": video}}}
    found = advised(records, probes)
    assert len(found) == len(words)
    for line, word in zip(found, words, strict=True):
        assert line.startswith("avlips: on validation the ")
        assert word in line


def test_the_protocol_that_runs_have_is_not_advised() -> None:
    probes = {"avlips": {"modalities": {"video": {"test": None, "validation": 0.59}}}}
    records = both(0.60, 0.70, 0.85)
    (paper,) = advised(records, probes)
    assert paper.endswith(
        "by another encoder, the protocol strong or augmentation (docs/training.md)."
    )
    records["avlips"]["student_alone"] = [
        dataclasses.replace(
            run,
            spec=dataclasses.replace(run.spec, training={**run.spec.training, "choose": "last"}),
        )
        for run in records["avlips"]["student_alone"]
    ]
    (strong,) = advised(records, probes)
    assert strong.endswith("by another encoder or longer training (docs/training.md).")


def test_a_student_that_was_warned_of_gets_no_advice_on_the_probe_beside() -> None:
    records, video = both(0.60, 0.70, 0.85), {"test": 0.9, "validation": 0.9}
    probes = {"avlips": {"modalities": {"video": video}}}
    (warned,) = remarks(records, probes)  # 60 of 100 on test
    assert "linear probe" in warned
    assert advised(records, probes) == []


def test_without_validation_clips_nothing_is_advised() -> None:
    assert advised({"avlips": {"student_alone": on_validation("student_alone", {})}}, {}) == []
    assert advised({"avlips": {"amid": on_validation("amid", {"student": 0.9})}}, {}) == []


def test_they_are_the_last_lines_of_the_table(tmp_path: Path, capsys) -> None:
    params = project_params().model_copy(
        update={"datasets": ["avlips"], "seeds": [0], "table1": ["student_alone"]}
    )
    put(alone(30)[0], tmp_path / "runs" / "baselines" / "avlips" / "student_alone" / "seed0")
    (tmp_path / "runs" / "probe" / "avlips").mkdir(parents=True)
    (tmp_path / "runs" / "probe" / "avlips" / "probe.json").write_text(
        json.dumps(probed(0.9)["avlips"])
    )
    TABLE1.write(params, tmp_path / "runs", tmp_path / "reports")
    told = capsys.readouterr().out.splitlines()
    last = (tmp_path / "reports" / "table1.md").read_text().splitlines()[-3:]
    assert [line.replace("**", "") for line in last if line] == [plain(line) for line in told]
    assert len(told) == 2

"""What figures draw, and that they are pictures whose bytes depend on the data alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from amid.errors import AmidError
from amid.studies import class_wise, gap_and_similarity, selection, sensitivity
from amid.studies.plotting import save_png
from tests.recorded import recognised, record, runs


def amid_alone() -> dict:
    return {"avlips": {"amid": recognised()["avlips"]["amid"]}}


def drawn_twice(draw: Callable[[], Figure], folder: Path) -> bytes:
    """A figure's bytes, the same both times."""
    for name in ("a", "b"):
        save_png(draw(), folder / f"{name}.png")
    first = (folder / "a.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert first == (folder / "b.png").read_bytes()
    return first


def test_the_gap_is_teacher_minus_student_in_points() -> None:
    gaps = gap_and_similarity.gaps(amid_alone())
    assert gaps["epoch"].tolist() == [1, 2]
    assert gaps["value"].tolist() == pytest.approx([10.0, 30.0])
    assert gaps["std"].tolist() == pytest.approx([10.0, 10.0])
    table = gap_and_similarity.wide(gaps)
    assert table.columns.tolist() == ["epoch", "amid", "amid_std"]
    assert table["amid"].tolist() == gaps["value"].tolist()


def test_figure_4_is_a_picture(tmp_path: Path) -> None:
    gaps = gap_and_similarity.gaps(amid_alone())
    drawn_twice(lambda: gap_and_similarity.draw_gaps(gaps, {"avlips": 1}), tmp_path)


def test_figure_5_is_the_similarity_within_a_class(tmp_path: Path) -> None:
    records = {
        "avlips": {
            name: [
                record(
                    {"student": 30, "teacher": 40},
                    seed,
                    history=[
                        {"validation_teacher": 0.9, "validation_within_class_similarity": first},
                        {"validation_teacher": 0.9, "validation_within_class_similarity": second},
                    ],
                )
                for seed, (first, second) in enumerate(pairs)
            ]
            for name, pairs in {
                "amid": ((0.2, 0.6), (0.4, 0.8)),
                "l_ft_l_fa": ((0.1, 0.5),),
            }.items()
        }
    }
    table = gap_and_similarity.similarities(records)
    assert table["value"].tolist() == pytest.approx([0.3, 0.7, 0.1, 0.5])
    assert table["std"].tolist() == pytest.approx([0.2 / 2**0.5, 0.2 / 2**0.5, 0, 0])
    drawn_twice(lambda: gap_and_similarity.draw_similarities(table, {"avlips": 1}), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("values", [[3.9, 4.0, 4.1], [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0]])
def test_figure_6_draws_close_values_and_doublings(values: list[float], tmp_path: Path) -> None:
    places = {
        (weight, value): runs({"student": 30 + n}, {"student": 32 + n})
        for weight in ("alpha", "beta", "gamma")
        for n, value in enumerate(values)
    }
    defaults = {"alpha": 4.0, "beta": 1.0, "gamma": 4.0}
    table = sensitivity.table6({"avlips": places, "grid": places}, defaults)
    drawn_twice(lambda: sensitivity.draw_sensitivity(table), tmp_path)


def of_classes(*predicted: list[int]) -> list:
    """A run a seed on two clips of class a, two of b and none of c."""
    labels = [0, 0, 1, 1]
    return [
        record({}, seed, labels=labels, predictions={"best": {"student": p}})
        for seed, p in enumerate(predicted)
    ]


def test_classes_by_falling_difference() -> None:
    records = {
        "amid": of_classes([0, 1, 1, 1], [0, 0, 1, 1]),
        "ccl": of_classes([0, 0, 0, 0], [0, 0, 1, 0]),
    }
    table = class_wise.class_wise({"avlips": records})
    assert table["class"].tolist() == ["b", "a"]
    assert table["clips"].tolist() == [2, 2]
    assert table["amid"].tolist() == [100, 75]
    assert table["ccl"].tolist() == [25, 100]
    assert table["difference"].tolist() == [75, -25]
    deviation = np.std([0, 50], ddof=1)
    assert table["ccl_std"].tolist() == pytest.approx([deviation, 0])
    single = {name: found[:1] for name, found in records.items()}
    assert class_wise.class_wise({"avlips": single})["amid_std"].isna().all()


def test_figure_3_needs_students() -> None:
    records = {"amid": of_classes([0, 1, 1, 1]), "teacher_alone": runs({"teacher": 40})}
    with pytest.raises(AmidError, match="'teacher_alone', which trains no student"):
        class_wise.class_wise({"avlips": records})


def test_figure_3_has_a_panel_a_data_set(tmp_path: Path) -> None:
    records = {
        "amid": of_classes([0, 1, 1, 1], [0, 0, 1, 1]),
        "ccl": of_classes([0, 0, 0, 0], [0, 0, 1, 0]),
    }
    classes = class_wise.class_wise({"avlips": records, "grid": records})
    picture = drawn_twice(lambda: class_wise.draw_class_wise(classes), tmp_path)
    one = class_wise.class_wise({"avlips": records})
    save_png(class_wise.draw_class_wise(one), tmp_path / "one.png")
    height, single = (
        int.from_bytes(data[20:24]) for data in (picture, (tmp_path / "one.png").read_bytes())
    )
    assert height > 1.5 * single


def test_the_figure_of_selection_is_a_picture_with_one_seed_as_well(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "dataset": "avlips",
            "mismatched": [0.0, 0.0, 0.2, 0.2],
            "ratio": [1.0, 0.5, 1.0, 0.5],
            "rule": ["all", "random", "all", "random"],
            "student": [70.0, 68.0, 65.0, 66.0],
            "student_std": [None] * 4,
        }
    )
    drawn_twice(lambda: selection.draw_selection(table), tmp_path)


def test_a_label_with_dollars_is_no_formula(tmp_path: Path) -> None:
    records = {
        "amid": of_classes([0, 1, 1, 1], [0, 0, 1, 1]),
        "ccl": of_classes([0, 0, 0, 0], [0, 0, 1, 0]),
    }
    classes = class_wise.class_wise({"own": records}).replace(
        {"class": {"a": r"$\frac{$", "b": "US$"}}
    )
    drawn_twice(lambda: class_wise.draw_class_wise(classes), tmp_path)

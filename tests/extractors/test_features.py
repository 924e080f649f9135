"""Precomputed features: what is read, and what is refused and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from amid.data.extraction import extract_features
from amid.data.feature_store import FeatureStore
from amid.extractors import Span, features
from amid.media import MediaError

VECTOR, SEQUENCE = features.Options(dims=3), features.Options(dims=3, sequence=True)


def saved(folder: Path, values: np.ndarray, **options) -> Path:
    np.save(folder / "x.npy", values, **options)
    return folder / "x.npy"


def test_shapes_are_said_beforehand() -> None:
    assert features.shape(VECTOR) == (3,)
    assert features.shape(SEQUENCE) == (None, 3)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "i1", "u2", "i8"])
def test_numbers_of_any_type_become_float32(tmp_path: Path, dtype: str) -> None:
    path = saved(tmp_path, np.array([1, 2, 3], dtype))
    values = features.read(path, VECTOR)
    assert values.dtype == np.float32
    assert values.tolist() == [1, 2, 3]
    spans = [Span("a", np.nan, np.nan), Span("b", np.nan, np.nan)]
    one, two = features.extract(path, spans, VECTOR)
    assert one.tolist() == two.tolist() == [1, 2, 3]


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_sequence_has_any_length(tmp_path: Path, order: str) -> None:
    for length in (1, 7):
        values = np.arange(3.0 * length).reshape(length, 3)
        path = saved(tmp_path, np.asarray(values, order=order))
        np.testing.assert_array_equal(features.read(path, SEQUENCE), values)


def test_sequences_are_resampled_to_one_length(tmp_path: Path) -> None:
    options = features.Options(dims=2, sequence=True, steps=5)
    assert features.shape(options) == (5, 2)
    spans = [Span("a", np.nan, np.nan)]
    for length in (1, 2, 3, 5, 17):
        line = np.linspace(0, 4, length)  # straight lines stay what they are
        path = saved(tmp_path, np.stack([line, 10 - 3 * line], axis=1))
        (values,) = features.extract(path, spans, options)
        want = np.linspace(0, 4 if length > 1 else 0, 5)
        np.testing.assert_allclose(values, np.stack([want, 10 - 3 * want], axis=1), atol=1e-6)
    peak = np.array([[0.0, 1.0], [8.0, 1.0], [0.0, 1.0]])
    (values,) = features.extract(saved(tmp_path, peak), spans, options)
    assert values.tolist() == [[0, 1], [4, 1], [8, 1], [4, 1], [0, 1]]
    big = np.full((2, 2), 3e38)
    big[1] *= -1
    assert np.isfinite(features.extract(saved(tmp_path, big), spans, options)[0]).all()


def test_a_vector_cannot_be_resampled() -> None:
    with pytest.raises(ValidationError, match="`steps` needs `sequence: true`"):
        features.Options(dims=3, steps=4)


@pytest.mark.parametrize(
    ("values", "options", "reason", "detail"),
    [
        (np.zeros(4), VECTOR, "wrong_shape", r"shape \(4,\), not \(3,\)"),
        (np.zeros((1, 3)), VECTOR, "wrong_shape", r"\(1, 3\)"),
        (np.float64(1.0), VECTOR, "wrong_shape", r"\(\)"),
        (np.zeros(3), SEQUENCE, "wrong_shape", r"\(any length, 3\)"),
        (np.zeros((3, 4)), SEQUENCE, "wrong_shape", r"\(3, 4\)"),
        (np.zeros((0, 3)), SEQUENCE, "wrong_shape", r"\(0, 3\)"),
        (np.array([0, np.nan, 1]), VECTOR, "not_finite", "1 of 3"),
        (np.array([np.inf, -np.inf, 1]), VECTOR, "not_finite", "2 of 3"),
        (np.array([1e300, 0, 1]), VECTOR, "not_finite", "1 of 3"),
        (np.array(["a", "b", "c"]), VECTOR, "wrong_type", "<U1"),
        (np.array([1j, 0, 0]), VECTOR, "wrong_type", "complex"),
        (np.array([True, False, True]), VECTOR, "wrong_type", "bool"),
        (np.zeros(3, [("a", "f4")]), VECTOR, "wrong_type", "not numbers"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, values, options, reason, detail) -> None:
    with pytest.raises(MediaError, match=detail) as caught:
        features.read(saved(tmp_path, values), options)
    assert caught.value.reason == reason


def test_pickled_objects_are_never_opened(tmp_path: Path) -> None:
    class Boom:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was opened",))

    path = tmp_path / "x.npy"
    np.save(path, np.array([Boom()] * 3, object), allow_pickle=True)
    with pytest.raises(MediaError) as caught:
        features.read(path, VECTOR)
    assert caught.value.reason == "wrong_type"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty_file"),
        (b"0.1,0.2,0.3\n", "not_media"),
        (b"PK\x03\x04rest", "not_media"),
        (b"\x93NUMPY\x01\x00", "truncated"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises(MediaError) as caught:
        features.read(path, VECTOR)
    assert caught.value.reason == reason


def test_a_file_cut_short_and_one_that_is_not_there(tmp_path: Path) -> None:
    path = saved(tmp_path, np.zeros(3))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(MediaError) as caught:
        features.read(path, VECTOR)
    assert caught.value.reason == "truncated"
    with pytest.raises(MediaError) as caught:
        features.read(tmp_path / "absent.npy", VECTOR)
    assert caught.value.reason == "missing_file"


@pytest.mark.parametrize("values", [{"dims": 0}, {"dims": 2.0}, {"dims": 3, "steps": 4}])
def test_wrong_options_are_refused(values: dict) -> None:
    with pytest.raises(ValidationError):
        features.Options(**values)


def test_sequences_reach_the_store(tmp_path: Path) -> None:
    import pandas as pd

    rows = []
    for number, length in enumerate((4, 1, 2)):
        np.save(tmp_path / f"{number}.npy", np.full((length, 3), number))
        row = {"id": str(number), "label": "a", "split": "train", "fold": -1, "group": "g"}
        row |= {"x_path": f"{number}.npy", "x_start": np.nan, "x_end": np.nan}
        rows.append(row)
    extract_features(
        pd.DataFrame(rows),
        tmp_path,
        tmp_path / "out",
        {"x": ("features", SEQUENCE)},
        workers=1,
        required=["x"],
    )
    store = FeatureStore.open(tmp_path / "out")
    assert store.array("x")[:, 0].tolist() == [0, 0, 0, 0, 1, 2, 2]
    assert store.spans("x")[1].tolist() == [4, 1, 2]

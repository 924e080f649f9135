import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError

from amid.errors import ConfigError
from amid.extractors import EXTRACTORS, Span, load
from amid.extractors.ngrams import Options, describe, extract, shape
from amid.media import MediaError, Reason
from amid.media.text import read_text
from tests.media.clips import NAN


def test_counts_add_up_whatever_the_collisions():
    for dims in (2, 7, 512):
        counts = np.expm1(describe("banana", Options(dims=dims, orders=[1, 2, 3], scale="log")))
        # Between two marks there are 8 letters: 8 + 7 + 6 n-grams.
        assert counts.sum() == pytest.approx(21, rel=1e-5)


def test_hashing_hardly_changes_likeness():
    words = ["bin", "lay", "place", "set", "blue", "green", "red", "white", "at", "by", "in"]
    options = Options(dims=512)
    values = np.stack([describe(word, options) for word in words])
    assert values.shape == (len(words), *shape(options))
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1.0, rtol=1e-6)
    exact = [
        Counter(f"<{word}>"[at : at + n] for n in (1, 2, 3) for at in range(len(word) + 3 - n))
        for word in words
    ]
    for i, one in enumerate(exact):
        for j, two in enumerate(exact):
            dot = sum(one[gram] * two[gram] for gram in one)
            norms = np.sqrt(sum(n * n for n in one.values()) * sum(n * n for n in two.values()))
            assert values[i] @ values[j] == pytest.approx(dot / norms, abs=0.15)


def test_neighbours_and_boundaries_count():
    options = Options()
    assert not np.array_equal(describe("ab", options), describe("ba", options))
    single = Options(orders=[1])
    np.testing.assert_array_equal(describe("ab", single), describe("ba", single))
    pairs = Options(orders=[2])
    assert not np.array_equal(describe("aab", pairs), describe("baa", pairs))
    typing_error = describe("please", options) @ describe("pleace", options)
    assert typing_error > describe("please", options) @ describe("white", options) + 0.2


def test_other_processes_give_the_same_bytes(root):
    code = (
        "import sys; from amid.extractors.ngrams import Options, describe; "
        "sys.stdout.buffer.write(describe('again', Options(dims=64)).tobytes())"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
        )
        assert done.stdout == describe("again", Options(dims=64)).tobytes()


def test_text_is_made_even(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffＢlue \r\n\tGREEN\x00 \n".encode())
    assert read_text(path) == "blue green"
    one, two = extract(path, [Span("a", NAN, NAN), Span("b", 0.0, 1.0)], Options())
    np.testing.assert_array_equal(one, describe("blue green", Options()))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"caf\xe9", Reason.unreadable_text),
        (b"", Reason.empty_file),
        (b" \r\n\t", Reason.empty_file),
        (None, Reason.missing_file),
    ],
)
def test_bad_text_has_a_reason(tmp_path, data, reason):
    path = tmp_path / "a.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(MediaError) as caught:
        extract(path, [Span("a", NAN, NAN)], Options())
    assert caught.value.reason is reason
    assert "a.txt" in caught.value.detail


@pytest.mark.parametrize("orders", [[], [0, 1], [2, 2]])
def test_impossible_orders_are_refused(orders):
    with pytest.raises(ValidationError, match="different numbers"):
        Options(orders=orders)


def test_every_extractor_has_its_parts():
    for name in EXTRACTORS:
        module = load(name)
        shape = module.shape(module.Options())
        any_length = shape[0] is None  # sequences
        assert all(isinstance(size, int) and size > 0 for size in shape[any_length:])
        assert callable(module.extract)
    with pytest.raises(ConfigError, match=", ".join(sorted(EXTRACTORS))):
        load("fourier")


def test_checking_parameters_loads_no_decoder(root):
    code = (
        "import sys, amid.extractors as e\n"
        "for name in e.EXTRACTORS: e.load(name).Options()\n"
        "print(*({'cv2', 'av', 'scipy', 'soundfile', 'torch'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.stdout.strip() == ""

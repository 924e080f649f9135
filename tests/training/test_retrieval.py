"""The nearest rows of a gallery against sorting all cosines.

A row's cosines may differ in the last bit with the shape of the block they are computed in. Exact
comparisons therefore use rows of 16 signs, whose norm 4 and cosines k / 16 have no rounding and
many ties; rows of random numbers compare indices, which the last bit does not reach.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from amid.training import retrieval
from amid.training.retrieval import nearest
from tests.losses.observed import Observed

BLOCKS = ("QUERIES_A_BLOCK", "GALLERY_A_BLOCK")
COUNTS = st.tuples(st.integers(1, 9), st.integers(1, 30))
SIZES = st.tuples(st.integers(1, 11), st.integers(1, 31))


def random_rows(seed: int, size: int, dim: int = 5, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, dim, generator=generator, dtype=torch.float64).to(dtype)


def sign_rows(seed: int, size: int, distinct: int) -> Tensor:
    """Rows of +-1, or of zeros, in few distinct kinds and of lengths 2**-3 to 2**3: (size, 16)."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randint(2, (distinct, 16), generator=generator) * 2.0 - 1
    kinds[0] = 0
    lengths = 2.0 ** torch.randint(-3, 4, (size, 1), generator=generator)
    return kinds[torch.randint(distinct, (size,), generator=generator)] * lengths


def by_sorting(queries: Tensor, gallery: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """All cosines at once, zero rows set apart, sorted whole: (N, k), (N, k)."""
    lengths = queries.norm(dim=1)[:, None] * gallery.norm(dim=1)
    cosines = torch.where(lengths > 0, queries @ gallery.T / lengths, 0)
    values, order = cosines.sort(dim=1, descending=True, stable=True)
    return values[:, :k], order[:, :k]


@pytest.fixture
def blocks(monkeypatch):
    def set_sizes(*sizes: int) -> None:
        for name, size in zip(BLOCKS, sizes, strict=True):
            monkeypatch.setattr(retrieval, name, size)

    return set_sizes


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 10_000), counts=COUNTS, sizes=SIZES, k=st.integers(1, 40))
def test_equals_sorting_all_cosines(seed, counts, sizes, k):
    queries, gallery = random_rows(seed, counts[0]), random_rows(seed + 1, counts[1])
    with pytest.MonkeyPatch.context() as patch:
        for name, size in zip(BLOCKS, sizes, strict=True):
            patch.setattr(retrieval, name, size)
        cosines, indices = nearest(queries, gallery, k)
    want, places = by_sorting(queries, gallery, k)
    torch.testing.assert_close(cosines, want, rtol=0, atol=1e-14)
    assert torch.equal(indices, places)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 10_000),
    counts=COUNTS,
    sizes=SIZES,
    k=st.integers(1, 40),
    distinct=st.integers(1, 8),
)
def test_equal_cosines_rank_by_index_whatever_the_blocks(seed, counts, sizes, k, distinct):
    queries = sign_rows(seed, counts[0], distinct)
    gallery = sign_rows(seed + 1, counts[1], distinct)
    with pytest.MonkeyPatch.context() as patch:
        for name, size in zip(BLOCKS, sizes, strict=True):
            patch.setattr(retrieval, name, size)
        got = nearest(queries, gallery, k)
    for mine, other in zip(got, by_sorting(queries, gallery, k), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("k", [1, 10, 1500])
def test_ties_across_the_blocks_in_use(k):
    queries = sign_rows(1, retrieval.QUERIES_A_BLOCK + 3, 50)[:, :4]
    gallery = sign_rows(2, 2 * retrieval.GALLERY_A_BLOCK + 5, 50)[:, :4]
    cosines, indices = nearest(queries, gallery, k)
    # The last block of queries has three rows, the first the others: some of each.
    some = torch.cat((torch.arange(20), torch.arange(len(queries) - 5, len(queries))))
    want, places = by_sorting(queries[some], gallery, k)
    assert torch.equal(cosines[some], want)
    assert torch.equal(indices[some], places)


def test_single_precision_finds_the_rows_of_double_precision():
    queries = random_rows(3, 50, 64, torch.float32)
    gallery = random_rows(4, 3000, 64, torch.float32)
    cosines, indices = nearest(queries, gallery, 10)
    want, places = by_sorting(queries.double(), gallery.double(), 11)
    assert cosines.dtype == torch.float32
    torch.testing.assert_close(cosines.double(), want[:, :10], rtol=0, atol=1e-6)
    clear = (want.diff(dim=1).abs() > 1e-5).all(dim=1)
    assert clear.float().mean() > 0.9
    assert torch.equal(indices[clear], places[clear, :10])


def test_zero_rows_have_cosine_0():
    gallery = torch.tensor([[-2.0, 0.0], [0.0, 0.0], [3.0, 0.0], [0.0, 0.0]])
    queries = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    cosines, indices = nearest(queries, gallery, 4)
    assert cosines.tolist() == [[1, 0, 0, -1], [0, 0, 0, 0]]
    assert indices.tolist() == [[2, 1, 3, 0], [0, 1, 2, 3]]


def test_k_is_cut_to_the_gallery():
    one = torch.tensor([[3.0, 4.0]])
    for k in (1, 2, 50):
        cosines, indices = nearest(one, one, k)
        assert cosines.tolist() == [[pytest.approx(1)]]
        assert indices.tolist() == [[0]]
    cosines, indices = nearest(one, one[:0], 3)
    assert cosines.shape == indices.shape == (1, 0)


def test_rows_that_ask_for_gradients_are_taken_as_numbers():
    rows = random_rows(5, 4).requires_grad_()
    cosines, _ = nearest(rows, rows, 2)
    assert not cosines.requires_grad


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
@pytest.mark.parametrize("mode", ["r", "c"])
def test_gallery_may_be_a_memory_map(tmp_path, blocks, mode):
    gallery = random_rows(6, 500, 8, torch.float32)
    queries = random_rows(7, 20, 8, torch.float32)
    np.save(tmp_path / "gallery.npy", gallery.numpy())
    before = (tmp_path / "gallery.npy").read_bytes()
    blocks(7, 64)
    # A write into the map of mode "r" would end the process.
    mapped = torch.from_numpy(np.load(tmp_path / "gallery.npy", mmap_mode=mode, allow_pickle=False))
    for mine, other in zip(nearest(queries, mapped, 9), nearest(queries, gallery, 9), strict=True):
        assert torch.equal(mine, other)
    assert (tmp_path / "gallery.npy").read_bytes() == before


def test_makes_no_tensor_of_the_gallerys_size(blocks):
    queries, gallery = random_rows(8, 60, 8), random_rows(9, 5000, 8)
    blocks(16, 32)
    with Observed() as seen:
        nearest(queries, gallery, 4)
    assert seen.largest <= max(16 * 32, queries.numel())


def test_makes_no_tensor_of_the_gallerys_size_when_all_are_equal(blocks):
    queries, gallery = torch.zeros(60, 8), torch.ones(5000, 8)
    blocks(16, 32)
    with Observed() as seen:
        _, indices = nearest(queries, gallery, 4)
    assert seen.largest <= max(16 * 32, queries.numel())
    assert torch.equal(indices, torch.arange(4).expand(60, 4))

"""Exact nearest neighbours by cosine in a gallery too large to copy."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from amid.losses.cosine import unit_rows

# Rows compared at once: large enough for a matrix product at full speed, while its cosines (8 MiB
# in float32) stay in the processor's cache for the look at them that follows.
QUERIES_A_BLOCK = 2048
GALLERY_A_BLOCK = 1024


@torch.no_grad()
def nearest(queries: Tensor, gallery: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k gallery rows of largest cosine for each query: (N, D), (M, D) -> (N, k), (N, k).

    Cosines, largest first, and the indices of their rows in the gallery. Equal cosines rank by
    index; a zero row has cosine 0 with everything; k, at least 1, is cut to M. Rows are finite.

    The gallery is read once, in order, and never copied, so that it may be a memory map of a file:
    torch.from_numpy(np.load(path, mmap_mode="c")).
    """
    queries = unit_rows(queries)  # (N, D)
    shape = len(queries), min(k, len(gallery))
    cosines = queries.new_full(shape, -math.inf)  # (N, k), the best so far
    indices = torch.zeros(shape, dtype=torch.int64, device=queries.device)  # (N, k)
    for start in range(0, len(gallery), GALLERY_A_BLOCK):
        rows = unit_rows(gallery[start : start + GALLERY_A_BLOCK])  # (m, D)
        for first in range(0, len(queries), QUERIES_A_BLOCK):
            block = queries[first : first + QUERIES_A_BLOCK] @ rows.T  # (n, m)
            # Most queries find nothing better in most blocks, and a maximum costs a thirtieth of a
            # top-k. A later row of equal cosine ranks behind, hence `>`.
            limit = cosines[first : first + QUERIES_A_BLOCK, -1]  # (n,)
            (changed,) = (block.amax(dim=1) > limit).nonzero(as_tuple=True)  # (c,)
            if len(changed) == 0:
                continue
            block = block[changed]  # (c, m)
            columns = _best_columns(block, shape[1])  # (c, k')
            changed += first
            found = torch.cat((cosines[changed], block.gather(1, columns)), dim=1)  # (c, k + k')
            places = torch.cat((indices[changed], columns + start), dim=1)  # (c, k + k')
            # Stable, and equal cosines stand by index already: earlier blocks come first.
            found, order = found.sort(dim=1, descending=True, stable=True)
            cosines[changed] = found[:, : shape[1]]
            indices[changed] = places.gather(1, order[:, : shape[1]])
    return cosines, indices


def _best_columns(cosines: Tensor, k: int) -> Tensor:
    """Columns of each row's k largest, ascending; of equals the first: (n, m) -> (n, min(k, m))."""
    count, size = cosines.shape
    if size <= k:
        return torch.arange(size, device=cosines.device).expand(count, size)
    # torch.topk is fast but takes whichever it likes of equal values. That matters only where the
    # k-th and the next are equal; such rows, rare in real features, are sorted whole.
    values, columns = cosines.topk(k + 1, dim=1)  # (n, k + 1)
    columns = columns[:, :k]
    (tied,) = (values[:, k - 1] == values[:, k]).nonzero(as_tuple=True)  # (t,)
    if len(tied):
        columns[tied] = cosines[tied].argsort(dim=1, descending=True, stable=True)[:, :k]
    return columns.sort(dim=1).values

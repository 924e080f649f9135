"""The 10 nearest of a million rows, exactly: `amid.training.retrieval.nearest` against bare matrix
products.

A clustered gallery is made block by block into one float32 array. The queries come in parts; for
each part the products alone (the same blocks, their results thrown away) and the whole search run
one after the other, so that both see the same machine. A sample of the queries is compared with a
search in float64. Prints a table; peak memory is that of the whole process, gallery included.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from amid.losses.cosine import unit_rows
from amid.training.retrieval import GALLERY_A_BLOCK, QUERIES_A_BLOCK, nearest

K = 10
MADE_A_BLOCK = 10_000


def clustered(centres: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Normal noise around randomly drawn centres: (C, D) -> (size, D), nothing else that large."""
    rows = torch.empty(size, centres.shape[1])  # (size, D)
    for block in rows.split(MADE_A_BLOCK):
        block.normal_(generator=generator)
        block += centres[torch.randint(len(centres), (len(block),), generator=generator)]
    return rows


def products(queries: Tensor, gallery: Tensor) -> None:
    """The matrix products of the search and nothing else."""
    for rows in gallery.split(GALLERY_A_BLOCK):
        for block in queries.split(QUERIES_A_BLOCK):
            block @ rows.T


def in_double(queries: Tensor, gallery: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and indices of the K nearest by brute force in float64: (N, D), (M, D) -> (N, K)."""
    queries = unit_rows(queries.double())  # (N, D)
    cosines, indices = queries.new_empty(len(queries), 0), torch.empty(len(queries), 0).long()
    for number, rows in enumerate(gallery.split(MADE_A_BLOCK)):
        found = queries @ unit_rows(rows.double()).T  # (N, m)
        places = torch.arange(len(rows)).expand_as(found) + number * MADE_A_BLOCK
        found, places = torch.cat((cosines, found), 1), torch.cat((indices, places), 1)
        cosines, order = found.topk(min(K, found.shape[1]), dim=1)
        indices = places.gather(1, order)
    return cosines, indices


def timed(function: Callable[..., Any], *inputs: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function(*inputs)
    return time.perf_counter() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gallery", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--parts", type=int, default=5, help="calls that share the queries")
    parser.add_argument("--sample", type=int, default=50, help="queries searched in float64 too")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    generator = torch.Generator().manual_seed(arguments.seed)
    centres = torch.randn(arguments.clusters, arguments.dim, generator=generator)  # (C, D)
    gallery = clustered(centres, arguments.gallery, generator)  # (M, D)
    queries = clustered(centres, arguments.queries, generator)  # (N, D)

    times, found = [], []
    products(queries[:QUERIES_A_BLOCK], gallery[: 10 * GALLERY_A_BLOCK])  # starts the threads
    for part in queries.chunk(arguments.parts):
        alone, _ = timed(products, part, gallery)
        whole, neighbours = timed(nearest, part, gallery, K)
        times.append((alone, whole))
        found.append(neighbours)
    alone, whole = np.sum(times, axis=0)
    low, middle, high = np.percentile([b / a for a, b in times], (25, 50, 75))

    sample = torch.randperm(arguments.queries, generator=generator)[: arguments.sample]
    cosines, indices = (torch.cat(values)[sample] for values in zip(*found, strict=True))
    want, places = in_double(queries[sample], gallery)
    work = 2e-9 * arguments.gallery * arguments.queries * arguments.dim
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    numbers = {
        "gallery, rows": arguments.gallery,
        "queries": arguments.queries,
        "dimensions": arguments.dim,
        "k": K,
        "threads": torch.get_num_threads(),
        "search, s": round(whole, 1),
        "search, queries/s": round(arguments.queries / whole, 1),
        "search, GFLOP/s": round(work / whole, 1),
        "products alone, s": round(alone, 1),
        "products alone, GFLOP/s": round(work / alone, 1),
        "search / products, median of the parts": round(float(middle), 3),
        "search / products, quartiles": [round(float(low), 3), round(float(high), 3)],
        "peak resident memory, GiB": round(peak, 2),
        "queries searched in float64": len(sample),
        "share of equal indices": (indices == places).double().mean().item(),
        "largest difference of cosines": (cosines - want).abs().max().item(),
    }
    print("| | |\n|---|---:|")
    for name, value in numbers.items():
        print(f"| {name} | {value} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()

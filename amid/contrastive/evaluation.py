"""Cross-modal retrieval: does a clip's sound find its own text among all others, and back?"""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor

from amid.contrastive.networks import PairEncoders
from amid.contrastive.pairs import PairBatch
from amid.losses.cosine import unit_rows
from amid.training.evaluation import EVALUATION_BATCH, RECALL_AT
from amid.training.retrieval import QUERIES_A_BLOCK


@torch.no_grad()
def encode(networks: PairEncoders, batch: PairBatch) -> dict[str, Tensor]:
    """Projections (N, D) of each modality of a whole split, networks in evaluation mode."""
    networks.eval()
    parts = [
        networks(batch.take(rows)).modalities
        for rows in torch.arange(len(batch)).split(EVALUATION_BATCH)
    ]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


@torch.no_grad()
def pair_ranks(queries: Tensor, gallery: Tensor) -> Tensor:
    """The rank of each query's own row in the gallery by cosine, from 1: (N, D), (N, D) -> (N,).

    Of equal cosines the lower index comes first, as in `amid.training.retrieval.nearest`. At most
    (QUERIES_A_BLOCK, N) cosines are held at once.
    """
    rows = unit_rows(gallery)  # (N, D)
    numbers = torch.arange(len(gallery))
    ranks = []
    for own in numbers.split(QUERIES_A_BLOCK):
        cosines = unit_rows(queries[own]) @ rows.T  # (n, N)
        mine = cosines.gather(1, own[:, None])  # (n, 1)
        before = (cosines > mine) | ((cosines == mine) & (numbers < own[:, None]))
        ranks.append(1 + before.sum(dim=1))
    return torch.cat(ranks)


def retrieval(projections: dict[str, Tensor]) -> dict[str, float]:
    """Recall at 1, 5 and 10 (shares) and the median rank, for every ordered pair of modalities as
    `<a>_to_<b>_r@1`, and the means over them as `r@1`; {} for no clips.

    projections: (N, D) by modality, row i of all of clip i.
    """
    if not len(next(iter(projections.values()))):
        return {}
    found: dict[str, list[float]] = {}
    metrics = {}
    for a, b in permutations(projections, 2):
        ranks = pair_ranks(projections[a], projections[b]).double()
        numbers = {f"r@{k}": float((ranks <= k).double().mean()) for k in RECALL_AT}
        numbers["median_rank"] = float(ranks.quantile(0.5))
        for name, value in numbers.items():
            metrics[f"{a}_to_{b}_{name}"] = value
            found.setdefault(name, []).append(value)
    return {**metrics, **{name: sum(values) / len(values) for name, values in found.items()}}

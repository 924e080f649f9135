"""What can be read off the trained encoders: a linear probe and nearest neighbours by labels.

The labels take no part in the training. Nothing is chosen on the test split, or at all: the numbers
below are fixed.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor

from amid.training.retrieval import nearest

STRENGTH = 0.1  # C of the logistic regression, on standardised values, as in amid.inspection.probe
NEIGHBOURS = 20
TEMPERATURE = 0.07  # of the neighbours' votes (Wu et al., CVPR 2018)


def predictions(
    train: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    test: Mapping[str, Tensor],
    classes: int,
) -> dict[str, list[int]]:
    """Predicted class of each test clip as `<modality>_linear` and `<modality>_knn`; {} without two
    classes to train on or without test clips.

    train, test: (N, D) and (M, D) projections by modality. labels: (N,) class indices of the
    training clips that the rows of each modality are of.
    """
    found = {}
    for modality, rows in train.items():
        if len(test[modality]) and len(labels[modality].unique()) > 1:
            given = rows, labels[modality], test[modality]
            found[f"{modality}_linear"] = linear(*given).tolist()
            found[f"{modality}_knn"] = knn(*given, classes).tolist()
    return found


def linear(rows: Tensor, labels: Tensor, queries: Tensor) -> Tensor:
    """(M,) classes of the queries (M, D) by a multinomial logistic regression on the rows (N, D)
    with labels (N,), all columns standardised by the rows."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # as good as it gets in this time
        model.fit(rows.double().numpy(), labels.numpy())
    return torch.from_numpy(model.predict(queries.double().numpy()))


def knn(rows: Tensor, labels: Tensor, queries: Tensor, classes: int) -> Tensor:
    """(M,) classes of the queries (M, D) by the votes of the `NEIGHBOURS` nearest rows (N, D) by
    cosine, each with the weight exp(cosine / `TEMPERATURE`); of equal votes the lower class."""
    cosines, indices = nearest(queries, rows, min(NEIGHBOURS, len(rows)))  # (M, K), (M, K)
    weights = ((cosines - cosines[:, :1]) / TEMPERATURE).double().exp()  # the first is the largest
    votes = torch.zeros(len(queries), classes, dtype=torch.float64)
    for place in range(indices.shape[1]):  # in order, so that the sums are the same everywhere
        voters = labels[indices[:, place]]  # (M,)
        votes[torch.arange(len(queries)), voters] += weights[:, place]
    return votes.argmax(dim=1)

"""Generated edge cases of every loss, held against its loops in 60 digits (by_loops).

Batches of one, one class or none twice, zero and repeated rows, rows of very unequal length, logits
of 10,000 and temperatures from 1e-4 to 1e4: value and gradients must be finite, and the value that
of the loops to 1e-9 (or a loss's own tolerance), in proportion where it is above 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor

from amid.losses import (
    UNLABELLED,
    adversarial,
    agreement,
    c2kd,
    ccl,
    clip,
    cosine,
    crcd,
    crd,
    dist,
    dkd,
    fitnets,
    gmc,
    logit_standardised,
    logits,
    mgd,
    ofa,
    rkd,
)
from amid.losses import labels as of_labels
from amid.losses import mutual_information as mutual
from tests.losses import by_loops
from tests.losses import distillation_by_loops as loops
from tests.losses.batches import drawn_of
from tests.losses.by_loops import MP
from tests.losses.nested import exact, flat, leaves

TOLERANCE = 1e-9
SCALES = st.sampled_from([1.0, 1.0, 1.0, 1e-100, 1e-6, 1e6, 1e100])
TEMPERATURES = st.sampled_from([1e-4, 1e-3, 0.01, 0.07, 0.1, 0.5, 1.0, 4.0, 100.0, 1e4])
SOFTENING = st.sampled_from([0.01, 0.5, 1.0, 4.0, 20.0, 100.0])  # its square multiplies
LOGIT = st.one_of(
    st.integers(-80, 80).map(lambda n: n / 4),
    st.sampled_from([-1e4, 1e4, 0.0, 88.0, -104.0, 710.0, -746.0]),
)
FORMS = st.sampled_from(["non_saturating", "saturating", "least_squares"])
SIZES = st.integers(1, 5)
Arguments = tuple[Any, ...]


def double(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# ---------------------------------------------------------------- what is drawn


@st.composite
def vectors(draw: st.DrawFn, size: int, dim: int) -> Tensor:
    """(size, dim): rows out of a few, so that some are equal; on a grid, so that rows are equal or
    far from it."""
    row = st.lists(st.integers(-12, 12), min_size=dim, max_size=dim) | st.just([0] * dim)
    pool = draw(st.lists(row, min_size=1, max_size=size))
    places = draw(st.lists(st.integers(0, len(pool) - 1), min_size=size, max_size=size))
    lengths = draw(st.lists(SCALES, min_size=size, max_size=size))
    return double([[x / 4 * s for x in pool[p]] for p, s in zip(places, lengths, strict=True)])


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """(B, D) twice: of their own, the same, or opposite."""
    size, dim = draw(SIZES), draw(st.integers(1, 3))
    a = draw(vectors(size, dim))
    return a, draw(st.one_of(vectors(size, dim), st.just(a.clone()), st.just(-a)))


def labels(size: int, classes: int = 3) -> st.SearchStrategy[Tensor]:
    """(size,): one class, all different, or anything."""
    drawn = st.lists(st.integers(0, classes - 1), min_size=size, max_size=size)
    return st.one_of(st.just([1] * size), st.just([*range(size)]), drawn).map(torch.tensor)


def table(rows: int, columns: int, values: st.SearchStrategy = LOGIT) -> st.SearchStrategy[Tensor]:
    row = st.lists(values, min_size=columns, max_size=columns)
    drawn = st.lists(row, min_size=rows, max_size=rows)
    return drawn.map(lambda found: double(found).reshape(rows, columns))


def line(least: int, values: st.SearchStrategy = LOGIT) -> st.SearchStrategy[Tensor]:
    return st.lists(values, min_size=least, max_size=6).map(double)


@st.composite
def contrastive(draw: st.DrawFn) -> Arguments:
    a, b = draw(pairs())
    return a, b, draw(labels(len(a))), draw(TEMPERATURES)


@st.composite
def paired(draw: st.DrawFn) -> Arguments:
    return *draw(pairs()), draw(TEMPERATURES)


@st.composite
def joint(draw: st.DrawFn) -> Arguments:
    size, dim = draw(SIZES), draw(st.integers(1, 3))
    unit = vectors(size, dim).map(cosine.unit_rows)
    return draw(unit), draw(st.lists(unit, min_size=1, max_size=2)), draw(TEMPERATURES)


@st.composite
def bank(draw: st.DrawFn) -> Arguments:
    dim = draw(st.integers(1, 3))
    return draw(vectors(draw(SIZES), dim)), draw(vectors(draw(SIZES), dim)), draw(TEMPERATURES)


@st.composite
def noise(draw: st.DrawFn, logarithms: bool) -> Arguments:
    """Scores from 1e-300 on, or logits, of a positive and of K negatives drawn up to three times,
    some never."""
    size, count = draw(SIZES), draw(st.integers(0, 4))
    score = st.sampled_from([1e-300, 1e-30, 1e-7, 1e-3, 0.5, 1.0, 3.0, 1e6, 1e30])
    scores = draw(table(size, 1 + count, LOGIT if logarithms else score))
    n_samples = draw(st.sampled_from([1, 7, 300, 10**6]))
    weights = draw(table(size, count, st.sampled_from([0.0, 1.0, 2.0, 3.0])))
    if not logarithms:
        return scores, n_samples, weights
    log_z = draw(st.sampled_from([-50.0, 0.0, 3.5, 600.0]))
    return scores[:, 0].clone(), scores[:, 1:].clone(), n_samples, weights, log_z


@st.composite
def drawn(draw: st.DrawFn) -> Arguments:
    """Anchors, logits of their positives, bank, candidates (None: all), how often each was drawn,
    labels of both, K, temperature, log Z."""
    anchors, rows, temperature = draw(bank())
    candidates = draw(st.none() | st.permutations(range(len(rows))).map(torch.tensor))
    if candidates is not None:
        candidates = candidates[: draw(st.integers(1, len(rows)))]
    number = len(rows) if candidates is None else len(candidates)
    times = sorted(draw(st.lists(st.integers(1, 3), min_size=number, max_size=number)))
    positive = draw(table(1, len(anchors)))[0].clone()
    classes = draw(labels(len(anchors))), draw(labels(number))
    log_z = draw(st.sampled_from([-50.0, 0.0, 3.5, 600.0]))
    count = draw(st.sampled_from([1, 4, 1000]))
    return anchors, positive, rows, candidates, times, *classes, count, temperature, log_z


def drawn_contrastive(
    anchors: Tensor,
    positive: Tensor,
    rows: Tensor,
    candidates: Tensor | None,
    times: list[int],
    own: Tensor,
    theirs: Tensor,
    count: int,
    temperature: float,
    log_z: float,
) -> Tensor:
    negatives = drawn_of(own, theirs, times, count, candidates)
    return crd.drawn_contrastive(anchors, positive, rows, negatives, temperature, log_z)


@st.composite
def relations(draw: st.DrawFn) -> Arguments:
    dim, size, candidates = draw(st.integers(1, 3)), draw(SIZES), draw(SIZES)
    return tuple(draw(vectors(count, dim)) for count in (size, size, size, candidates))


@st.composite
def classified(draw: st.DrawFn, temperature: bool = False, named: bool = False) -> Arguments:
    size, classes = draw(SIZES), draw(st.integers(1, 4))
    a = draw(table(size, classes))
    b = draw(st.one_of(table(size, classes), st.just(a.clone()), st.just(-a)))
    more = [draw(SOFTENING)] if temperature else []
    truth = st.lists(st.integers(0, classes - 1), min_size=size, max_size=size)
    return a, b, *([torch.tensor(draw(truth))] if named else []), *more


@st.composite
def partly_labelled(draw: st.DrawFn) -> Arguments:
    """Logits and labels, some of which are not known."""
    logits, _, truth = draw(classified(named=True))
    hidden = draw(st.lists(st.booleans(), min_size=len(truth), max_size=len(truth)))
    return logits, truth.masked_fill(torch.tensor(hidden), UNLABELLED)


@st.composite
def partnered(draw: st.DrawFn) -> Arguments:
    """Logits, labels, some of which are not known, those of the partners, and these' shares."""
    logits, labels = draw(partly_labelled())
    count, classes = logits.shape
    several = st.lists(st.integers(0, classes - 1), min_size=count, max_size=count)
    partners = torch.tensor(draw(several)).where(labels != UNLABELLED, labels)
    part = st.sampled_from([0.0, 0.1, 0.5])
    shares = draw(st.lists(part, min_size=count, max_size=count))
    return logits, labels, partners, torch.tensor(shares, dtype=torch.float64)


def rows_with_label(labels: Tensor) -> Tensor:
    found = of_labels.labelled_rows(labels)
    return torch.arange(len(labels)) if found is None else found


@st.composite
def selected(draw: st.DrawFn) -> Arguments:
    """Thresholds that no rank correlation of up to four classes meets."""
    return *draw(classified(named=True)), draw(st.sampled_from([-2.0, -0.45, 0.01, 0.55]))


@st.composite
def enhanced(draw: st.DrawFn) -> Arguments:
    *rows, temperature = draw(classified(named=True, temperature=True))
    return *rows, draw(st.sampled_from([0.5, 1.0, 1.5, 3.0])), temperature


@st.composite
def linear(draw: st.DrawFn) -> Arguments:
    """Student's logits (B, C), F (B, D), weight (C, D) and bias (C,) of its classifier."""
    size, classes, dim = draw(SIZES), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    shapes = (size, classes), (size, dim), (classes, dim), (1, classes)
    values = st.integers(-12, 12).map(lambda n: n / 4) | st.sampled_from([0.0, 1e4, -1e4])
    student, teacher, weight, bias = (draw(table(*shape, values)) for shape in shapes)
    return student, teacher, weight, bias[0].clone()


@st.composite
def channels(draw: st.DrawFn) -> Arguments:
    teacher = draw(vectors(draw(SIZES), draw(st.integers(1, 4))))
    salience = draw(table(1, teacher.shape[1], st.integers(-2, 2).map(float)))[0].clone()
    return teacher, salience, draw(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))


@st.composite
def unlike(draw: st.DrawFn) -> Arguments:
    """Rows of two widths."""
    size = draw(SIZES)
    return draw(vectors(size, draw(st.integers(1, 3)))), draw(vectors(size, 2))


@st.composite
def epochs(draw: st.DrawFn) -> Arguments:
    found = []
    for _ in range(draw(st.integers(1, 3))):
        batches = draw(st.lists(pairs(), min_size=1, max_size=2))
        found.append([(a, b, draw(labels(len(a)))) for a, b in batches])
    return found, draw(st.sampled_from([0.0, 0.5, 0.9, 1.0]))


def averaged(batches: list, smoothing: float) -> Tensor:
    """(epochs, 2): the weights after each epoch."""
    weights, found = adversarial.DynamicWeights(smoothing), []
    for epoch in batches:
        for batch in epoch:
            weights.update(*batch)
        weights.end_epoch()
        found.append(weights.weights)
    return torch.stack(found)


def averaged_by_loops(batches: list, smoothing: float) -> list[list[float]]:
    return [state["w"] for state in by_loops.dynamic_weights(batches, smoothing)]


# ---------------------------------------------------------------- the losses


class Loss(NamedTuple):
    """A loss, its loops, and the arguments both are given; fixed: the place of an argument that is
    counted, not computed, and has no gradient; tolerance: of the value."""

    loss: Callable[..., Any]
    loops: Callable[..., Any]
    arguments: st.SearchStrategy[Arguments]
    fixed: int | None = None
    tolerance: float = TOLERANCE


SHARE = st.sampled_from([0.0, 0.25, 1.0])
WEIGHTS = st.sampled_from([(0.5, 0.5), (0.0, 1.0), (1.0, 0.0), (0.3, 0.7)])
TOLD_APART = st.tuples(line(1), line(0), WEIGHTS, SHARE, FORMS)
TOLD_BOTH = st.tuples(line(1), line(1), line(0), line(0), SHARE, FORMS)
ANY_LABEL = st.integers(-(10**12), 10**12) | st.integers(0, 3) | st.just(UNLABELLED)
ANY_LABELS = st.lists(ANY_LABEL, min_size=1, max_size=9).map(lambda drawn: (torch.tensor(drawn),))

DECOUPLED = classified(named=True, temperature=True)

LOSSES: dict[str, Loss] = {
    "cosine_matrix": Loss(cosine.cosine_matrix, by_loops.cosine_matrix, pairs()),
    "inverse_norms": Loss(
        cosine.inverse_norms, by_loops.inverse_norms, pairs().map(lambda p: p[:1])
    ),
    "unit_rows": Loss(cosine.unit_rows, by_loops.unit_rows, pairs().map(lambda p: p[:1])),
    "class_aware_nce": Loss(mutual.class_aware_nce, by_loops.class_aware_nce, contrastive()),
    "pair_contrastive": Loss(ccl.pair_contrastive, by_loops.pair_contrastive, contrastive()),
    "per_sample": Loss(clip.per_sample, by_loops.per_sample, paired()),
    "symmetric": Loss(clip.symmetric, by_loops.symmetric, paired()),
    "joint_contrastive": Loss(gmc.joint_contrastive, by_loops.joint_contrastive, joint()),
    "bank_logits": Loss(crd.bank_logits, by_loops.bank_logits, bank()),
    "noise_contrastive": Loss(crd.noise_contrastive, by_loops.noise_contrastive, noise(False), 2),
    "noise_contrastive_logits": Loss(
        crd.noise_contrastive_logits, by_loops.noise_contrastive_logits, noise(True), 3
    ),
    "drawn_contrastive": Loss(drawn_contrastive, by_loops.drawn_contrastive, drawn(), 2),
    "relation_cosines": Loss(crcd.relation_cosines, by_loops.relation_cosines, relations()),
    "gradient_agreement": Loss(crcd.gradient_agreement, by_loops.gradient_agreement, pairs()),
    "classification": Loss(
        agreement.classification, by_loops.classification, classified(named=True)
    ),
    "labelled_cross_entropy": Loss(
        of_labels.labelled_cross_entropy, by_loops.labelled_cross_entropy, partly_labelled()
    ),
    "partner_excess": Loss(of_labels.partner_excess, by_loops.partner_excess, partnered()),
    "labelled_rows": Loss(rows_with_label, by_loops.labelled_rows, ANY_LABELS),
    "known_pairs": Loss(of_labels.known_pairs, by_loops.known_pairs, ANY_LABELS),
    "jensen_shannon": Loss(agreement.jensen_shannon, by_loops.jensen_shannon, classified()),
    "logits.softened_divergence": Loss(
        logits.softened_divergence, by_loops.softened_divergence, classified(temperature=True)
    ),
    "symmetric_divergence": Loss(
        logits.symmetric_divergence, by_loops.symmetric_divergence, classified()
    ),
    "uniform_excess": Loss(
        logits.uniform_excess,
        by_loops.uniform_excess,
        classified(named=True).map(lambda drawn: (drawn[0], drawn[2])),
    ),
    "student_adversarial": Loss(
        adversarial.student_adversarial, by_loops.student_adversarial, TOLD_APART
    ),
    "discriminator": Loss(adversarial.discriminator, by_loops.discriminator, TOLD_BOTH),
    "repeated_class_mask": Loss(
        adversarial.repeated_class_mask,
        by_loops.repeated_class_mask,
        ANY_LABELS,
    ),
    "DynamicWeights": Loss(averaged, averaged_by_loops, epochs()),
    "standardised": Loss(
        logit_standardised.standardised,
        loops.standardised,
        classified().map(lambda drawn: drawn[:1]),
    ),
    "logit_standardised.softened_divergence": Loss(
        logit_standardised.softened_divergence,
        loops.standardised_divergence,
        classified(temperature=True),
    ),
    "target_divergence": Loss(dkd.target_divergence, loops.target_divergence, DECOUPLED),
    "non_target_divergence": Loss(
        dkd.non_target_divergence, loops.non_target_divergence, DECOUPLED
    ),
    # The last bit of a probability decides there: it is divided by as little as 1e-8.
    "inter_class": Loss(
        dist.inter_class, loops.inter_class, classified(temperature=True), tolerance=1e-7
    ),
    "intra_class": Loss(
        dist.intra_class, loops.intra_class, classified(temperature=True), tolerance=1e-7
    ),
    "hint": Loss(fitnets.hint, loops.hint, pairs()),
    "distance": Loss(rkd.distance, loops.distance, unlike()),
    "angle": Loss(rkd.angle, loops.angle, unlike()),
    "rank_correlation": Loss(c2kd.rank_correlation, loops.rank_correlation, classified()),
    "selected_divergence": Loss(c2kd.selected_divergence, loops.selected_divergence, selected()),
    "enhanced_cross_entropy": Loss(
        ofa.enhanced_cross_entropy, loops.enhanced_cross_entropy, enhanced()
    ),
    "channel_salience": Loss(mgd.channel_salience, loops.channel_salience, linear()),
    "frozen": Loss(mgd.frozen, loops.frozen, channels(), 1),
}


# ---------------------------------------------------------------- the judgement


def fault(loss: Loss, arguments: Arguments) -> str | None:
    """What is wrong with the loss of these arguments, None for nothing."""
    differentiable = tuple(value for n, value in enumerate(arguments) if n != loss.fixed)
    asking = [leaf.requires_grad_() for leaf in leaves(differentiable) if leaf.is_floating_point()]
    found = flat(loss.loss(*arguments))
    want = flat(loss.loops(*exact(arguments)))
    if len(found) != len(want):
        return f"{len(found)} values, the loops have {len(want)}"
    for value, other in zip(found, want, strict=True):
        if not torch.isfinite(value):
            return f"the value is {value.item()}, the loops have {MP.nstr(MP.mpf(other), 17)}"
        error = abs(MP.mpf(value.item()) - MP.mpf(other)) / max(1, abs(MP.mpf(other)))
        if error > loss.tolerance:
            shown = MP.nstr(MP.mpf(other), 17)
            return f"{value.item()!r}, the loops have {shown}: off by {MP.nstr(error, 3)}"
    reached = [value for value in found if value.requires_grad]
    if reached:
        gradients = torch.autograd.grad(sum(reached), asking, allow_unused=True)
        if any(gradient is not None and not gradient.isfinite().all() for gradient in gradients):
            return "a gradient is not finite"
    return None


def edges(arguments: Arguments) -> set[str]:
    """Which edges the arguments lie on, in words."""
    found = set()
    for tensor in leaves(arguments):
        if len(tensor) == 1:
            found.add("batch of one")
        if not tensor.is_floating_point() and len(tensor) > 1:
            kinds = len(tensor.unique())
            found |= {"one class"} if kinds == 1 else set()
            found |= {"no same-class pair"} if kinds == len(tensor) else set()
        if tensor.is_floating_point() and tensor.ndim == 2 and tensor.numel():
            found |= {"zero row"} if (tensor == 0).all(dim=1).any() else set()
            found |= {"equal rows"} if len(tensor.unique(dim=0)) < len(tensor) else set()
        if tensor.is_floating_point() and tensor.numel():
            largest = tensor.detach().abs().max().item()
            found |= {"a value of 1e4 or more"} if largest >= 1e4 else set()
        found |= {"no element"} if not tensor.numel() else set()
    for value in arguments:
        if isinstance(value, float) and 0 < value <= 0.01:
            found.add("tiny temperature")
        if isinstance(value, float) and value >= 20:
            found.add("huge temperature")
    return found

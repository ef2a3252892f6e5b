"""Whether a preference model's scores mean what they say: P(chosen is better) = sigma(delta).

All functions take differences (N,): the score of the chosen response minus that of the rejected one, in nats. The
chosen one is better by definition, so that the outcome is always 1. Accuracy and reliability look at the confidence
sigma(|delta|) in [0.5, 1] of whichever response the model prefers: right if that is the chosen one, half right at a
tie.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from tutelage.statistics.intervals import (
    Floats,
    Interval,
    Labels,
    marked,
    proportion_interval,
    share_interval,
    wilson,
)

TENTHS = tuple(tenth / 10 for tenth in range(10))


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs of like confidence: their mean confidence and mean |difference|, and how often the model was right."""

    pairs: int
    confidence: float
    difference: float
    accuracy: Interval


@dataclass(frozen=True, slots=True)
class Slice:
    """Pairs that have something in common, and how often the model was right about them."""

    label: str
    pairs: int
    accuracy: Interval


@dataclass(frozen=True, slots=True)
class Above:
    """The pairs both of whose scores are at least a threshold, and how often the model was right about them."""

    threshold: float
    pairs: int
    accuracy: Interval


def right(differences: ArrayLike) -> Floats:
    """1 where the model prefers the chosen response, 0 where the rejected one, 0.5 at a tie.

    Raises:
        ValueError: no pairs, or a difference that is not finite.
    """
    return (np.sign(_finite(differences)) + 1) / 2


def accuracy(differences: ArrayLike, *clusterings: Labels) -> Interval:
    """How often the model prefers the chosen response; a tie counts half.

    Args:
        clusterings: one or two sequences of N labels, what the interval is over (workers, prompts). None: every pair
            is taken as independent, and the interval is Wilson's.

    Raises:
        ValueError: no pairs, a difference that is not finite, or clusterings that `intervals` refuses.
    """
    hits = right(differences)
    return proportion_interval(hits, *clusterings) if clusterings else wilson(float(hits.sum()), len(hits))


def accuracy_by(
    differences: ArrayLike, labels: Sequence[str | None], order: Sequence[str], prompts: Labels
) -> list[Slice]:
    """The accuracy on the pairs of each label, clustered by prompt, in the order given.

    Labels that no pair has get no slice; pairs whose label is None, or not in the order, are in none.

    Raises:
        ValueError: as `right`, or the sequences differ in length.
    """
    hits = right(differences)
    if not len(hits) == len(labels) == len(prompts):
        raise ValueError(f"{len(hits)} differences, {len(labels)} labels and {len(prompts)} prompts; expected one each")
    places: dict[str | None, list[int]] = {label: [] for label in order}
    for place, label in enumerate(labels):
        if label in places:
            places[label].append(place)
    return [
        Slice(label, len(inside), share_interval(hits[inside], [prompts[place] for place in inside]))
        for label in order
        if (inside := places[label])
    ]


def accuracy_above(scores: ArrayLike, prompts: Labels, shares: Sequence[float] = TENTHS) -> list[Above]:
    """The accuracy on the pairs both of whose scores are at least a threshold (figure 25), clustered by prompt.

    The thresholds are quantiles of the lower score of each pair, so that a pair passes if it is not among the given
    share of pairs with the lowest lower score. Equal thresholds are given once.

    Args:
        scores: (N, [chosen, rejected]).
        shares: the quantiles, from 0 (all pairs pass) to below 1.

    Raises:
        ValueError: as `right`.
    """
    scores_P2 = np.asarray(scores, dtype=np.float64)
    hits, lower = right(scores_P2[:, 0] - scores_P2[:, 1]), scores_P2.min(axis=1)
    return [
        Above(float(threshold), int(inside.sum()), share_interval(hits[inside], marked(prompts, inside)))
        for threshold in np.unique(np.quantile(lower, shares, method="higher"))
        for inside in [lower >= threshold]
    ]


def brier(differences: ArrayLike) -> float:
    """Mean of (1 - P(chosen is better))^2: 0 at best, 0.25 for a model that cannot tell."""
    return float(np.square(expit(-_finite(differences))).mean())


def log_loss(differences: ArrayLike) -> float:
    """Mean of -ln P(chosen is better), in nats: the loss a preference model is trained on; ln 2 if it cannot tell."""
    return float(np.logaddexp(0, -_finite(differences)).mean())


def reliability(differences: ArrayLike, *clusterings: Labels, bins: int = 10) -> list[Bin]:
    """At most `bins` bins of about equally many pairs, by rising confidence; pairs of one confidence are never parted.

    `clusterings` as in `accuracy`; a bin that lies within one cluster has the interval 0 to 1.
    """
    deltas = _finite(differences)
    sure, hits = np.abs(deltas), right(deltas)
    confidence = expit(sure)
    return [
        Bin(
            int(inside.sum()),
            float(confidence[inside].mean()),
            float(sure[inside].mean()),
            _bin_accuracy(hits, inside, clusterings),
        )
        for inside in equal_parts(confidence, bins)
    ]


def equal_parts(values: ArrayLike, parts: int) -> Iterator[NDArray[np.bool_]]:
    """At most so many parts (N,) of about equally many values, by rising value; equal values are never parted."""
    sample = np.asarray(values, dtype=np.float64)
    edges = np.unique(np.quantile(sample, np.linspace(0, 1, parts + 1)[1:-1]))
    place = np.searchsorted(edges, sample, side="left")
    for index in range(len(edges) + 1):
        inside = place == index
        if inside.any():
            yield inside


def _bin_accuracy(hits: Floats, inside: NDArray[np.bool_], clusterings: Sequence[Labels]) -> Interval:
    own = hits[inside]
    if not clusterings:
        return wilson(float(own.sum()), len(own))
    labels = [marked(column, inside) for column in clusterings]
    if any(len(set(column)) < 2 for column in labels):
        return Interval(float(own.mean()), 0.0, 1.0)
    return proportion_interval(own, *labels)


def ece(differences: ArrayLike, bins: int = 10) -> float:
    """Expected calibration error: mean over pairs of |accuracy - confidence| of their bin in `reliability`.

    Of few pairs it is above 0 even for a calibrated model: about sqrt(bins / (2 pi pairs)) near confidence 0.5.
    """
    parts = reliability(differences, bins=bins)
    gaps = [part.pairs * abs(part.accuracy.value - part.confidence) for part in parts]
    return sum(gaps) / sum(part.pairs for part in parts)


def _finite(differences: ArrayLike) -> Floats:
    deltas = np.asarray(differences, dtype=np.float64)
    if deltas.ndim != 1 or not len(deltas):
        raise ValueError("expected one score difference for each of at least one pair")
    if not np.isfinite(deltas).all():
        raise ValueError(f"{int((~np.isfinite(deltas)).sum())} of {len(deltas)} score differences are not finite")
    return deltas

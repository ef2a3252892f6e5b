"""Whether a preference model's scores mean what they say: P(chosen is better) = sigma(delta).

All functions take differences (N,): the score of the chosen response minus that of the rejected one, in nats. The
chosen one is better by definition, so that the outcome is always 1. Accuracy and reliability look at the confidence
sigma(|delta|) in [0.5, 1] of whichever response the model prefers: right if that is the chosen one, half right at a
tie.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from tutelage.statistics.intervals import Floats, Interval, Labels, proportion_interval, wilson


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs of like confidence: their mean confidence, and how often the model was right, with its interval."""

    pairs: int
    confidence: float
    accuracy: Interval


def accuracy(differences: ArrayLike, *clusterings: Labels) -> Interval:
    """How often the model prefers the chosen response; a tie counts half.

    Args:
        clusterings: one or two sequences of N labels, what the interval is over (workers, prompts). None: every pair
            is taken as independent, and the interval is Wilson's.

    Raises:
        ValueError: no pairs, a difference that is not finite, or clusterings that `intervals` refuses.
    """
    right = _right(_finite(differences))
    return proportion_interval(right, *clusterings) if clusterings else wilson(float(right.sum()), len(right))


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
    confidence, right = expit(np.abs(deltas)), _right(deltas)
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1]))
    place = np.searchsorted(edges, confidence, side="left")
    return [
        Bin(int(inside.sum()), float(confidence[inside].mean()), _bin_accuracy(right, inside, clusterings))
        for inside in (place == index for index in range(len(edges) + 1))
        if inside.any()
    ]


def _bin_accuracy(right: Floats, inside: NDArray[np.bool_], clusterings: Sequence[Labels]) -> Interval:
    own = right[inside]
    if not clusterings:
        return wilson(float(own.sum()), len(own))
    labels = [[label for label, there in zip(column, inside, strict=True) if there] for column in clusterings]
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


def _right(deltas: Floats) -> Floats:
    return (np.sign(deltas) + 1) / 2

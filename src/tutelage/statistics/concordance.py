"""How far two preference models agree on the same pairs.

Only differences of one model's scores mean something (eq. 4.2), so that scores of two models are compared after each
model's mean over a common set is taken off (section B.2); that set is here the responses that both have scored.
P pairs; the last axis of scores is [chosen, rejected].
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tutelage.statistics.calibration import equal_parts, right
from tutelage.statistics.correlation import correlation
from tutelage.statistics.intervals import Floats, Interval, Labels, marked, mean_interval, share_interval

DIFFERENCE_PARTS, SCORE_PARTS = 5, 10


@dataclass(frozen=True, slots=True)
class DifferenceBin:
    """Pairs about which the first model is equally sure: mean |difference| of either model, and their agreement."""

    pairs: int
    difference: float
    other_difference: float
    agreement: Interval


@dataclass(frozen=True, slots=True)
class ScoreBin:
    """Responses that the first model scores alike: mean score by it and by the other, each less its mean.

    `low` and `high` are the ends of the other's interval, None where the responses are to one prompt.
    """

    responses: int
    score: float
    other: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Concordance:
    """The agreement of a model with another on common pairs; intervals are over prompts."""

    pairs: int
    agreement: Interval
    """share of pairs on which both prefer the same response; half where one of them cannot tell"""
    difference_correlation: Interval | None
    """of the two models' score differences, whichever response is called the first"""
    score_correlation: Interval | None
    """Pearson's, of the scores of all responses"""
    means: tuple[float, float]
    """mean score of all responses by either model: what was taken off before scores are compared"""
    accuracy: Interval
    other_accuracy: Interval
    accuracy_gain: Interval | None
    """accuracy of the first less that of the other, paired; None where all pairs are of one prompt"""
    by_difference: list[DifferenceBin]
    by_score: list[ScoreBin]


def concordance(scores: ArrayLike, other_scores: ArrayLike, prompts: Labels) -> Concordance:
    """How far two models agree that gave the same pairs these scores (P, 2), all finite.

    Raises:
        ValueError: no pairs, different shapes, or a score that is not finite.
    """
    first_P2, other_P2 = np.asarray(scores, dtype=np.float64), np.asarray(other_scores, dtype=np.float64)
    if first_P2.shape != other_P2.shape:
        raise ValueError(f"expected scores of the same pairs, found {first_P2.shape} and {other_P2.shape}")
    deltas, other_deltas = first_P2[:, 0] - first_P2[:, 1], other_P2[:, 0] - other_P2[:, 1]
    hits, other_hits = right(deltas), right(other_deltas)
    responses, first, other = [*prompts, *prompts], first_P2.T.ravel(), other_P2.T.ravel()
    means = float(first.mean()), float(other.mean())
    several = len(set(prompts)) > 1
    return Concordance(
        len(deltas),
        share_interval(same_preference(deltas, other_deltas), prompts),
        correlation(deltas, other_deltas, prompts, centred=False),
        correlation(first, other, responses),
        means,
        share_interval(hits, prompts),
        share_interval(other_hits, prompts),
        mean_interval(hits - other_hits, prompts) if several else None,
        _by_difference(deltas, other_deltas, prompts),
        _by_score(first - means[0], other - means[1], responses),
    )


def same_preference(differences: ArrayLike, other_differences: ArrayLike) -> Floats:
    """1 where two models prefer the same response of a pair, 0 where not, 0.5 where one of them cannot tell."""
    one, other = (np.sign(np.asarray(deltas, dtype=np.float64)) for deltas in (differences, other_differences))
    same: Floats = (1 + one * other) / 2
    return same


def _by_difference(deltas: Floats, other_deltas: Floats, prompts: Labels) -> list[DifferenceBin]:
    sure, other_sure, same = np.abs(deltas), np.abs(other_deltas), same_preference(deltas, other_deltas)
    return [
        DifferenceBin(
            int(inside.sum()),
            float(sure[inside].mean()),
            float(other_sure[inside].mean()),
            share_interval(same[inside], marked(prompts, inside)),
        )
        for inside in equal_parts(sure, DIFFERENCE_PARTS)
    ]


def _by_score(scores: Floats, other_scores: Floats, prompts: Labels) -> list[ScoreBin]:
    return [
        _score_bin(scores[inside], other_scores[inside], marked(prompts, inside))
        for inside in equal_parts(scores, SCORE_PARTS)
    ]


def _score_bin(scores: Floats, other_scores: Floats, prompts: Labels) -> ScoreBin:
    level, other = float(scores.mean()), float(other_scores.mean())
    if len(set(prompts)) < 2:
        return ScoreBin(len(scores), level, other, None, None)
    interval = mean_interval(other_scores, prompts)
    return ScoreBin(len(scores), level, other, interval.low, interval.high)

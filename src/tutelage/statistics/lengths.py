"""How far a preference model goes by length, and what it is worth once length is of no use to it.

P pairs; the last axis of scores and lengths is [chosen, rejected].
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tutelage.statistics.calibration import right
from tutelage.statistics.correlation import correlation, rank_correlation
from tutelage.statistics.intervals import Floats, Interval, Labels, marked, share_interval


@dataclass(frozen=True, slots=True)
class LengthBias:
    """What length has to do with the scores; an interval is None where there is nothing to measure it on."""

    correlation: Interval | None
    """Spearman's, of score and length over all responses"""
    within_pairs: Interval | None
    """correlation of the two differences of a pair, whichever response is called the first"""
    longer_chosen: Interval | None
    """how often the longer response is the chosen one, of pairs of unequal length"""
    longer_preferred: Interval | None
    """how often the model prefers it, of the same pairs"""
    matched_pairs: int
    """pairs that have a counterpart under `match_weights`"""
    matched_accuracy: Interval | None
    """accuracy on them, so weighted: 0.5 for a model that goes by length alone"""


def length_bias(scores: ArrayLike, lengths: ArrayLike, prompts: Labels) -> LengthBias:
    """What length has to do with the scores (P, 2) of responses of these lengths (P, 2); intervals are over prompts."""
    scores_P2, lengths_P2 = np.asarray(scores, dtype=np.float64), np.asarray(lengths, dtype=np.float64)
    hits, longer = right(scores_P2[:, 0] - scores_P2[:, 1]), lengths_P2[:, 0] - lengths_P2[:, 1]
    unequal, weights = longer != 0, match_weights(longer)
    chosen_longer = (np.sign(longer) + 1) / 2
    model_longer = np.where(longer > 0, hits, 1 - hits)
    return LengthBias(
        rank_correlation(scores_P2.T.ravel(), lengths_P2.T.ravel(), [*prompts, *prompts]),
        correlation(scores_P2[:, 0] - scores_P2[:, 1], longer, prompts, centred=False),
        _share(chosen_longer, unequal.astype(np.float64), prompts),
        _share(model_longer, unequal.astype(np.float64), prompts),
        int((weights > 0).sum()),
        _share(hits, weights, prompts),
    )


def match_weights(length_differences: ArrayLike) -> Floats:
    """Weights (P,) under which the longer response is the chosen one exactly as often as the rejected one.

    Pairs are matched with pairs whose lengths differ by about as much (1, 2-3, 4-7, 8-15, … units): of either direction
    as many count, the more frequent one with a weight below 1. A pair without counterpart has weight 0, one of equal
    lengths 1. Who goes by length alone is right on half of this weight.

    Args:
        length_differences: (P,) length of the chosen response minus that of the rejected one.
    """
    differences = np.asarray(length_differences, dtype=np.float64)
    size = np.frexp(differences)[1]
    weights = np.ones_like(differences)
    for magnitude in np.unique(size[differences != 0]):
        sides = [(size == magnitude) & side for side in (differences > 0, differences < 0)]
        fewer = min(int(side.sum()) for side in sides)
        for side in sides:
            weights[side] = fewer / max(int(side.sum()), 1)
    return weights


def _share(hits: Floats, weights: Floats, prompts: Labels) -> Interval | None:
    """The weighted mean over the observations that have weight; None if none has."""
    there = weights > 0
    return share_interval(hits[there], marked(prompts, there), weights[there]) if there.any() else None

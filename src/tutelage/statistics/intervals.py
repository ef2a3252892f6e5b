"""Intervals that know that one worker voted many times.

Observations come in clusters: all judgments of one worker, or all on one prompt. The variance is CR3: how far the
estimate moves when one cluster is left out, squared, summed over clusters, times (G - 1)/G. The quantile is Student's t
on G_eff - 1 degrees, where G_eff = (sum n)^2 / sum n^2 is the effective number of clusters: less than G where a few
workers gave most of the judgments. Degrees are never taken below 1.

Clustered two ways (by worker and by prompt), the variance is V_worker + V_prompt - V_worker-and-prompt (Cameron,
Gelbach and Miller 2011), never less than the larger of the first two; the degrees are the smaller of the two.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
Labels = Sequence[Hashable]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with the ends of its interval, in the unit of the estimate."""

    value: float
    low: float
    high: float


def wilson(successes: float, trials: float, level: float = 0.95) -> Interval:
    """The score interval of a proportion of independent trials (Wilson 1927).

    Raises:
        ValueError: no trial, or successes outside 0 to trials.
    """
    if not trials > 0 or not 0 <= successes <= trials:
        raise ValueError(f"expected 0 to {trials} successes in at least one trial, not {successes}")
    return _score_interval(successes / trials, trials, float(stats.norm.ppf((1 + level) / 2)))


def mean_interval(values: ArrayLike, *clusterings: Labels, level: float = 0.95) -> Interval:
    """The mean of clustered observations.

    Args:
        values: (N,) observations.
        clusterings: one or two sequences of N labels, e.g. workers and prompts.
        level: coverage of the interval.

    Raises:
        ValueError: lengths differ, or there are fewer than two clusters.
    """
    sample = np.asarray(values, dtype=np.float64)
    codes = cluster_codes(len(sample), *clusterings)
    variance = _mean_variance(sample, codes, np.ones_like(sample))
    half = t_quantile([_effective(code) for code in codes[:2]], level) * np.sqrt(variance)
    mean = float(sample.mean())
    return Interval(mean, mean - float(half), mean + float(half))


def proportion_interval(
    values: ArrayLike, *clusterings: Labels, level: float = 0.95, weights: ArrayLike | None = None
) -> Interval:
    """The mean of clustered observations in [0, 1] (a tie may count as 0.5): a Wilson interval on effective trials.

    The effective number of trials is p (1 - p) / V, V the clustered variance, and at most N; where all observations
    are 0, or all 1, it is the effective number of clusters, since V is 0 and says nothing. With weights (N,), all above
    0, it is the weighted mean, and N becomes (sum w)^2 / sum w^2.

    Args, Raises: as `mean_interval`; also values outside [0, 1].
    """
    sample = np.asarray(values, dtype=np.float64)
    if np.any((sample < 0) | (sample > 1)):
        raise ValueError("a proportion is of values in [0, 1]")
    shares = np.ones(len(sample)) if weights is None else np.asarray(weights, dtype=np.float64)
    codes = cluster_codes(len(sample), *clusterings)
    clusters = [effective_clusters(np.bincount(code, weights=shares)) for code in codes[:2]]
    proportion, variance = float(np.average(sample, weights=shares)), _mean_variance(sample, codes, shares)
    most = effective_clusters(shares)
    spread = proportion * (1 - proportion)
    if spread == 0:
        trials = min(clusters)
    else:
        trials = min(most, spread / variance) if variance > 0 else most
    return _score_interval(proportion, trials, t_quantile(clusters, level))


def share_interval(values: ArrayLike, clustering: Labels, weights: ArrayLike | None = None) -> Interval:
    """As `proportion_interval`, and 0 to 1 where all observations lie in one cluster: one tells nothing of others.

    Raises:
        ValueError: no observations, or as `proportion_interval`.
    """
    if len(set(clustering)) > 1:
        return proportion_interval(values, clustering, weights=weights)
    shares = None if weights is None else np.asarray(weights, dtype=np.float64)
    return Interval(float(np.average(np.asarray(values, dtype=np.float64), weights=shares)), 0.0, 1.0)


def cluster_codes(count: int, *clusterings: Labels) -> list[Codes]:
    """The clusterings as codes 0 … G - 1; two are followed by their intersection.

    Raises:
        ValueError: no clustering or more than two, a wrong length, or fewer than two clusters.
    """
    if len(clusterings) not in (1, 2):
        raise ValueError(f"expected one or two clusterings, not {len(clusterings)}")
    codes = [_codes(labels) for labels in clusterings]
    if any(len(code) != count for code in codes):
        raise ValueError(f"expected {count} labels a clustering, not {[len(code) for code in codes]}")
    if any(count == 0 or code.max() == 0 for code in codes):
        raise ValueError("an interval over clusters (workers, prompts) needs at least two of them")
    if len(codes) == 2:
        codes.append(_codes(list(zip(*(code.tolist() for code in codes), strict=True))))
    return codes


def marked(items: Sequence[T], mask: NDArray[np.bool_]) -> list[T]:
    """The items, labels of observations say, that a mask (N,) marks."""
    return [item for item, there in zip(items, mask.tolist(), strict=True) if there]


def effective_clusters(weights: ArrayLike) -> float:
    """(sum w)^2 / sum w^2: how many clusters of equal weight these are worth."""
    shares = np.asarray(weights, dtype=np.float64)
    return float(shares.sum() ** 2 / np.square(shares).sum())


def t_quantile(clusters: Sequence[float], level: float) -> float:
    """Student's two-sided quantile on the degrees of the smallest effective number of clusters, at least 1."""
    return float(stats.t.ppf((1 + level) / 2, max(min(clusters) - 1, 1)))


def combined_variance(variances: Sequence[float]) -> float:
    """One-way: the variance. Two ways: of [first, second, both], first + second - both, floored by the larger one."""
    if len(variances) == 1:
        return variances[0]
    first, second, both = variances
    return max(first, second, first + second - both)


def _codes(labels: Labels) -> Codes:
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.intp)


def _effective(codes: Codes) -> float:
    return effective_clusters(np.bincount(codes))


def _mean_variance(sample: Floats, codes: Sequence[Codes], weights: Floats) -> float:
    return combined_variance([_leave_one_out_variance(sample, code, weights) for code in codes])


def _leave_one_out_variance(sample: Floats, codes: Codes, weights: Floats) -> float:
    sizes, sums = np.bincount(codes, weights=weights), np.bincount(codes, weights=weights * sample)
    moves = (sums - sizes * np.average(sample, weights=weights)) / (weights.sum() - sizes)
    return float((len(sizes) - 1) / len(sizes) * np.square(moves).sum())


def _score_interval(proportion: float, trials: float, quantile: float) -> Interval:
    squared = quantile**2 / trials
    centre = (proportion + squared / 2) / (1 + squared)
    half = np.sqrt(squared * (proportion * (1 - proportion) + squared / 4)) / (1 + squared)
    # The ends are 0 and 1 exactly where the proportion is; rounding may not put them inside it.
    low, high = min(centre - half, proportion), max(centre + half, proportion)
    return Interval(proportion, max(0.0, float(low)), min(1.0, float(high)))

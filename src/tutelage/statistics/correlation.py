"""Correlations with an interval that knows that observations come in clusters.

The interval is a jackknife over clusters on Fisher's scale, z = artanh(r): the variance of z is (G - 1)/G times the sum
of squares of how far z moves when one of the G clusters is left out, the quantile Student's t as in `intervals`.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from tutelage.statistics.intervals import Floats, Interval, Labels, cluster_codes, effective_clusters, t_quantile

STEEPEST = 1 - 1e-9  # beyond it a correlation is 1 up to rounding, and artanh would make much of the rounding


def correlation(
    one: ArrayLike, other: ArrayLike, clusters: Labels, *, centred: bool = True, level: float = 0.95
) -> Interval | None:
    """Pearson's correlation of two columns (N,), or None where one of them does not vary.

    Args:
        clusters: N labels, what the interval is over. Where they are all alike the interval is -1 to 1.
        centred: False measures from zero and not from the means: of differences between the two sides of pairs, this
            is the correlation whichever side is called the first.

    Raises:
        ValueError: the columns differ in length, or hold what is not finite.
    """
    x, y = _prepared(one, centred), _prepared(other, centred)
    if not len(x) == len(y) == len(clusters):
        raise ValueError(f"expected columns of one length, not {len(x)}, {len(y)} and {len(clusters)}")
    if not x.any() or not y.any():
        return None
    ones = np.ones_like(x) if centred else np.zeros_like(x)
    moments = np.stack([ones, ones * x, ones * y, x * x, y * y, x * y])
    value = float(_from_moments(moments.sum(axis=1, keepdims=True))[0])
    if len(set(clusters)) < 2:
        return Interval(value, -1.0, 1.0)
    (codes,) = cluster_codes(len(x), clusters)
    by_cluster = np.stack([np.bincount(codes, weights=moment) for moment in moments])
    left_out = _from_moments(by_cluster.sum(axis=1, keepdims=True) - by_cluster)
    return _fisher_interval(value, left_out, t_quantile([effective_clusters(np.bincount(codes))], level))


def rank_correlation(one: ArrayLike, other: ArrayLike, clusters: Labels) -> Interval | None:
    """Spearman's correlation, as `correlation`; equal values share a rank, and the ranks are taken once."""
    return correlation(rankdata(one), rankdata(other), clusters)


def _prepared(column: ArrayLike, centred: bool) -> Floats:
    """The column about its mean (or zero), its largest value 1, for accurate sums; all zero if it does not vary."""
    values = np.asarray(column, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError("expected a column of finite numbers")
    if centred and len(values) and np.ptp(values) == 0:
        return np.zeros_like(values)
    about = values - values.mean() if centred and len(values) else values
    largest = np.abs(about).max(initial=0)
    return about / largest if largest > 0 else about


def _from_moments(moments: Floats) -> Floats:
    """Correlations (G,) from [count, sum x, sum y, sum x^2, sum y^2, sum xy] (6, G); NaN where x or y does not vary.

    Of prepared columns the sums of squares are at least 1, so that what is left far below that is rounding.
    """
    count, x, y, xx, yy, xy = moments
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_x, mean_y = np.where(count > 0, x / count, 0), np.where(count > 0, y / count, 0)
        spread_x, spread_y = xx - x * mean_x, yy - y * mean_y
        varies = (spread_x > 1e-9) & (spread_y > 1e-9)
        r = np.where(varies, (xy - x * mean_y) / np.sqrt(spread_x * spread_y), np.nan)
    return np.clip(r, -1, 1)


def _fisher_interval(value: float, left_out: Floats, quantile: float) -> Interval:
    if not np.isfinite(left_out).all():
        return Interval(value, -1.0, 1.0)  # without one cluster there is nothing to correlate
    z, moved = (np.arctanh(np.clip(r, -STEEPEST, STEEPEST)) for r in (np.array(value), left_out))
    groups = len(left_out)
    half = quantile * np.sqrt((groups - 1) / groups * np.square(moved - z).sum())
    low, high = float(np.tanh(z - half)), float(np.tanh(z + half))
    return Interval(value, min(low, value), max(high, value))

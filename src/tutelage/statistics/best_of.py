"""Best-of-n: what the best of so many samples is worth, and how far choosing it leads from the policy."""

import numpy as np
from numpy.typing import ArrayLike

from tutelage.statistics.intervals import Floats


def best_of_kl(k: int) -> float:
    """KL(best-of-k ‖ policy) = log k - (k - 1)/k, nats: exact where no two samples score alike, a bound otherwise.

    Bai et al. 2022 (section 4.3) take its first term alone.
    """
    if k < 1:
        raise ValueError(f"expected the best of at least one sample, not of {k}")
    return float(np.log(k) - (k - 1) / k)


def best_of_weights(n: int) -> Floats:
    """(n, n): in row k - 1 the chance of each of n ranked samples, worst first, to be the best of k drawn from them.

    C(i - 1, k - 1) / C(n, k) for the i-th: without replacement, so that the mean over the ranks is the unbiased
    estimate for all k ≤ n from one set of n samples.
    """
    if n < 1:
        raise ValueError(f"expected at least one sample, not {n}")
    ranks = np.arange(1, n + 1)
    weights = np.zeros((n, n))
    weights[0] = 1 / n
    for k in range(2, n + 1):
        # From C(i-1, k-2)/C(n, k-1) to C(i-1, k-1)/C(n, k): no factorial grows out of bounds.
        weights[k - 1] = weights[k - 2] * np.maximum(ranks - k + 1, 0) / (k - 1) * k / (n - k + 1)
    return weights


def best_of_curve(scores_PN: ArrayLike, values_PN: ArrayLike) -> Floats:
    """(P, N) The expected value, for each prompt, of the sample that scores best among k = 1 … N.

    `values` are the scores themselves, or what another judge makes of the same samples. Samples that score alike share
    their value, for no rule says which of them would be taken.

    Raises:
        ValueError: the two are no tables of one shape.
    """
    scores, values = np.asarray(scores_PN, dtype=np.float64), np.asarray(values_PN, dtype=np.float64)
    if scores.ndim != 2 or scores.shape != values.shape:
        raise ValueError(f"expected two tables of one shape, not {scores.shape} and {values.shape}")
    ranked = np.stack([_ranked(*row) for row in zip(scores, values, strict=True)])
    curve: Floats = ranked @ best_of_weights(scores.shape[1]).T
    return curve


def _ranked(scores: Floats, values: Floats) -> Floats:
    """The values in the order of their scores, worst first; those of equal scores are their mean."""
    order = np.argsort(scores, kind="stable")
    _, place, count = np.unique(scores[order], return_inverse=True, return_counts=True)
    means = np.bincount(place, weights=values[order]) / count
    ranked: Floats = means[place]
    return ranked

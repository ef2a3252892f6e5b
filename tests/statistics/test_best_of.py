"""The best of k, from one set of n: unbiased, and as far away as it is said to be."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.statistics.best_of import best_of_curve, best_of_kl, best_of_weights


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=7, unique=True), st.integers(0, 10**6))
def test_the_curve_is_the_mean_over_all_subsets(scores: list[float], seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=len(scores))
    curve = best_of_curve([scores], [values])[0]
    for k in range(1, len(scores) + 1):
        chosen = [max(part, key=scores.__getitem__) for part in combinations(range(len(scores)), k)]
        assert curve[k - 1] == pytest.approx(np.mean(values[chosen]))


def test_samples_that_score_alike_share_what_they_are_worth() -> None:
    np.testing.assert_allclose(best_of_curve([[1.0, 1.0, 0.0]], [[4.0, 0.0, 7.0]])[0], [11 / 3, (2 + 2 + 2) / 3, 2])


def test_the_weights_are_chances_and_sixty_four_are_not_too_many() -> None:
    weights = best_of_weights(64)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (weights >= 0).all()
    assert weights[-1, -1] == pytest.approx(1)


def test_uniform_scores_have_the_known_mean_of_the_best() -> None:
    """E max of k uniform draws = k / (k + 1)."""
    scores = np.random.default_rng(0).random((4000, 8))
    expected = np.arange(1, 9) / np.arange(2, 10)
    np.testing.assert_allclose(best_of_curve(scores, scores).mean(axis=0), expected, atol=0.01)


def test_the_distance_is_that_of_the_distribution_of_the_best() -> None:
    """Against KL by its definition, for ranks of a fine grid: the best of k has the chances u^k - (u - 1/m)^k."""
    edges = np.linspace(0, 1, 200_001)
    for k in (1, 4, 16, 64):
        chances = np.diff(edges**k)
        kl = np.sum(np.where(chances > 0, chances * np.log(np.maximum(chances, 1e-300) * 200_000), 0))
        assert best_of_kl(k) == pytest.approx(kl, abs=1e-3)
    assert best_of_kl(16) == pytest.approx(1.835, abs=1e-3)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        best_of_kl(0)
    with pytest.raises(ValueError, match="at least one sample"):
        best_of_weights(0)
    with pytest.raises(ValueError, match="one shape"):
        best_of_curve([[1.0, 2.0]], [[1.0]])

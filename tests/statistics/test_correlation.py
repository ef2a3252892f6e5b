"""Correlations against scipy, their jackknife against brute force, and their coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from tutelage.statistics.correlation import correlation, rank_correlation
from tutelage.statistics.intervals import Interval


def clustered(clusters: int, each: int, seed: int, r: float = 0.5) -> tuple[NDArray[np.float64], ...]:
    """Two columns of correlation r, in clusters whose members share half of their variance, and the clusters."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(clusters), each)
    cause = np.array([[1, r], [r, 1]])
    shared = rng.multivariate_normal([0, 0], cause, clusters)[labels]
    own = rng.multivariate_normal([0, 0], cause, clusters * each)
    x, y = ((shared + own) / np.sqrt(2)).T
    return x, y, labels


def test_the_values_are_scipys() -> None:
    x, y, labels = clustered(40, 3, seed=0)
    x, y = 100 + 50 * x, np.exp(y)
    found, by_rank = correlation(x, y, labels.tolist()), rank_correlation(x, y, labels.tolist())
    assert found is not None
    assert by_rank is not None
    assert found.value == pytest.approx(stats.pearsonr(x, y).statistic)
    assert by_rank.value == pytest.approx(stats.spearmanr(x, y).statistic)


def test_the_interval_is_a_jackknife_over_clusters_on_fishers_scale() -> None:
    x, y, labels = clustered(12, 4, seed=1)
    found = correlation(x, y, labels.tolist())
    assert found is not None
    z = np.arctanh(np.corrcoef(x, y)[0, 1])
    moved = [np.arctanh(np.corrcoef(x[labels != g], y[labels != g])[0, 1]) for g in range(12)]
    half = stats.t.ppf(0.975, 11) * np.sqrt(11 / 12 * np.sum((np.array(moved) - z) ** 2))
    assert (found.low, found.high) == pytest.approx((np.tanh(z - half), np.tanh(z + half)))


def test_uncentred_it_does_not_matter_which_side_is_called_the_first() -> None:
    x, y, labels = clustered(30, 2, seed=2)
    x, y = x + 1, y + 1  # a tendency of the chosen side
    turned = np.random.default_rng(0).choice([-1, 1], len(x))
    one = correlation(x, y, labels.tolist(), centred=False)
    other = correlation(turned * x, turned * y, labels.tolist(), centred=False)
    assert one is not None
    assert other is not None
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))
    assert one.value == pytest.approx(np.sum(x * y) / np.sqrt(np.sum(x**2) * np.sum(y**2)))


@pytest.mark.parametrize("centred", [True, False])
def test_what_does_not_vary_correlates_with_nothing(centred: bool) -> None:
    assert correlation([0.0] * 4, [1.0, 2, 3, 4], list("aabb"), centred=centred) is None
    assert correlation([], [], [], centred=centred) is None
    assert rank_correlation([0.1] * 3, [1.0, 2, 3], list("abc")) is None


def test_one_cluster_or_one_that_holds_all_the_variation_tells_nothing_of_others() -> None:
    assert correlation([1.0, 2, 4], [1.0, 2, 3], list("aaa")) == Interval(
        pytest.approx(np.corrcoef([1, 2, 4], [1, 2, 3])[0, 1]), -1.0, 1.0
    )
    lone = correlation([1.0, 2, 4, 0, 0, 0], [1.0, 2, 3, 0, 0, 0], list("aaabcd"), centred=False)
    assert lone is not None
    assert (lone.low, lone.high) == (-1.0, 1.0)


def test_a_perfect_correlation_stays_one() -> None:
    x = np.random.default_rng(0).normal(1000, 1, 60)
    found = correlation(x, 3 * x + 1e4, (np.arange(60) // 3).tolist())
    assert found is not None
    assert found.value == pytest.approx(1)
    assert 0.99 < found.low <= found.value <= found.high <= 1


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5), st.integers(0, 4)), min_size=1, max_size=30))
def test_the_interval_holds_the_value_within_its_range(rows: list[tuple[int, int, int]]) -> None:
    for centred in (True, False):
        found = correlation(*([row[n] for row in rows] for n in range(3)), centred=centred)
        assert found is None or -1 <= found.low <= found.value <= found.high <= 1


def test_coverage_with_clusters() -> None:
    covered, naive = 0, 0
    for seed in range(200):
        x, y, labels = clustered(40, 10, seed)
        found = correlation(x, y, labels.tolist())
        assert found is not None
        covered += found.low <= 0.5 <= found.high
        naive += abs(np.arctanh(found.value) - np.arctanh(0.5)) <= 1.96 / np.sqrt(len(x) - 3)
    assert covered / 200 >= 0.91
    assert naive / 200 < 0.85


@pytest.mark.parametrize(("x", "y"), [([1.0, np.nan], [1.0, 2.0]), ([1.0, 2.0], [1.0]), ([[1.0]], [[1.0]])])
def test_what_is_no_pair_of_columns_is_refused(x: list[float], y: list[float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        correlation(x, y, ["a", "b"])

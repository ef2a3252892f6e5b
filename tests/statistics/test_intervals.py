"""Intervals against textbook values, their bounds, and their coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tutelage.statistics.intervals import (
    Interval,
    combined_variance,
    effective_clusters,
    mean_interval,
    proportion_interval,
    share_interval,
    wilson,
)


@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (7, 10), (81, 263), (29, 29)])
def test_wilson_is_scipys(successes: int, trials: int) -> None:
    oracle = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    ours = wilson(successes, trials)
    assert (ours.value, ours.low, ours.high) == pytest.approx((successes / trials, oracle.low, oracle.high))


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 4)])
def test_wilson_refuses_what_is_no_proportion(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="successes in at least one trial"):
        wilson(successes, trials)


def test_clusters_of_one_give_the_textbook_t_interval() -> None:
    sample = [2.0, 3.5, 1.0, 4.0, 2.5]
    low, high = stats.t.interval(0.95, 4, np.mean(sample), stats.sem(sample))
    ours = mean_interval(sample, range(5))
    assert (ours.value, ours.low, ours.high) == pytest.approx((np.mean(sample), low, high))


def test_copies_within_a_cluster_add_no_certainty() -> None:
    sample, labels = [2.0, 3.5, 1.0, 4.0], ["a", "b", "c", "d"]
    once, thrice = mean_interval(sample, labels), mean_interval(sample * 3, labels * 3)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))


def test_effective_clusters_count_equal_shares() -> None:
    assert effective_clusters([7, 7, 7]) == pytest.approx(3)
    assert effective_clusters([100, 1, 1]) == pytest.approx(102**2 / 10002)


def test_two_ways_never_lie_below_the_larger_one() -> None:
    assert combined_variance([2.0]) == 2.0
    assert combined_variance([2.0, 3.0, 1.0]) == 4.0
    assert combined_variance([2.0, 3.0, 4.5]) == 3.0


def test_the_same_clustering_twice_is_that_clustering() -> None:
    values, labels = [1.0, 0.0, 1.0, 1.0, 0.0, 0.5], [0, 0, 1, 1, 2, 3]
    assert mean_interval(values, labels, labels) == mean_interval(values, labels)


def test_all_alike_is_not_taken_for_certain() -> None:
    unanimous = proportion_interval([1.0] * 100, [0, 1, 2, 3] * 25)
    assert unanimous.value == unanimous.high == 1.0
    assert 0.2 < unanimous.low < wilson(4, 4).low


def test_an_even_spread_is_not_surer_than_independent_trials() -> None:
    """All workers but one gave three wins of four: the clusters vary less than chance would have them."""
    even = proportion_interval([1, 1, 1, 0] * 49 + [1] * 4, np.repeat(range(50), 4).tolist())
    independent = wilson(151, 200)
    assert even.low <= independent.low < independent.high <= even.high


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from([0, 0.5, 1]), st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=40))
def test_proportions_stay_in_the_unit_interval_and_swap(rows: list[tuple[float, int, int]]) -> None:
    values, workers, prompts = (list(column) for column in zip(*rows, strict=True))
    if len(set(workers)) == 1 or len(set(prompts)) == 1:
        with pytest.raises(ValueError, match="at least two"):
            proportion_interval(values, workers, prompts)
        return
    one = proportion_interval(values, workers, prompts)
    other = proportion_interval([1 - value for value in values], workers, prompts)
    assert 0 <= one.low <= one.value <= one.high <= 1
    assert (1 - other.high, 1 - other.low) == pytest.approx((one.low, one.high), abs=1e-9)


@pytest.mark.parametrize(
    ("values", "clusterings", "message"),
    [
        ([1, 0], [], "one or two clusterings, not 0"),
        ([1, 0], [["a"]], "expected 2 labels a clustering"),
        ([1, 0], [["a", "a"]], "at least two of them"),
        ([], [[]], "at least two of them"),
        ([2, 0], [["a", "b"]], r"values in \[0, 1\]"),
    ],
)
def test_what_has_no_interval_is_refused(values: list[float], clusterings: list[list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        proportion_interval(values, *clusterings)


def test_coverage_with_workers_of_unequal_diligence_and_taste() -> None:
    """A nominal 95% interval covers about 95% where the naive one covers far less."""
    rng = np.random.default_rng(0)
    diligence = 1 / np.arange(1, 21)
    covered, naive = 0, 0
    for _ in range(300):
        workers = rng.choice(20, 400, p=diligence / diligence.sum())
        values = rng.normal(0, 1, 400) + rng.normal(0, 0.5, 20)[workers]
        ours = mean_interval(values, workers.tolist())
        covered += ours.low <= 0 <= ours.high
        naive += abs(ours.value) <= 1.96 * values.std() / 20
    assert 0.92 <= covered / 300 <= 0.99
    assert naive / 300 < 0.75


def test_weights_of_one_change_nothing_and_a_weight_of_two_is_the_observation_twice() -> None:
    values, clusters = [1.0, 1, 1, 0, 0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    plain = proportion_interval(values, clusters)
    assert proportion_interval(values, clusters, weights=[1] * 10) == plain
    # Clusters so unlike that the variance and not the number of trials sets the width.
    weighted = proportion_interval(values, clusters, weights=[2] * 3 + [1] * 7)
    doubled = proportion_interval(values[:3] * 2 + values[3:], clusters[:3] * 2 + clusters[3:])
    assert (weighted.value, weighted.low, weighted.high) == pytest.approx((doubled.value, doubled.low, doubled.high))
    assert weighted.value != plain.value


def test_one_cluster_has_a_value_and_tells_nothing_of_others() -> None:
    assert share_interval([1.0, 0.0, 1.0, 1.0], ["p"] * 4) == Interval(0.75, 0.0, 1.0)
    assert share_interval([1.0, 0.0], ["p", "p"], weights=[3, 1]) == Interval(0.75, 0.0, 1.0)
    assert share_interval([1.0, 0.0], ["p", "q"]) == proportion_interval([1.0, 0.0], ["p", "q"])

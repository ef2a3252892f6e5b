"""Calibration of score differences, by hand and in a calibrated world."""

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from tutelage.statistics.calibration import accuracy, brier, ece, log_loss, reliability

finite = st.lists(st.floats(-20, 20), min_size=2, max_size=60)


def drawn(count: int, seed: int = 0) -> NDArray[np.float64]:
    """Differences of a calibrated model: chosen wins with probability sigma(delta)."""
    rng = np.random.default_rng(seed)
    delta = rng.normal(0, 1.5, count)
    return np.where(rng.random(count) < expit(delta), delta, -delta)


def test_a_model_that_cannot_tell() -> None:
    assert brier([0.0, 0.0]) == 0.25
    assert log_loss([0.0]) == pytest.approx(log(2))
    assert accuracy([0.0, 0.0]).value == 0.5
    assert ece([0.0] * 10) == 0


def test_by_hand() -> None:
    delta = [log(3), -log(3)]  # sure to 0.75, once right, once wrong
    assert brier(delta) == pytest.approx((0.25**2 + 0.75**2) / 2)
    assert log_loss(delta) == pytest.approx(-(log(0.75) + log(0.25)) / 2)
    assert accuracy([2.0, 0.0, -1.0, 3.0]).value == 2.5 / 4
    assert ece(delta) == pytest.approx(0.25)
    (only,) = reliability(delta)
    assert (only.pairs, only.confidence, only.accuracy.value) == (2, pytest.approx(0.75), 0.5)


def test_a_calibrated_world_is_calibrated_and_a_boastful_one_is_not() -> None:
    delta = drawn(20_000)
    assert ece(delta) < 0.01
    assert ece(3 * delta) > 0.1
    assert brier(delta) < min(brier(3 * delta), brier(delta / 3))
    assert log_loss(delta) < min(log_loss(3 * delta), log_loss(delta / 3))


def test_bins_are_of_equal_mass_and_cover_the_confidence() -> None:
    bins = reliability(drawn(5000), bins=10)
    assert [part.pairs for part in bins] == [500] * 10
    assert [part.confidence for part in bins] == sorted(part.confidence for part in bins)
    inside = sum(part.accuracy.low <= part.confidence <= part.accuracy.high for part in bins)
    assert inside >= 8


@settings(max_examples=100)
@given(finite.flatmap(lambda delta: st.tuples(st.just(delta), st.permutations(delta))))
def test_order_does_not_matter_and_all_pairs_are_binned(orders: tuple[list[float], list[float]]) -> None:
    delta, shuffled = orders
    assert ece(shuffled) == pytest.approx(ece(delta), abs=1e-9)
    assert sum(part.pairs for part in reliability(delta)) == len(delta)


def test_clustered_bins_have_wider_intervals_and_those_within_one_cluster_none() -> None:
    delta, prompts = np.repeat(drawn(200), 20), np.repeat(np.arange(200), 20)
    apart, together = reliability(delta, bins=2), reliability(delta, prompts, bins=2)
    for one, other in zip(apart, together, strict=True):
        assert one.accuracy.value == other.accuracy.value
        assert other.accuracy.high - other.accuracy.low > 3 * (one.accuracy.high - one.accuracy.low)
    (alone,) = reliability([1.0, 1.0], ["p", "p"])
    assert (alone.accuracy.low, alone.accuracy.high) == (0.0, 1.0)
    assert 0 <= ece(delta) <= 1


def test_accuracy_is_clustered_where_clusters_are_given() -> None:
    delta = [1.0] * 60 + [-1.0] * 40
    workers = [0] * 30 + [1] * 30 + [2] * 20 + [3] * 20
    plain, clustered = accuracy(delta), accuracy(delta, workers)
    assert plain.value == clustered.value == 0.6
    assert clustered.high - clustered.low > 2 * (plain.high - plain.low)


@pytest.mark.parametrize("delta", [[], [float("nan"), 1.0], [float("inf")]])
def test_no_pairs_and_broken_scores_are_refused(delta: list[float]) -> None:
    for measure in (accuracy, brier, log_loss, ece):
        with pytest.raises(ValueError, match=r"expected one score|not finite"):
            measure(delta)

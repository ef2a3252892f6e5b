"""Calibration of score differences, by hand and in a calibrated world."""

from itertools import pairwise
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from tutelage.statistics.calibration import (
    accuracy,
    accuracy_above,
    accuracy_by,
    brier,
    ece,
    equal_parts,
    log_loss,
    reliability,
)

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


def test_a_calibrated_world_lies_on_the_line() -> None:
    """Accuracy over |difference| is 1 / (1 + exp(-|difference|))."""
    for part in reliability(drawn(40_000)):
        assert part.accuracy.value == pytest.approx(expit(part.difference), abs=0.03)
    assert [part.difference for part in reliability([1.0, -3.0])] == [1.0, 3.0]


@settings(max_examples=100)
@given(finite, st.integers(1, 8))
def test_equal_parts_are_a_partition_in_rising_order(values: list[float], count: int) -> None:
    parts = list(equal_parts(values, count))
    assert len(parts) <= count
    assert (np.sum(parts, axis=0) == 1).all()
    sample = np.array(values)
    assert all(sample[one].max() < sample[other].min() for one, other in pairwise(parts))


def test_accuracy_by_label_in_the_order_asked() -> None:
    delta, labels = [1.0, -1.0, 0.0, 2.0, 2.0], ["b", "b", "a", "a", None]
    first, second = accuracy_by(delta, labels, ["a", "never", "b"], list("pqpqp"))
    assert (first.label, first.pairs, first.accuracy.value) == ("a", 2, 0.75)
    assert (second.label, second.pairs, second.accuracy.value) == ("b", 2, 0.5)
    assert accuracy_by(delta, [None] * 5, ["a"], list("pqpqp")) == []
    (alone,) = accuracy_by(delta, ["x"] * 5, ["x"], ["p"] * 5)
    assert (alone.accuracy.low, alone.accuracy.high) == (0.0, 1.0)
    with pytest.raises(ValueError, match="5 differences, 1 labels"):
        accuracy_by(delta, ["a"], ["a"], list("pqpqp"))


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.integers(0, 5)), min_size=1, max_size=40))
def test_accuracy_above_is_that_of_the_pairs_whose_scores_are(rows: list[tuple[int, int, int]]) -> None:
    found = accuracy_above([row[:2] for row in rows], [row[2] for row in rows])
    assert found[0].pairs == len(rows)
    assert [part.threshold for part in found] == sorted({part.threshold for part in found})
    for part in found:
        inside = [row for row in rows if row[0] >= part.threshold and row[1] >= part.threshold]
        assert part.pairs == len(inside)
        assert part.accuracy.value == pytest.approx(
            sum((chosen > rejected) + 0.5 * (chosen == rejected) for chosen, rejected, _ in inside) / len(inside)
        )


def test_a_model_that_knows_bad_but_not_good_falls_among_high_scores() -> None:
    """Responses of quality below 0 are told apart, those above 0 all get a score of pure chance (figure 25)."""
    rng = np.random.default_rng(0)
    quality = np.sort(rng.normal(0, 1, (4000, 2)), axis=1)[:, ::-1]
    scores = np.where(quality < 0, quality, rng.exponential(1, quality.shape))
    parts = accuracy_above(scores, range(4000))
    assert [part.pairs for part in parts] == [4000 - 400 * tenth for tenth in range(10)]
    assert parts[0].accuracy.value > 0.8
    assert parts[-1].accuracy.low < 0.5 < parts[-1].accuracy.high


def test_constant_scores_have_one_threshold_and_one_bin() -> None:
    (only,) = accuracy_above([[0.3, 0.3]] * 4, list("ppqq"))
    assert (only.threshold, only.pairs, only.accuracy.value) == (0.3, 4, 0.5)
    assert [part.pairs for part in reliability([0.0] * 4, list("ppqq"))] == [4]

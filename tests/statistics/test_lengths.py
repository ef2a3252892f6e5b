"""Length bias in planted worlds: a judge of length alone, and one that does not look at it."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tutelage.statistics.lengths import length_bias, match_weights

differences = st.lists(st.integers(-300, 300), min_size=1, max_size=60)


def world(pairs: int, longer_chosen: float, seed: int = 0) -> NDArray[np.int64]:
    """Lengths (P, [chosen, rejected]) in which people chose the longer response this often."""
    rng = np.random.default_rng(seed)
    lengths = np.sort(rng.integers(5, 120, (pairs, 2)), axis=1)
    return np.where(rng.random((pairs, 1)) < longer_chosen, lengths[:, ::-1], lengths)


@settings(max_examples=200)
@given(differences)
def test_matched_either_direction_weighs_the_same_in_every_range(rows: list[int]) -> None:
    weights = match_weights(rows)
    sums: Counter[tuple[int, bool]] = Counter()
    for row, weight in zip(rows, weights.tolist(), strict=True):
        assert 0 <= weight <= 1
        if row:
            sums[abs(row).bit_length(), row > 0] += weight
        else:
            assert weight == 1
    for size in {size for size, _ in sums}:
        assert sums[size, True] == pytest.approx(sums[size, False])
        counts = [sum(abs(row).bit_length() == size and row * side > 0 for row in rows) for side in (1, -1)]
        assert sums[size, True] == pytest.approx(min(counts))


@settings(max_examples=100)
@given(differences)
def test_who_goes_by_length_alone_is_right_on_half_of_the_matched_pairs(rows: list[int]) -> None:
    lengths = [[300 + max(row, 0), 300 + max(-row, 0)] for row in rows]
    bias = length_bias(np.array(lengths) / 10, lengths, range(len(rows)))
    assert bias.matched_accuracy is None or bias.matched_accuracy.value == pytest.approx(0.5)
    assert bias.longer_preferred is None or bias.longer_preferred.value == 1
    told = [row > 0 for row in rows if row]
    assert (bias.longer_chosen is None) == (not told)
    assert bias.longer_chosen is None or bias.longer_chosen.value == pytest.approx(np.mean(told))


def test_a_length_judge_looks_good_where_people_like_length_and_matching_unmasks_it() -> None:
    lengths = world(2000, longer_chosen=0.7)
    bias = length_bias(lengths.astype(float), lengths, range(2000))
    raw = np.mean(lengths[:, 0] > lengths[:, 1]) + 0.5 * np.mean(lengths[:, 0] == lengths[:, 1])
    assert raw > 0.67
    assert bias.matched_accuracy is not None
    assert bias.matched_accuracy.value == pytest.approx(0.5)
    assert bias.correlation is not None
    assert bias.within_pairs is not None
    assert bias.correlation.value == pytest.approx(1)
    assert bias.within_pairs.value == pytest.approx(1)


def test_a_judge_that_does_not_look_at_length_keeps_its_accuracy_when_matched() -> None:
    rng = np.random.default_rng(1)
    lengths = world(4000, longer_chosen=0.7, seed=1)
    sides = np.where(rng.random(4000) < 0.75, 1.0, -1.0)
    bias = length_bias(np.stack([sides, -sides], axis=1), lengths, range(4000))
    assert bias.matched_accuracy is not None
    assert bias.matched_accuracy.low < 0.75 < bias.matched_accuracy.high
    assert bias.matched_accuracy.high - bias.matched_accuracy.low < 0.06
    assert bias.matched_pairs > 3900


def test_equal_lengths_are_matched_as_they_are_and_have_no_longer_response() -> None:
    bias = length_bias([[1.0, 0], [0, 1.0], [2.0, 1.0]], [[7, 7]] * 3, list("abc"))
    assert (bias.longer_chosen, bias.longer_preferred, bias.correlation, bias.within_pairs) == (None,) * 4
    assert bias.matched_pairs == 3
    assert bias.matched_accuracy is not None
    assert bias.matched_accuracy.value == pytest.approx(2 / 3)


def test_constant_scores_and_one_prompt_are_no_error() -> None:
    bias = length_bias(np.zeros((4, 2)), [[5, 9], [9, 5], [20, 1], [3, 3]], ["p"] * 4)
    assert bias.correlation is None
    assert bias.longer_preferred is not None
    assert bias.longer_preferred.value == 0.5
    assert bias.matched_pairs == 3  # 20 against 1 has no counterpart
    assert bias.matched_accuracy is not None
    assert (bias.matched_accuracy.value, bias.matched_accuracy.low, bias.matched_accuracy.high) == (0.5, 0.0, 1.0)

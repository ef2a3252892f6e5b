"""Two models on the same pairs: with itself, with its opposite, with a stranger."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tutelage.statistics.concordance import concordance, same_preference


def scores(pairs: int = 600, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, 1, (pairs, 2))


PROMPTS = [number // 3 for number in range(600)]


def test_a_model_agrees_with_itself_whatever_its_zero() -> None:
    own = scores()
    found = concordance(own, own + 7, PROMPTS)
    assert found.agreement.value == 1
    assert found.accuracy == found.other_accuracy
    assert found.accuracy_gain is not None
    assert (found.accuracy_gain.value, found.accuracy_gain.low, found.accuracy_gain.high) == (0, 0, 0)
    assert found.means[1] - found.means[0] == pytest.approx(7)
    for part in found.by_score:
        assert part.other == pytest.approx(part.score)
    for correlation in (found.difference_correlation, found.score_correlation):
        assert correlation is not None
        assert correlation.value == pytest.approx(1)


def test_with_its_opposite_it_never_agrees() -> None:
    found = concordance(scores(), -scores(), PROMPTS)
    assert found.agreement.value == 0
    assert found.difference_correlation is not None
    assert found.difference_correlation.value == pytest.approx(-1)
    assert found.accuracy.value == pytest.approx(1 - found.other_accuracy.value)


def test_strangers_agree_on_half_of_the_pairs() -> None:
    found = concordance(scores(seed=0), scores(seed=1), PROMPTS)
    assert found.agreement.low < 0.5 < found.agreement.high
    assert found.difference_correlation is not None
    assert found.difference_correlation.low < 0 < found.difference_correlation.high


def test_two_noisy_views_of_one_quality_agree_more_the_surer_the_first_is() -> None:
    quality = scores(3000)
    one, other = quality + scores(3000, 1), quality + scores(3000, 2)
    found = concordance(one, other, range(3000))
    assert [part.pairs for part in found.by_difference] == [600] * 5
    assert [part.difference for part in found.by_difference] == sorted(part.difference for part in found.by_difference)
    assert found.by_difference[-1].agreement.low > found.by_difference[0].agreement.high
    # What one model praises most, the other praises half as much: the noise was the first one's own.
    top = found.by_score[-1]
    assert top.other == pytest.approx(top.score / 2, rel=0.2)
    assert top.low is not None
    assert top.high is not None
    assert top.low < top.other < top.high < top.score


@settings(max_examples=100)
@given(st.lists(st.tuples(*[st.integers(-3, 3)] * 4, st.integers(0, 3)), min_size=1, max_size=30))
def test_it_counts_what_it_says(rows: list[tuple[int, int, int, int, int]]) -> None:
    table = np.array(rows, dtype=float)
    found = concordance(table[:, :2], table[:, 2:4], [row[4] for row in rows])
    deltas = [(row[0] - row[1], row[2] - row[3]) for row in rows]
    same = [0.5 if not one * other else float((one > 0) == (other > 0)) for one, other in deltas]
    assert found.agreement.value == pytest.approx(np.mean(same))
    assert sum(part.pairs for part in found.by_difference) == len(rows)
    assert sum(part.responses for part in found.by_score) == 2 * len(rows)
    mean = sum(part.agreement.value * part.pairs for part in found.by_difference) / len(rows)
    assert mean == pytest.approx(found.agreement.value)
    assert sum(part.score * part.responses for part in found.by_score) == pytest.approx(0, abs=1e-9)


def test_one_prompt_has_values_without_intervals() -> None:
    found = concordance([[1.0, 0], [2, 3]], [[0.0, 1], [0, 1]], ["p", "p"])
    assert (found.agreement.value, found.agreement.low, found.agreement.high) == (0.5, 0.0, 1.0)
    assert found.accuracy_gain is None
    assert {(part.low, part.high) for part in found.by_score} == {(None, None)}


def test_ties_count_half() -> None:
    assert same_preference([0.0, 0.0, 1.0, 2.0], [0.0, 1.0, 3.0, -1.0]).tolist() == [0.5, 0.5, 1.0, 0.0]


def test_other_pairs_and_lost_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="same pairs"):
        concordance(scores(3), scores(4), range(3))
    with pytest.raises(ValueError, match="not finite"):
        concordance([[1.0, np.nan]], [[1.0, 0.0]], ["p"])

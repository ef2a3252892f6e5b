"""Agreement between workers and the ceiling it puts on accuracy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.statistics.agreement import (
    Scale,
    accuracy_ceiling,
    accuracy_ceiling_bounds,
    krippendorff_alpha,
    raw_agreement,
)


def test_agreement_by_hand() -> None:
    """p: three workers, two alike (1 of 3 meetings); q: two alike; r: one worker only."""
    judged = raw_agreement(list("pppqqr"), list("uvwuvu"), list("aabbba"))
    assert (judged.value, judged.pairs) == (2 / 4, 2)
    assert 0 <= judged.low < 0.5 < judged.high <= 1


def test_a_worker_who_judges_twice_does_not_agree_with_themself() -> None:
    twice = raw_agreement(list("ppppqq"), list("uuuvuv"), list("babbab"))
    assert (twice.value, twice.pairs) == (0.5, 2)


def test_unshared_pairs_tell_nothing() -> None:
    with pytest.raises(ValueError, match="two pairs that two workers judged"):
        raw_agreement(list("pq"), list("uv"), list("ab"))


def test_the_ceiling_of_known_probabilities() -> None:
    assert accuracy_ceiling([1.0, 0.5, 0.2]) == pytest.approx((1 + 0.5 + 0.8) / 3)
    with pytest.raises(ValueError, match=r"probability in \[0, 1\]"):
        accuracy_ceiling([1.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_ceiling_lies_within_the_bounds_that_agreement_gives(probabilities: list[float]) -> None:
    p = np.array(probabilities)
    low, high = accuracy_ceiling_bounds(float((p**2 + (1 - p) ** 2).mean()))
    assert low - 1e-9 <= accuracy_ceiling(p) <= high + 1e-7


def test_the_bounds_are_reached() -> None:
    assert accuracy_ceiling_bounds(0.8**2 + 0.2**2)[1] == pytest.approx(0.8)
    assert accuracy_ceiling_bounds(0.75)[0] == accuracy_ceiling([1.0, 0.5])
    assert accuracy_ceiling_bounds(0.4) == (0.5, 0.5)
    with pytest.raises(ValueError, match="agreement must lie"):
        accuracy_ceiling_bounds(1.1)


def _published() -> tuple[list[int], list[str], list[int]]:
    """The data of Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: four observers."""
    table = {
        "A": [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        "B": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        "C": [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        "D": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    }
    found = [(unit, who, value) for who, row in table.items() for unit, value in enumerate(row) if value]
    units, workers, values = zip(*found, strict=True)
    return list(units), list(workers), list(values)


@pytest.mark.parametrize(("scale", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_that_of_the_published_example(scale: Scale, alpha: float) -> None:
    assert krippendorff_alpha(*_published(), scale) == pytest.approx(alpha, abs=5e-4)


def test_alpha_is_one_where_all_agree_and_refuses_what_tells_nothing() -> None:
    assert krippendorff_alpha([1, 1, 2, 2], ["x", "y", "x", "y"], [0, 0, 1, 1]) == 1
    with pytest.raises(ValueError, match="two different values"):
        krippendorff_alpha([1, 1, 2, 2], ["x", "y", "x", "y"], [1, 1, 1, 1])
    with pytest.raises(ValueError, match="two workers"):
        krippendorff_alpha([1, 2], ["x", "y"], [0, 1])

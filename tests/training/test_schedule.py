"""The learning rate over a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.training.schedule import Schedule, halved, rate_factor

SHAPES = st.sampled_from(["constant", "linear", "cosine"])


@given(SHAPES, st.integers(1, 60), st.integers(1, 20))
def test_it_rises_over_the_warm_up_and_never_again_but_stays_above_0(
    schedule: Schedule, steps: int, warmup: int
) -> None:
    factors = [rate_factor(step, steps, warmup, schedule) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    falling = factors[warmup - 1 :]
    assert falling == sorted(falling, reverse=True)
    assert factors[0] == pytest.approx(1 / warmup)


def test_half_way_down() -> None:
    assert [rate_factor(step, 8, 2, "linear") for step in (0, 1, 2, 6)] == [0.5, 0.875, 0.75, 0.25]
    assert rate_factor(4, 8, 2, "cosine") == pytest.approx(0.5)
    assert [rate_factor(step, 8, 4, "constant") for step in (0, 1, 3, 7)] == [0.25, 0.5, 1, 1]


def test_halved_after_each_so_many_responses() -> None:
    assert [halved(responses, 100) for responses in (0, 99, 100, 250)] == [1, 1, 0.5, 0.25]
    assert halved(10**9, None) == 1

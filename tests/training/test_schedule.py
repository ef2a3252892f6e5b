"""The learning rate over a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.training.schedule import Schedule, rate_factor

SHAPES = st.sampled_from(["constant", "linear", "cosine"])


@given(SHAPES, st.integers(1, 60), st.integers(1, 20))
def test_it_rises_to_1_and_never_again_but_stays_above_0(schedule: Schedule, steps: int, warmup: int) -> None:
    factors = [rate_factor(step, steps, warmup, schedule) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    rising, falling = factors[:warmup], factors[warmup:]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert len(falling) == 0 or falling[0] == 1


def test_half_way_down() -> None:
    assert [rate_factor(step, 8, 2, "linear") for step in (0, 1, 2, 5)] == [0.5, 1.0, 1.0, 0.5]
    assert rate_factor(5, 8, 2, "cosine") == pytest.approx(0.5)
    assert rate_factor(4, 8, 2, "cosine") == pytest.approx(0.75)
    assert rate_factor(7, 8, 2, "constant") == 1

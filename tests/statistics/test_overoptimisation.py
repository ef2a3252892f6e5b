"""The line through reward over √KL, and the step at which two preference models part."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tutelage.statistics.overoptimisation import fitted_line, parting


def gaps(steps: int, hinge: float, growth: float, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two rewards that rise together until the hinge."""
    rng = np.random.default_rng(seed)
    t = np.arange(steps)
    common = np.sqrt(t) + rng.normal(0, 1, steps)
    return common + growth * np.maximum(0, t - hinge) + rng.normal(0, noise, steps), common - 3


def test_the_line_is_that_of_scipy_and_what_is_not_finite_is_left_out() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 3, 40)
    y = 0.7 * x - 1 + rng.normal(0, 0.3, 40)
    line, known = fitted_line([*x, np.nan, 1.0], [*y, 1.0, np.inf]), stats.linregress(x, y)
    assert line is not None
    assert line.slope.value == pytest.approx(known.slope)
    assert line.intercept == pytest.approx(known.intercept)
    assert line.r_squared == pytest.approx(known.rvalue**2)
    assert line.slope.high - line.slope.value == pytest.approx(known.stderr * stats.t.ppf(0.975, 38))


def test_too_few_points_or_a_policy_that_never_moved_have_no_line() -> None:
    assert fitted_line([1, 2], [1, 2]) is None
    assert fitted_line([1, 1, 1], [1, 2, 3]) is None
    level = fitted_line([1, 2, 3], [5, 5, 5])
    assert level is not None
    assert level.r_squared == 0


@settings(max_examples=25, deadline=None)
@given(hinge=st.integers(0, 40), seed=st.integers(0, 1000))
def test_a_clear_hinge_is_found_where_it_is(hinge: int, seed: int) -> None:
    found = parting(*gaps(60, hinge, growth=0.3, noise=0.1, seed=seed))
    assert found is not None
    assert found.step.low <= found.step.value <= found.step.high
    assert abs(found.step.value - hinge) <= 4
    assert found.growth == pytest.approx(0.3, rel=0.2)


def test_the_interval_covers_the_hinge_about_as_often_as_it_says() -> None:
    found = [parting(*gaps(40, 18, growth=0.08, noise=0.3, seed=seed)) for seed in range(200)]
    shown = [one for one in found if one is not None]
    assert len(shown) > 195
    assert 0.9 <= np.mean([one.step.low <= 18 <= one.step.high for one in shown]) <= 0.99


def test_noise_alone_hardly_ever_looks_like_a_hinge() -> None:
    found = [parting(*gaps(40, 40, growth=0.0, noise=0.3, seed=seed)) for seed in range(200)]
    assert sum(one is not None for one in found) <= 18  # 10 are expected


def test_a_gap_that_closes_is_no_parting() -> None:
    assert parting(*gaps(40, 10, growth=-0.5, noise=0.1, seed=0)) is None


def test_a_gap_from_the_beginning_on_has_its_hinge_at_the_first_step() -> None:
    found = parting(*gaps(30, 0, growth=0.5, noise=0.05, seed=0))
    assert found is not None
    assert found.step.value == 0


def test_steps_that_lack_a_score_keep_their_numbers() -> None:
    reward, heldout = gaps(50, 25, growth=0.5, noise=0.05, seed=1)
    reward[:6] = np.nan
    found = parting(reward, heldout)
    assert found is not None
    assert abs(found.step.value - 25) <= 2


def test_nothing_is_said_of_a_few_steps_or_of_equal_rewards() -> None:
    assert parting(*gaps(7, 2, growth=1, noise=0.01, seed=0)) is None
    assert parting(np.arange(20.0), np.arange(20.0)) is None

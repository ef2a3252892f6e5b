"""Rewards and advantages of ragged responses, against the definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.training.advantages import (
    Floats,
    advantages_and_returns,
    explained_variance,
    group_relative,
    leave_one_out,
    token_rewards,
    whiten,
)
from tutelage.training.policy_settings import KLPlace

NUMBERS = st.floats(-5, 5)
EPISODES = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=12).map(np.array)
SHARES = st.floats(0, 1)


@settings(max_examples=100, deadline=None)
@given(EPISODES, SHARES, SHARES)
def test_advantages_are_the_discounted_sum_of_surprises(episode: Floats, gamma: float, lam: float) -> None:
    rewards, values = episode.T
    surprises = rewards + gamma * np.append(values[1:], 0.0) - values
    naive = [
        sum((gamma * lam) ** k * surprise for k, surprise in enumerate(surprises[t:])) for t in range(len(surprises))
    ]
    advantages, returns = advantages_and_returns(rewards, values, gamma, lam)
    np.testing.assert_allclose(advantages, naive, atol=1e-9)
    np.testing.assert_allclose(returns, advantages + values, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(EPISODES, SHARES)
def test_lambda_1_is_monte_carlo_and_lambda_0_is_one_step(episode: Floats, gamma: float) -> None:
    rewards, values = episode.T
    to_go = [sum(gamma**k * reward for k, reward in enumerate(rewards[t:])) for t in range(len(rewards))]
    np.testing.assert_allclose(advantages_and_returns(rewards, values, gamma, 1.0)[1], to_go, atol=1e-9)
    one_step = rewards + gamma * np.append(values[1:], 0.0)
    np.testing.assert_allclose(advantages_and_returns(rewards, values, gamma, 0.0)[1], one_step, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(NUMBERS, st.lists(NUMBERS, min_size=1, max_size=10).map(np.array), st.floats(0, 1))
def test_the_kl_is_charged_where_it_arises_or_at_the_end_and_the_sum_is_the_same(
    score: float, kl: Floats, weight: float
) -> None:
    token, sequence = (token_rewards(score, kl, weight, place) for place in ("token", "sequence"))  # type: ignore[arg-type]
    assert token.sum() == pytest.approx(score - weight * kl.sum(), abs=1e-9)
    assert sequence.sum() == pytest.approx(token.sum(), abs=1e-9)
    np.testing.assert_allclose(token[:-1], -weight * kl[:-1])
    np.testing.assert_array_equal(sequence[:-1], 0)


@pytest.mark.parametrize("place", ["token", "sequence"])
@pytest.mark.parametrize("tokens", [1, 4])
def test_the_score_sits_on_the_last_token(place: KLPlace, tokens: int) -> None:
    rewards = token_rewards(2.5, np.zeros(tokens), 0.1, place)
    assert rewards.tolist() == [0.0] * (tokens - 1) + [2.5]


def test_whitened_advantages_have_mean_0_and_variance_1_over_all_tokens() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(3, 2, size) for size in (1, 7, 30)]
    white = whiten(parts)
    flat = np.concatenate(white)
    assert [len(part) for part in white] == [1, 7, 30]
    assert (flat.mean(), flat.var()) == pytest.approx((0, 1), abs=1e-6)
    np.testing.assert_allclose(np.argsort(flat), np.argsort(np.concatenate(parts)))
    assert whiten([np.full(3, 2.0)])[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("values", "explained"), [([1, 2, 3, 6], 1.0), ([5, 5, 5, 5], 0.0), ([2, 3, 4, 7], 1.0), ([-1, -2, -3, -6], -3.0)]
)
def test_explained_variance(values: list[float], explained: float) -> None:
    assert explained_variance(np.array(values, float), np.array([1.0, 2, 3, 6])) == pytest.approx(explained)


def test_returns_that_do_not_vary_have_nothing_to_explain() -> None:
    assert explained_variance(np.array([1.0, 2.0]), np.array([3.0, 3.0])) == 0.0


GROUPS = st.lists(NUMBERS, min_size=2, max_size=8).map(np.array)


@settings(max_examples=50, deadline=None)
@given(GROUPS, NUMBERS)
def test_leave_one_out_holds_each_response_against_the_mean_of_the_others(rewards: Floats, shift: float) -> None:
    naive = [reward - np.delete(rewards, place).mean() for place, reward in enumerate(rewards)]
    np.testing.assert_allclose(leave_one_out(rewards), naive, atol=1e-9)
    np.testing.assert_allclose(leave_one_out(rewards + shift), naive, atol=1e-9)  # a prompt that is easy earns nothing


def test_group_relative_rewards_are_in_standard_deviations_or_not() -> None:
    rewards = np.array([1.0, 2.0, 3.0, 6.0])
    centred = rewards - 3.0
    np.testing.assert_allclose(group_relative(rewards, False), centred)
    np.testing.assert_allclose(group_relative(rewards, True), centred / np.sqrt((centred**2).sum() / 3), rtol=1e-6)
    assert np.abs(group_relative(np.full(3, 0.1), True)).max() < 1e-6  # rounding is not made into an opinion

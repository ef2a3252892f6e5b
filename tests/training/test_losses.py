"""Losses: known values, gradients by finite differences, sums that add up."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.training.losses import dpo_loss, kl_T, policy_loss, preference_loss, value_loss
from tutelage.training.policy_settings import KLEstimator

LOGPROBS = st.lists(st.tuples(*[st.floats(-4, 0)] * 2, st.floats(-3, 3)), min_size=1, max_size=12)


def test_equal_scores_cost_ln_2_a_pair() -> None:
    scores = torch.tensor([0.0, -3.0, 7.5])
    loss = preference_loss(scores, scores)
    assert loss.count == 3
    assert loss.total.item() == pytest.approx(3 * math.log(2), rel=1e-6)


def test_the_preference_loss_is_minus_the_log_chance_that_the_chosen_wins() -> None:
    chosen, rejected = torch.tensor([1.0, -2.0]), torch.tensor([0.0, 1.0])
    wins = 1 / (1 + np.exp(-np.array([1.0, -3.0])))
    assert preference_loss(chosen, rejected).total.item() == pytest.approx(-np.log(wins).sum(), rel=1e-6)
    assert math.isfinite(preference_loss(torch.tensor([-1e4]), torch.tensor([1e4])).total.item())


def test_soft_labels_are_the_cross_entropy_and_weights_count_pairs_so_often() -> None:
    chosen, rejected = torch.tensor([1.0, -2.0]), torch.tensor([0.0, 1.0])
    labels, weights = torch.tensor([0.9, 0.6]), torch.tensor([1.0, 3.0])
    wins = 1 / (1 + np.exp(-np.array([1.0, -3.0])))
    entropy = -(labels.numpy() * np.log(wins) + (1 - labels.numpy()) * np.log(1 - wins))
    loss = preference_loss(chosen, rejected, labels, weights)
    assert loss.total.item() == pytest.approx(entropy[0] + 3 * entropy[1], rel=1e-6)
    assert loss.count == 4
    certain = preference_loss(chosen, rejected, torch.ones(2), torch.ones(2))
    assert certain.total.item() == pytest.approx(preference_loss(chosen, rejected).total.item(), rel=1e-6)


def test_a_soft_label_is_met_where_the_scores_say_its_chance() -> None:
    difference = torch.tensor([math.log(0.8 / 0.2)], requires_grad=True)
    preference_loss(difference, torch.zeros(1), torch.tensor([0.8])).total.backward()
    assert difference.grad is not None
    assert difference.grad.item() == pytest.approx(0, abs=1e-6)


def test_dpo_is_the_preference_loss_of_the_implicit_reward() -> None:
    chosen, rejected, reference = torch.tensor([-5.0]), torch.tensor([-9.0]), torch.tensor([-6.0])
    assert dpo_loss(reference, rejected, reference, rejected, 0.1).total.item() == pytest.approx(math.log(2))
    loss = dpo_loss(chosen, rejected, reference, reference, beta=0.5).total.item()
    assert loss == pytest.approx(math.log(1 + math.exp(-0.5 * (1 - -3))))


@settings(max_examples=60, deadline=None)
@given(LOGPROBS)
def test_the_policy_loss_is_ppos_clipped_objective(tokens: list[tuple[float, float, float]]) -> None:
    total, clipped = 0.0, 0
    for new, old, advantage in tokens:
        ratio = math.exp(new - old)
        bounded = min(max(ratio, 0.8), 1.2)
        total -= min(ratio * advantage, bounded * advantage)
        clipped += bounded * advantage < ratio * advantage
    new, old, advantages = torch.tensor(tokens, dtype=torch.float64).T
    loss = policy_loss(new, old, advantages, clip=0.2)
    assert loss.total.item() == pytest.approx(total, rel=1e-9, abs=1e-9)
    assert (loss.count, loss.clipped) == (len(tokens), clipped)


def test_the_policy_losss_gradient_is_its_slope() -> None:
    # Ratios of 0.61, 1, 1.1 and 1.65 with either sign: inside the bounds, and beyond them on either side.
    new = torch.tensor([-0.5, 0.0, 0.1, 0.5] * 2, dtype=torch.float64, requires_grad=True)
    old, advantages = torch.zeros(8).double(), torch.tensor([1.0] * 4 + [-2.0] * 4).double()
    policy_loss(new, old, advantages, clip=0.2).total.backward()
    assert new.grad is not None
    for index in range(8):
        step = torch.zeros(8).double()
        step[index] = 1e-6
        up, down = (policy_loss(new.detach() + sign * step, old, advantages, 0.2).total for sign in (1, -1))
        assert new.grad[index].item() == pytest.approx((up - down).item() / 2e-6, abs=1e-6)
    assert (new.grad == 0).tolist() == [False, False, False, True, True, False, False, False]


def test_sums_of_parts_are_the_sum_of_the_whole() -> None:
    new, old, advantages = torch.randn(3, 10, generator=torch.Generator().manual_seed(0)).double()
    whole = policy_loss(new, old, advantages, 0.2)
    parts = [policy_loss(new[cut], old[cut], advantages[cut], 0.2) for cut in (slice(0, 3), slice(3, 10))]
    torch.testing.assert_close(whole.total, parts[0].total + parts[1].total)
    assert (whole.count, whole.clipped) == (10, parts[0].clipped + parts[1].clipped)


@pytest.mark.parametrize(("estimator", "tolerance"), [("k1", 0.02), ("k3", 0.01)])
def test_the_unbiased_kl_estimators_average_to_the_kl(estimator: KLEstimator, tolerance: float) -> None:
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.full(6, 3.0), 2)
    drawn = rng.choice(6, 200_000, p=p)
    estimates = kl_T(torch.from_numpy(np.log(p[drawn])), torch.from_numpy(np.log(q[drawn])), estimator)
    assert float(estimates.mean()) == pytest.approx((p * np.log(p / q)).sum(), rel=tolerance)


@settings(max_examples=60, deadline=None)
@given(st.floats(-3, 0), st.floats(-3, 0))
def test_the_kl_estimators_are_what_they_are_called(new: float, old: float) -> None:
    pair = torch.tensor([new], dtype=torch.float64), torch.tensor([old], dtype=torch.float64)
    k1, k2, k3 = (float(kl_T(*pair, estimator)) for estimator in ("k1", "k2", "k3"))  # type: ignore[arg-type]
    assert k1 == pytest.approx(new - old)
    assert k2 == pytest.approx((new - old) ** 2 / 2)
    assert k3 == pytest.approx(math.exp(old - new) - 1 - (old - new), abs=1e-9)
    assert min(k2, k3) >= 0


@pytest.mark.parametrize("estimator", ["k2", "k3"])
def test_the_kl_losss_gradient_is_its_slope(estimator: KLEstimator) -> None:
    new = torch.tensor([-0.5, 0.0, 0.7], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([-0.2, 0.0, 0.1], dtype=torch.float64)
    kl_T(new, reference, estimator).sum().backward()
    up, down = (kl_T(new.detach() + sign * 1e-6, reference, estimator) for sign in (1, -1))
    assert new.grad is not None
    torch.testing.assert_close(new.grad, (up - down) / 2e-6, atol=1e-6, rtol=1e-6)
    assert new.grad[1] == 0  # where the policy is the reference nothing pulls


def test_the_value_loss_takes_the_worse_of_the_value_and_the_value_that_was_held_back() -> None:
    values, old = torch.tensor([2.0, 2.0, 0.1]), torch.tensor([0.0, 0.0, 0.0])
    returns = torch.tensor([2.0, 0.0, 1.0])
    free = value_loss(values, old, returns, None)
    assert (free.total.item(), free.count) == (pytest.approx((0 + 4 + 0.81) / 2), 3)
    held = value_loss(values, old, returns, 0.2)  # moved values count as 0.2, 0.2, 0.1
    assert held.total.item() == pytest.approx((1.8**2 + 4 + 0.81) / 2)


def test_a_value_that_moved_too_far_the_right_way_is_not_pushed_on() -> None:
    values = torch.tensor([0.5], requires_grad=True)
    value_loss(values, torch.zeros(1), torch.tensor([1.0]), 0.2).total.backward()
    assert values.grad is not None
    assert values.grad.item() == 0

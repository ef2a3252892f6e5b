"""From scores to advantages, on ragged per-sample arrays: no padding can leak in."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tutelage.training.policy_settings import KLPlace

Floats = NDArray[np.float64]


def token_rewards(score: float, kl_t: Floats, kl_weight: float, kl_place: KLPlace) -> Floats:
    """Rewards of one response: the score on its last token, less λ·KL (Bai et al. 2022, eq. 4.1).

    The KL is charged where it arises (`token`) or all on the last token (`sequence`); the sum is the same.
    """
    charged = kl_t if kl_place == "token" else np.append(np.zeros(len(kl_t) - 1), kl_t.sum())
    rewards: Floats = -kl_weight * charged
    rewards[-1] += score
    return rewards


def advantages_and_returns(rewards_t: Floats, values_t: Floats, gamma: float, lam: float) -> tuple[Floats, Floats]:
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16) and the returns advantage + value.

    The response is the whole episode: nothing follows its last token, whether it ended or was cut off.
    """
    advantages = np.empty_like(rewards_t)
    ahead, next_value = 0.0, 0.0
    for t in reversed(range(len(rewards_t))):
        delta = rewards_t[t] + gamma * next_value - values_t[t]
        advantages[t] = ahead = delta + gamma * lam * ahead
        next_value = values_t[t]
    return advantages, advantages + values_t


def leave_one_out(rewards_N: Floats) -> Floats:
    """Rewards of a prompt's N responses, each above the mean of the others (RLOO; Ahmadian et al. 2024, eq. 6)."""
    n = len(rewards_N)
    advantages: Floats = (n * rewards_N - rewards_N.sum()) / (n - 1)
    return advantages


def group_relative(rewards_N: Floats, divide_by_spread: bool) -> Floats:
    """Rewards of a prompt's N responses above their mean, in their standard deviations (GRPO; Shao et al. 2024, eq. 3)
    or not (Liu et al. 2025). Where all are alike there is nothing to learn: 0."""
    advantages: Floats = rewards_N - rewards_N.mean()
    return advantages / (rewards_N.std(ddof=1) + 1e-8) if divide_by_spread else advantages


def whiten(parts: Sequence[Floats]) -> list[Floats]:
    """Advantages of a batch shifted to mean 0 and scaled to variance 1 over its tokens."""
    flat = np.concatenate(parts)
    return [(part - flat.mean()) / (flat.std() + 1e-8) for part in parts]


def explained_variance(values: Floats, returns: Floats) -> float:
    """1 - Var(returns - values) / Var(returns): 1 a perfect critic, 0 a constant one, below 0 worse than a constant."""
    spread = float(returns.var())
    return 1 - float((returns - values).var()) / spread if spread > 0 else 0.0

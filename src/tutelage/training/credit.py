"""How much of a batch's reward each token is given credit for: by a critic (PPO), or against the prompt's other
responses (RLOO, GRPO)."""

from collections.abc import Sequence

import numpy as np

from tutelage.training.advantages import (
    Floats,
    advantages_and_returns,
    explained_variance,
    group_relative,
    leave_one_out,
    token_rewards,
    whiten,
)
from tutelage.training.checkpoint import Metrics
from tutelage.training.critic import Critic
from tutelage.training.policy_settings import GRPOSettings, PPOSettings, RLOOSettings
from tutelage.training.prompt_order import StepPlan
from tutelage.training.rollouts import RolloutBatch
from tutelage.training.update import by_prompt


def critic_advantages(
    batch: RolloutBatch,
    scores: Sequence[float],
    critic: Critic,
    plan: StepPlan,
    settings: PPOSettings,
    kl_weight: float,
    rate: float,
) -> tuple[list[Floats], Metrics]:
    """Advantages of each response's tokens, by a critic that then learns from the returns."""
    rewards = [
        token_rewards(score, rollout.kl_t(settings.kl_estimator), kl_weight, settings.kl_place)
        for score, rollout in zip(scores, batch.flat, strict=True)
    ]
    rewards_by_prompt = by_prompt(batch, rewards)

    def returns_of(place: int, values: list[Floats]) -> list[Floats]:
        episodes = zip(rewards_by_prompt[place], values, strict=True)
        return [advantages_and_returns(*episode, settings.gamma, settings.gae_lambda)[1] for episode in episodes]

    values, learnt = critic.learn(batch, returns_of, plan, rate)
    episodes = list(zip(rewards, values, strict=True))
    advantages = [advantages_and_returns(*episode, settings.gamma, settings.gae_lambda)[0] for episode in episodes]
    to_go = [advantages_and_returns(*episode, settings.gamma, lam=1.0)[1] for episode in episodes]
    fit = {"explained_variance": explained_variance(np.concatenate(values), np.concatenate(to_go)), **learnt}
    return whiten(advantages) if settings.whiten else advantages, fit


def group_advantages(
    batch: RolloutBatch, scores: Sequence[float], settings: RLOOSettings | GRPOSettings, kl_weight: float
) -> list[Floats]:
    """One number a response, at each of its tokens. RLOO charges the response's KL here, GRPO in the loss."""
    advantages, left = [], iter(scores)
    for row in batch.rollouts:
        rewards_N = np.array([next(left) for _ in row])
        if isinstance(settings, GRPOSettings):
            relative_N = group_relative(rewards_N, settings.divide_by_spread)
        else:
            kl_N = np.array([rollout.kl_t(settings.kl_estimator).sum() for rollout in row])
            relative_N = leave_one_out(rewards_N - kl_weight * kl_N)
        advantages += [np.full(len(r.sample.ids), value) for r, value in zip(row, relative_N, strict=True)]
    return advantages

"""The update of a policy by a batch of rollouts: the clipped objective, in passes, minibatches and micro-batches."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch

from tutelage.modeling.rows import Rows
from tutelage.modeling.trunk import Trunk
from tutelage.training.advantages import Floats
from tutelage.training.checkpoint import Metrics
from tutelage.training.losses import kl_T, policy_loss
from tutelage.training.optimizer import MasterAdamW
from tutelage.training.policy_settings import PolicySettings
from tutelage.training.prompt_order import StepPlan
from tutelage.training.rollouts import RolloutBatch

ByPrompt = list[list[Floats]]


def update_policy(
    trunk: Trunk,
    policy: str,
    batch: RolloutBatch,
    advantages: ByPrompt,
    optimizer: MasterAdamW,
    plan: StepPlan,
    settings: PolicySettings,
    temperature: float,
    rate: float,
    loss_kl_weight: float,
) -> Metrics:
    """`epochs` passes over the batch, each in `minibatches` optimizer steps; returns means over all tokens passed.

    `loss_kl_weight`: λ of a KL penalty in the loss (GRPO), 0 where it is in the rewards.
    """
    old, reference = _logprobs(batch)
    clipped, tokens, entropy, norms = 0, 0, 0.0, []
    with trunk.using(policy, trained=True):
        for part in plan.minibatches:
            in_part = 0
            for rows, places in micro_batches(trunk, batch, part, settings.token_budget):
                logprobs_T, entropy_T = trunk.logprobs_T(
                    trunk.hidden_RLD(rows), rows, temperature, entropy_learns=settings.entropy_bonus > 0
                )
                old_T, reference_T, advantages_T = (
                    joined(parts, places, trunk.device) for parts in (old, reference, advantages)
                )
                loss = policy_loss(logprobs_T, old_T, advantages_T, settings.clip)
                total = loss.total
                if loss_kl_weight:
                    total = total + loss_kl_weight * kl_T(logprobs_T, reference_T, settings.kl_estimator).sum()
                if settings.entropy_bonus:
                    total = total - settings.entropy_bonus * entropy_T.sum()
                optimizer.accumulate(total)
                in_part, clipped = in_part + loss.count, clipped + loss.clipped
                entropy += float(entropy_T.detach().sum())
            if in_part:
                norms.append(optimizer.step(in_part, rate))
            tokens += in_part
    return {"entropy": entropy / tokens, "clip_fraction": clipped / tokens, "gradient_norm": float(np.mean(norms))}


def micro_batches(
    trunk: Trunk, batch: RolloutBatch, part: Iterable[int], token_budget: int
) -> Iterator[tuple[Rows, list[int]]]:
    """The prompts of a minibatch that have responses, as rows of at most `token_budget` tokens, with their places."""
    kept = [int(place) for place in part if batch.rollouts[place]]
    groups = [batch.group(place) for place in kept]
    for chosen in trunk.batches([group.length for group in groups], token_budget):
        yield trunk.lay([groups[index] for index in chosen]), [kept[index] for index in chosen]


def by_prompt(batch: RolloutBatch, parts: Sequence[Floats]) -> ByPrompt:
    """What there is for each response of a batch, by prompt."""
    left = iter(parts)
    return [[next(left) for _ in row] for row in batch.rollouts]


def joined(parts: ByPrompt, places: Sequence[int], device: torch.device) -> torch.Tensor:
    """The tokens of the prompts at these places, one after the other."""
    return torch.from_numpy(np.concatenate([array for place in places for array in parts[place]])).float().to(device)


def _logprobs(batch: RolloutBatch) -> tuple[ByPrompt, ByPrompt]:
    """Of each token when it was drawn, and by the reference."""
    old = [[rollout.old_logprobs for rollout in row] for row in batch.rollouts]
    return old, [[rollout.reference_logprobs for rollout in row] for row in batch.rollouts]

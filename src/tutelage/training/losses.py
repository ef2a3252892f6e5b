"""Losses as pure functions. Each returns sums and counts; the step divides once, so that micro-batches change nothing.

P pairs, T response tokens.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tutelage.training.policy_settings import KLEstimator


@dataclass(frozen=True)
class Sum:
    """A loss summed over items of `count` weight in all."""

    total: Tensor
    count: float


def preference_loss(
    chosen_P: Tensor, rejected_P: Tensor, label_P: Tensor | None = None, weight_P: Tensor | None = None
) -> Sum:
    """log(1 + exp(r_rejected - r_chosen)) (Askell et al. 2021, eq. 3.1); ln 2 a pair when the scores are equal.

    `label_P`: the chance that the chosen response is the better one, where it is not taken for certain; the loss is
    then the cross-entropy to it. `weight_P`: what each pair counts; 1 where None.
    """
    difference_P = rejected_P - chosen_P
    loss_P = F.softplus(difference_P)
    if label_P is not None:
        loss_P = loss_P - (1 - label_P) * difference_P
    if weight_P is None:
        return Sum(loss_P.sum(), len(chosen_P))
    return Sum((weight_P * loss_P).sum(), float(weight_P.sum()))


def dpo_loss(
    chosen_P: Tensor, rejected_P: Tensor, reference_chosen_P: Tensor, reference_rejected_P: Tensor, beta: float
) -> Sum:
    """Direct preference optimisation (Rafailov et al. 2023, eq. 7), from log-probs of whole responses.

    It is the preference loss of the implicit reward β · log(π / π_ref).
    """
    return preference_loss(beta * (chosen_P - reference_chosen_P), beta * (rejected_P - reference_rejected_P))


@dataclass(frozen=True)
class PolicyLoss:
    """The clipped objective summed over tokens, and how many tokens' ratios were cut off."""

    total: Tensor
    count: int
    clipped: int


def policy_loss(logprobs_T: Tensor, old_logprobs_T: Tensor, advantages_T: Tensor, clip: float) -> PolicyLoss:
    """PPO's clipped surrogate (Schulman et al. 2017, eq. 7), negated: a loss."""
    ratio_T = (logprobs_T - old_logprobs_T).exp()
    plain_T = ratio_T * advantages_T
    clipped_T = ratio_T.clamp(1 - clip, 1 + clip) * advantages_T
    cut_off = int((clipped_T < plain_T).sum())
    return PolicyLoss(-torch.minimum(plain_T, clipped_T).sum(), len(logprobs_T), cut_off)


def value_loss(values_T: Tensor, old_values_T: Tensor, returns_T: Tensor, clip: float | None) -> Sum:
    """Half the squared error of the critic's values. With `clip` the larger of that and the error of a value that moved
    at most so far from the old one (Huang et al. 2024, detail 12)."""
    error_T = (values_T - returns_T).square()
    if clip is not None:
        bounded_T = old_values_T + (values_T - old_values_T).clamp(-clip, clip)
        error_T = torch.maximum(error_T, (bounded_T - returns_T).square())
    return Sum(error_T.sum() / 2, len(values_T))


def kl_T(logprobs_T: Tensor, reference_logprobs_T: Tensor, estimator: KLEstimator = "k1") -> Tensor:
    """KL(policy || reference) at each sampled token, nats (Schulman 2020, "Approximating KL divergence").

    The one such function: what is charged in the reward or the loss is what is logged. `k1` log π/π0, right on average
    and negative at times; `k2` its square by two, biased, never negative; `k3` π0/π - 1 - log π0/π, right on average
    and never negative.
    """
    difference_T = logprobs_T - reference_logprobs_T
    if estimator == "k1":
        return difference_T
    if estimator == "k2":
        return difference_T.square() / 2
    return torch.expm1(-difference_T) + difference_T

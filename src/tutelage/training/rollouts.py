"""What PPO learns from: sampled responses with scores, log-probs under the policy and the reference, and features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tutelage.dialogue import SamplingParameters
from tutelage.modeling.heads import ScoreHead
from tutelage.modeling.passes import branch_logprobs, score_branches, score_with_features
from tutelage.modeling.rows import Group
from tutelage.modeling.trunk import Trunk
from tutelage.sampling.sampler import Sample, sample
from tutelage.training.advantages import Floats
from tutelage.training.losses import kl_T


@dataclass(frozen=True)
class PreferenceModel:
    """A preference model on a trunk: its adapter's name and its head."""

    adapter: str
    head: ScoreHead


@dataclass(frozen=True)
class Rollout:
    """One response. Arrays have one entry a token, features one row a token."""

    sample: Sample
    score: float
    heldout_score: float
    old_logprobs: Floats
    reference_logprobs: Floats
    features: Floats

    @property
    def kl_t(self) -> Floats:
        """KL to the reference at each token; what is charged in the reward is what is logged."""
        return kl_T(self.old_logprobs, self.reference_logprobs)


@dataclass(frozen=True)
class RolloutBatch:
    """The rollouts of one step, by prompt."""

    groups: list[Group]
    rollouts: list[list[Rollout]]

    @property
    def flat(self) -> list[Rollout]:
        return [rollout for row in self.rollouts for rollout in row]


def roll_out(
    trunk: Trunk,
    policy: str,
    prompts: Sequence[tuple[int, ...]],
    n: int,
    parameters: SamplingParameters,
    seed: int,
    train_pm: PreferenceModel,
    heldout: PreferenceModel,
) -> RolloutBatch:
    """`n` responses of the policy to each prompt, scored. The log-probs are those the sampler drew with."""
    with trunk.using(policy):
        samples = sample(trunk, prompts, n, parameters, seed)
    groups = [Group(prompt, tuple(draw.ids for draw in row)) for prompt, row in zip(prompts, samples, strict=True)]
    scores, features = score_with_features(trunk, train_pm.adapter, train_pm.head, groups)
    heldout_scores = score_branches(trunk, heldout.adapter, heldout.head, groups)
    reference = branch_logprobs(trunk, None, groups, parameters.temperature)
    rollouts = [
        [Rollout(s, r, h, np.array(s.logprobs), p, f) for s, r, h, p, f in zip(*row, strict=True)]
        for row in zip(samples, scores, heldout_scores, reference, features, strict=True)
    ]
    return RolloutBatch(groups, rollouts)

"""PPO: the policy learns to write what the preference model scores highly, held near where it began by a KL penalty.

Reads beside section 4.1 of Bai et al. 2022:  r_total = r_PM - λ_KL · KL(π ‖ π0), γ = 1, clip 0.2, no entropy bonus.
Left out here: adaptive λ_KL, value clipping, a critic with a trunk of its own, reward scaling.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tutelage.dialogue import SamplingParameters
from tutelage.modeling.passes import branch_logprobs
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed, InputError, require_positive
from tutelage.training.advantages import (
    Floats,
    KLPlace,
    advantages_and_returns,
    explained_variance,
    token_rewards,
    whiten,
)
from tutelage.training.critic import RidgeCritic
from tutelage.training.losses import policy_loss
from tutelage.training.optimizer import MasterAdamW
from tutelage.training.rollouts import PreferenceModel, Rollout, RolloutBatch, roll_out

Metrics = dict[str, Any]


@dataclass(frozen=True)
class PPOSettings:
    """How the policy is trained. The defaults are the paper's, or those of later work where it is silent."""

    steps: int = 200
    """batches of rollouts"""
    prompts_per_step: int = 64
    """prompts a batch"""
    samples_per_prompt: int = 4
    """responses to each prompt of a batch; they share its row"""
    red_team_share: float = 0.33
    """share of red-team prompts in a batch; the paper gives helpful prompts the larger share"""
    learning_rate: float = 1e-5
    """of the LoRA adapter"""
    warmup: int = 3
    """steps over which the learning rate rises"""
    rank: int = 16
    """rank of the LoRA adapter"""
    kl_weight: float = 0.02
    """λ_KL; the paper's 0.001 trusts its 52B preference model, a small one is outwitted sooner"""
    kl_place: KLPlace = "token"
    """`token`: the penalty is charged at the token that causes it; `sequence`: all on the last one"""
    clip: float = 0.2
    """ε of the clipped ratio"""
    epochs: int = 1
    """passes over each batch of rollouts (K in the paper)"""
    minibatches: int = 1
    """optimizer steps a pass"""
    gamma: float = 1.0
    """discount"""
    gae_lambda: float = 0.95
    """λ of generalised advantage estimation"""
    critic_strength: float = 1.0
    """how strongly the value head is drawn to the preference model's, in steps' worth of evidence"""
    clip_norm: float = 1.0
    """largest norm of a step's gradient"""
    token_budget: int = 2048
    """tokens that pass the trunk at once"""
    max_mismatch: float = 0.1
    """largest mean gap a token between the sampler's and the trainer's log-probs, nats, at step 0"""

    def __post_init__(self) -> None:
        if not 1 <= self.minibatches <= self.prompts_per_step:
            raise ValueError(f"minibatches must lie between 1 and prompts_per_step, not {self.minibatches}")
        if not 0 <= self.red_team_share <= 1:
            raise ValueError(f"red_team_share must lie between 0 and 1, not {self.red_team_share}")
        require_positive(
            self, "steps", "prompts_per_step", "samples_per_prompt", "learning_rate", "warmup", "rank", "clip",
            "epochs", "critic_strength", "clip_norm", "token_budget",
        )  # fmt: skip
        if self.kl_weight < 0:
            raise ValueError(f"kl_weight must be at least 0, not {self.kl_weight}")
        for name in ("gamma", "gae_lambda"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {getattr(self, name)}")


def train_ppo(
    trunk: Trunk,
    policy: str,
    prompts: Sequence[Sequence[tuple[int, ...]]],
    train_pm: PreferenceModel,
    heldout: PreferenceModel,
    parameters: SamplingParameters,
    settings: PPOSettings,
    seed: int,
    on_step: Callable[[Metrics], None] = lambda metrics: None,
) -> list[Metrics]:
    """Train a fresh adapter `policy` from the initial policy (the bare trunk), one batch of rollouts a step.

    `prompts` are (helpful, red-team) prompt ids. `train_pm` gives the reward; `heldout` is only watched.

    Raises:
        InputError: no prompts of a kind that is wanted, or `top_p` below 1.
        CheckFailed: the untrained policy is not the reference, sampler and trainer disagree, or the gradient is not a
            number.
    """
    if parameters.top_p < 1:
        raise InputError(f"PPO needs top_p = 1, not {parameters.top_p}: what is cut off has no log-prob to learn from")
    trunk.add_adapter(policy, settings.rank, seed)
    critic = RidgeCritic(train_pm.head, settings.critic_strength)
    optimizer = MasterAdamW(
        (trunk.adapter_parameters(policy).values(), settings.learning_rate), clip_norm=settings.clip_norm
    )
    rng = np.random.default_rng(seed)
    queues = [_cycle(part, rng) for part in prompts]
    metrics: list[Metrics] = []
    for step in range(settings.steps):
        started = time.perf_counter()
        batch = roll_out(
            trunk, policy, _next_prompts(queues, settings, step), settings.samples_per_prompt, parameters,
            seed * 1_000_003 + step, train_pm, heldout,
        )  # fmt: skip
        checked = check_first_step(trunk, policy, batch, parameters, settings) if step == 0 else {}
        sampled = time.perf_counter()
        advantages, fit = _advantages(batch, critic, settings)
        rate = min(1.0, (step + 1) / settings.warmup)
        update = _update(trunk, policy, batch, advantages, optimizer, parameters, settings, rate, rng)
        seconds = {"seconds": time.perf_counter() - started, "rollout_seconds": sampled - started}
        metrics.append({"step": step, **describe(batch.flat), **fit, **update, **checked, **seconds})
        on_step(metrics[-1])
    return metrics


def _cycle(prompts: Sequence[tuple[int, ...]], rng: np.random.Generator) -> Iterator[tuple[int, ...]]:
    """Prompts without end, in a new order each time round."""
    if not prompts:
        raise InputError("no prompts of a kind that PPO is to mix in; give some, or set red_team_share to 0 or 1")
    while True:
        for index in rng.permutation(len(prompts)):
            yield prompts[index]


def _next_prompts(
    queues: Sequence[Iterator[tuple[int, ...]]], settings: PPOSettings, step: int
) -> list[tuple[int, ...]]:
    """The step's prompts. Shares that are no whole number of prompts even out over the steps."""
    share, count = settings.red_team_share, settings.prompts_per_step
    red_team = int((step + 1) * count * share) - int(step * count * share)
    return [next(queues[1]) if number < red_team else next(queues[0]) for number in range(count)]


def check_first_step(
    trunk: Trunk, policy: str, batch: RolloutBatch, parameters: SamplingParameters, settings: PPOSettings
) -> Metrics:
    """Before the first update: KL(policy ‖ reference) = 0 and ratio = 1 exactly by the trainer's own log-probs, and
    the sampler's log-probs within their bound of the trainer's."""
    own = branch_logprobs(trunk, policy, batch.groups, parameters.temperature)
    gaps = []
    for rollouts, row in zip(batch.rollouts, own, strict=True):
        for rollout, logprobs in zip(rollouts, row, strict=True):
            if not np.array_equal(logprobs, rollout.reference_logprobs):
                raise CheckFailed("before the first update the policy is not the reference: KL is not 0 exactly")
            gaps.append(np.abs(rollout.old_logprobs - logprobs))
    gap = np.concatenate(gaps)
    if not gap.mean() <= settings.max_mismatch:
        raise CheckFailed(
            f"sampler and trainer differ by {gap.mean():.3f} nats a token on average (bound {settings.max_mismatch})"
        )
    return {f"mismatch_p{q}": float(np.quantile(gap, q / 100)) for q in (50, 90, 99)}


def _advantages(batch: RolloutBatch, critic: RidgeCritic, settings: PPOSettings) -> tuple[list[list[Floats]], Metrics]:
    """Whitened advantages by prompt and response; then the critic learns from the returns it was tried on."""
    flat, features = batch.flat, np.concatenate([rollout.features for rollout in batch.flat])
    values = [critic.values(rollout.features) for rollout in flat]
    rewards = [token_rewards(r.score, r.kl_t, settings.kl_weight, settings.kl_place) for r in flat]
    episodes = list(zip(rewards, values, strict=True))
    both = [advantages_and_returns(*episode, settings.gamma, settings.gae_lambda) for episode in episodes]
    to_go = [advantages_and_returns(*episode, settings.gamma, lam=1.0)[1] for episode in episodes]
    fit = {"explained_variance": explained_variance(np.concatenate(values), np.concatenate(to_go))}
    critic.learn(features, np.concatenate([returns for _, returns in both]))
    white = iter(whiten([part for part, _ in both]))
    return [[next(white) for _ in row] for row in batch.rollouts], fit


def _update(
    trunk: Trunk,
    policy: str,
    batch: RolloutBatch,
    advantages: list[list[Floats]],
    optimizer: MasterAdamW,
    parameters: SamplingParameters,
    settings: PPOSettings,
    rate: float,
    rng: np.random.Generator,
) -> Metrics:
    """`epochs` passes over the batch, each in `minibatches` optimizer steps; returns means over all tokens passed."""
    clipped, tokens, entropy, norms = 0, 0, 0.0, []
    with trunk.using(policy, trained=True):
        for _ in range(settings.epochs):
            for part in np.array_split(rng.permutation(len(batch.groups)), settings.minibatches):
                in_part = 0
                for places in trunk.batches([batch.groups[i].length for i in part], settings.token_budget):
                    chosen = [int(part[place]) for place in places]
                    rows = trunk.lay([batch.groups[i] for i in chosen])
                    logprobs_T, entropy_T = trunk.logprobs_T(trunk.hidden_RLD(rows), rows, parameters.temperature)
                    old_T = _joined([[r.old_logprobs for r in batch.rollouts[i]] for i in chosen])
                    advantages_T = _joined([advantages[i] for i in chosen])
                    loss = policy_loss(logprobs_T, old_T.to(trunk.device), advantages_T.to(trunk.device), settings.clip)
                    optimizer.accumulate(loss.total)
                    in_part, clipped = in_part + loss.count, clipped + loss.clipped
                    entropy += float(entropy_T.sum())
                norms.append(optimizer.step(in_part, rate))
                tokens += in_part
    return {"entropy": entropy / tokens, "clip_fraction": clipped / tokens, "gradient_norm": float(np.mean(norms))}


def _joined(parts: Sequence[Sequence[Floats]]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([array for row in parts for array in row])).float()


def describe(rollouts: Sequence[Rollout]) -> Metrics:
    """What is watched at every step: means over responses; KL in nats a response."""
    kl = float(np.mean([rollout.kl_t.sum() for rollout in rollouts]))
    return {
        "reward": float(np.mean([r.score for r in rollouts])),
        "heldout_reward": float(np.mean([r.heldout_score for r in rollouts])),
        "kl": kl,
        "sqrt_kl": float(np.sqrt(max(kl, 0.0))),
        "length": float(np.mean([len(r.sample.ids) for r in rollouts])),
        "truncated": float(np.mean([r.sample.finish == "length" for r in rollouts])),
    }

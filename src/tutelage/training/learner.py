"""All that a step of training on rewards changes, and how: what a checkpoint must hold."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from tutelage.dialogue import SamplingParameters
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed, InputError
from tutelage.plumbing.machine import give_back_freed_memory
from tutelage.training.adapter_critic import AdapterCritic
from tutelage.training.advantages import Floats
from tutelage.training.checkpoint import Metrics
from tutelage.training.credit import critic_advantages, group_advantages
from tutelage.training.critic import Critic, HeadCritic
from tutelage.training.optimizer import MasterAdamW
from tutelage.training.policy_settings import GRPOSettings, PolicySettings, PPOSettings, RLOOSettings
from tutelage.training.prompt_order import StepPlan
from tutelage.training.reference import ADAPTER as REFERENCE
from tutelage.training.reference import MovingReference
from tutelage.training.rewards import Spread, plain_score, scaled, steered
from tutelage.training.rollouts import Models, PreferenceModel, RolloutBatch, roll_out
from tutelage.training.schedule import halved, rate_factor
from tutelage.training.update import by_prompt, update_policy

CRITIC_SEED = 1  # beside the policy's: two fresh adapters are not to begin alike
SEEDS = 1_000_003  # sampling seeds of one training's steps lie so far from those of the next seed's


class Learner:
    """The policy with its optimizer, the critic, the reference if it moves, λ_KL, the spread of scores so far, and
    where there is a KL limit the last policy that was within it."""

    def __init__(
        self,
        trunk: Trunk,
        policy: str,
        initial: str | None,
        train_pm: PreferenceModel,
        heldout: PreferenceModel | None,
        parameters: SamplingParameters,
        settings: PolicySettings,
        seed: int,
    ) -> None:
        self._trunk, self._parameters, self._settings, self._seed = trunk, parameters, settings, seed
        _begin(trunk, policy, initial, settings, seed)
        self._optimizer = MasterAdamW(
            (trunk.adapter_parameters(policy).values(), settings.learning_rate), clip_norm=settings.clip_norm
        )
        decay = settings.reference_decay
        self._reference = None if decay is None else MovingReference(trunk, policy, decay)
        reference = initial if decay is None else REFERENCE
        self.models = Models(policy, initial, reference, train_pm, heldout)
        self._critic = _critic(trunk, self.models, settings, seed)
        self._spread = Spread()
        self._within: dict[str, Tensor] = {}
        self.kl_weight = settings.kl_weight

    def draw(self, plan: StepPlan, step: int) -> RolloutBatch:
        """The rollouts of a step: a function of the policy, the plan, the seed and the step alone."""
        relative = isinstance(self._settings, PPOSettings) and self._settings.delta_reward
        return roll_out(
            self._trunk, self.models, plan.prompts, self._settings.samples_per_prompt, self._parameters,
            self._seed * SEEDS + step, plan.references if relative else (), isinstance(self._critic, HeadCritic),
        )  # fmt: skip

    def learn(self, batch: RolloutBatch, plan: StepPlan, seen: Metrics) -> Metrics:
        """One step: credit, the critic, the policy, then what follows the policy. `seen`: the batch's own metrics.

        Raises:
            CheckFailed: the gradient is not a number, or no response of the batch may be learnt from.
        """
        settings, step = self._settings, seen["step"]
        if settings.kl_limit is not None:
            self._within = self._trunk.adapter_tensors(self.models.policy)
        rate = rate_factor(step, settings.steps, settings.warmup, settings.schedule)
        rate *= halved(step * len(batch.flat), settings.halve_every)
        give_back_freed_memory()
        learnt, advantages, measured = self._credit(batch, plan, step, rate)
        give_back_freed_memory()
        if not (isinstance(settings, PPOSettings) and step < settings.critic_pretraining):
            loss_kl_weight = self.kl_weight if isinstance(settings, GRPOSettings) else 0.0
            measured |= update_policy(
                self._trunk, self.models.policy, learnt, by_prompt(learnt, advantages), self._optimizer, plan, settings,
                self._parameters.temperature, rate, loss_kl_weight,
            )  # fmt: skip
            measured["learning_rate"] = settings.learning_rate * rate
            self.kl_weight = steered(self.kl_weight, seen["kl"], settings)
        if self._reference is not None:
            self._reference.follow()
        return measured

    def _credit(
        self, batch: RolloutBatch, plan: StepPlan, step: int, rate: float
    ) -> tuple[RolloutBatch, list[Floats], Metrics]:
        """The responses that are learnt from, with the advantages of their tokens."""
        settings = self._settings
        plain = np.array([plain_score(rollout, settings) for rollout in batch.flat])
        self._spread = self._spread.with_more(plain)
        scores = scaled(plain, self._spread, settings).tolist()
        kept = [not (settings.skip_truncated and rollout.truncated) for rollout in batch.flat]
        if not any(kept):
            raise CheckFailed(
                f"step {step}: every response was cut off and skip_truncated leaves none; raise max_tokens"
            )
        learnt = batch.finished() if settings.skip_truncated else batch
        if isinstance(settings, PPOSettings):
            assert self._critic is not None
            own = [score for score, keep in zip(scores, kept, strict=True) if keep]
            return learnt, *critic_advantages(learnt, own, self._critic, plan, settings, self.kl_weight, rate)
        assert isinstance(settings, RLOOSettings | GRPOSettings)
        advantages = group_advantages(batch, scores, settings, self.kl_weight)
        return learnt, [part for part, keep in zip(advantages, kept, strict=True) if keep], {}

    def step_back(self) -> None:
        """Put the last policy that was within the KL limit in place."""
        parameters = self._trunk.adapter_parameters(self.models.policy)
        for key, weight in self._within.items():
            parameters[key].data.copy_(weight)

    def state_tensors(self) -> dict[str, Tensor]:
        """All that the next step depends on, for a checkpoint."""
        spread = self._spread
        control = torch.tensor([self.kl_weight, spread.count, spread.mean, spread.squares], dtype=torch.float64)
        parts = {
            "policy": self._optimizer.state_tensors(),
            "critic": self._critic.state_tensors() if self._critic else {},
            "reference": self._reference.state_tensors() if self._reference else {},
            "within": self._within,
            "control": {"": control},
        }
        return {f"{part}.{key}": tensor for part, tensors in parts.items() for key, tensor in tensors.items()}

    def load_state_tensors(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state_tensors` gave."""

        def part(name: str) -> dict[str, Tensor]:
            return {key.removeprefix(f"{name}."): t for key, t in state.items() if key.startswith(f"{name}.")}

        self._optimizer.load_state_tensors(part("policy"))
        if self._critic is not None:
            self._critic.load_state_tensors(part("critic"))
        if self._reference is not None:
            self._reference.load_state_tensors(part("reference"))
        self._within = part("within")
        self.kl_weight, *spread = part("control")[""].tolist()
        self._spread = Spread(*spread)


def _begin(trunk: Trunk, policy: str, initial: str | None, settings: PolicySettings, seed: int) -> None:
    if initial is None:
        trunk.add_adapter(policy, settings.rank, seed)
        return
    if (rank := trunk.adapted_layers[0].rank(initial)) != settings.rank:
        raise InputError(f"rank is {settings.rank}, but the initial policy's is {rank}; set rank to {rank}")
    trunk.copy_adapter(policy, of=initial)


def _critic(trunk: Trunk, models: Models, settings: PolicySettings, seed: int) -> Critic | None:
    if not isinstance(settings, PPOSettings):
        return None
    if settings.critic == "head":
        return HeadCritic(models.train_pm.head, settings.critic_strength)
    return AdapterCritic(trunk, models, settings, seed + CRITIC_SEED)

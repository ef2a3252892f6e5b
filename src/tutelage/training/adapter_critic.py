"""The critic that is trained by gradient: an adapter on the common trunk (or whole weights) and a value head, both its
own."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from tutelage.modeling.heads import ScoreHead, token_features_TF
from tutelage.modeling.passes import branch_values, ragged
from tutelage.modeling.rows import Rows
from tutelage.modeling.trunk import Trunk
from tutelage.training.advantages import Floats
from tutelage.training.checkpoint import Metrics
from tutelage.training.critic import ReturnsOf
from tutelage.training.losses import value_loss
from tutelage.training.optimizer import MasterAdamW
from tutelage.training.policy_settings import PPOSettings
from tutelage.training.prompt_order import StepPlan
from tutelage.training.rollouts import Models, RolloutBatch
from tutelage.training.update import ByPrompt, by_prompt, joined, micro_batches

ADAPTER = "critic"


class AdapterCritic:
    """Begins as the preference model (`critic = "pm"`), or as the initial policy with a head of zeros (`"policy"`)."""

    def __init__(self, trunk: Trunk, models: Models, settings: PPOSettings, seed: int) -> None:
        self._trunk, self._settings = trunk, settings
        from_pm = settings.critic == "pm"
        start = models.train_pm.adapter if from_pm else models.initial
        if settings.critic_whole:
            trunk.copy_whole(ADAPTER, of=start)
        elif start is None:
            trunk.add_adapter(ADAPTER, settings.rank, seed)
        else:
            trunk.copy_adapter(ADAPTER, of=start)
        self._head = copy.deepcopy(models.train_pm.head) if from_pm else ScoreHead(trunk.width, "last").to(trunk.device)
        self._scaled = from_pm
        rate = settings.critic_learning_rate or settings.learning_rate
        self._optimizer = MasterAdamW(
            (trunk.adapter_parameters(ADAPTER).values(), rate), (self._head.parameters(), rate),
            clip_norm=settings.clip_norm,
        )  # fmt: skip

    def values(self, batch: RolloutBatch) -> list[Floats]:
        """Expected return ahead of each token of each response."""
        return [v for row in branch_values(self._trunk, ADAPTER, self._head, batch.groups) for v in row]

    def learn(
        self, batch: RolloutBatch, returns_of: ReturnsOf, plan: StepPlan, rate: float
    ) -> tuple[list[Floats], Metrics]:
        """The same passes and minibatches as the policy's. Where the first minibatch is the whole batch, the pass by
        which it learns gives the values, too."""
        if not self._scaled:
            self._fit_scale(batch)
        trunk, settings, total, tokens = self._trunk, self._settings, 0.0, 0.0
        values: ByPrompt = [[] for _ in batch.prompts]
        returns: ByPrompt = [[] for _ in batch.prompts]

        def take(place: int, own: list[Floats]) -> None:
            values[place], returns[place] = own, returns_of(place, own)

        if len(plan.minibatches[0]) < len(batch.prompts):
            for place, own in enumerate(by_prompt(batch, self.values(batch))):
                take(place, own)
        with trunk.using(ADAPTER, trained=True):
            for part in plan.minibatches:
                count = 0.0
                for rows, places in micro_batches(trunk, batch, part, settings.token_budget):
                    values_T = self._head.values_T(trunk.hidden_RLD(rows, self._head.layers), rows)
                    if not values[places[0]]:
                        seen = iter(ragged(values_T, rows))
                        for place in places:
                            take(place, [next(seen) for _ in batch.rollouts[place]])
                    old_T, returns_T = (joined(parts, places, trunk.device) for parts in (values, returns))
                    loss = value_loss(values_T, old_T, returns_T, settings.value_clip)
                    self._optimizer.accumulate(loss.total)
                    total, count = total + loss.total.item(), count + loss.count
                if count:
                    self._optimizer.step(count, rate)
                tokens += count
        return [part for row in values for part in row], {"value_loss": total / tokens}

    def state_tensors(self) -> dict[str, Tensor]:
        return {**self._optimizer.state_tensors(), "scale": self._head.scale} if self._scaled else {}

    def load_state_tensors(self, state: Mapping[str, Tensor]) -> None:
        if state:
            self._optimizer.load_state_tensors({key: value for key, value in state.items() if key != "scale"})
            self._head.scale, self._scaled = state["scale"].to(self._head.scale), True

    def _fit_scale(self, batch: RolloutBatch) -> None:
        """The spread of each feature over the first batch."""
        trunk, features = self._trunk, []
        with trunk.using(ADAPTER):
            for rows, _ in micro_batches(trunk, batch, range(len(batch.prompts)), self._settings.token_budget):
                features.append(_ahead_TF(trunk.hidden_RLD(rows), rows))
        self._head.fit_scale(torch.cat(features))
        self._scaled = True


def _ahead_TF(hidden_RLD: Tensor, rows: Rows) -> Tensor:
    return token_features_TF(hidden_RLD, rows.before_T, rows, "last")

"""The critic on frozen features: the preference model's own, with a value head started from the preference model's.

Values come free with the pass that scores a response, and only the head learns. In the few steps of a small run a whole
second network would not learn anything (`adapter_critic.py` has it for longer ones).
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tutelage.modeling.heads import ScoreHead
from tutelage.training.advantages import Floats
from tutelage.training.checkpoint import Metrics
from tutelage.training.prompt_order import StepPlan
from tutelage.training.rollouts import RolloutBatch

DECAY = 0.95  # of older evidence a step: returns drift with the policy

ReturnsOf = Callable[[int, list[Floats]], list[Floats]]
"""the returns of a prompt's responses (the prompt's place in its batch) whose tokens have these values"""


class Critic(Protocol):
    """What says how much reward is to be expected ahead of each token."""

    def learn(
        self, batch: RolloutBatch, returns_of: ReturnsOf, plan: StepPlan, rate: float
    ) -> tuple[list[Floats], Metrics]:
        """The expected return ahead of each token of each response of a batch; then it learns from the returns that
        they lead to. `rate` is the learning rate's factor."""

    def state_tensors(self) -> dict[str, Tensor]:
        """What it has learnt, for a checkpoint."""

    def load_state_tensors(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state_tensors` gave."""


class HeadCritic:
    """A ridge regression on the features that came with the rollouts."""

    def __init__(self, head: ScoreHead, strength: float) -> None:
        self._ridge = RidgeCritic(head, strength)

    def learn(
        self, batch: RolloutBatch, returns_of: ReturnsOf, plan: StepPlan, rate: float
    ) -> tuple[list[Floats], Metrics]:
        features = _features(batch)
        values = [[self._ridge.values(own_TF) for own_TF in row] for row in features]
        returns = [part for place, row in enumerate(values) for part in returns_of(place, row)]
        self._ridge.learn(np.concatenate([own_TF for row in features for own_TF in row]), np.concatenate(returns))
        return [part for row in values for part in row], {}

    def state_tensors(self) -> dict[str, Tensor]:
        return self._ridge.state_tensors()

    def load_state_tensors(self, state: Mapping[str, Tensor]) -> None:
        self._ridge.load_state_tensors(state)


def _features(batch: RolloutBatch) -> list[list[Floats]]:
    return [[rollout.features for rollout in row if rollout.features is not None] for row in batch.rollouts]


class RidgeCritic:
    """value = w · features + bias, by least squares on the returns seen so far, drawn towards the preference head.

    `strength` is how many times the evidence of one step the draw weighs.
    """

    def __init__(self, head: ScoreHead, strength: float) -> None:
        self._prior = np.append(head.weight.detach().double().cpu().numpy(), -float(head.offset))
        self._scale = head.scale.double().cpu().numpy()
        self._weights = self._prior.copy()
        self._strength = strength
        self._moments: Floats = np.zeros((len(self._prior), len(self._prior)))
        self._evidence = np.zeros_like(self._prior)
        self._draw: float | None = None

    def values(self, features_TF: Floats) -> Floats:
        """Expected return ahead of each token."""
        values: Floats = self._inputs(features_TF) @ self._weights
        return values

    def learn(self, features_TF: Floats, returns_T: Floats) -> None:
        """Take in a batch of returns and solve for the weights anew."""
        inputs = self._inputs(features_TF)
        moments = inputs.T @ inputs
        if self._draw is None:
            self._draw = self._strength * float(np.trace(moments)) / len(self._prior)
        self._moments = DECAY * self._moments + moments
        self._evidence = DECAY * self._evidence + inputs.T @ (returns_T - inputs @ self._prior)
        ridge = self._moments + self._draw * np.eye(len(self._prior))
        self._weights = self._prior + np.linalg.solve(ridge, self._evidence)

    def state_tensors(self) -> dict[str, Tensor]:
        if self._draw is None:
            return {}
        arrays = {"weights": self._weights, "moments": self._moments, "evidence": self._evidence}
        return {name: torch.from_numpy(array) for name, array in arrays.items()} | {
            "draw": torch.tensor(self._draw, dtype=torch.float64)
        }

    def load_state_tensors(self, state: Mapping[str, Tensor]) -> None:
        if state:
            self._weights, self._moments, self._evidence = (
                state[name].numpy() for name in ("weights", "moments", "evidence")
            )
            self._draw = float(state["draw"])

    def _inputs(self, features_TF: Floats) -> Floats:
        return np.concatenate([features_TF / self._scale, np.ones((len(features_TF), 1))], axis=1)

"""The critic: the preference model's own features with a value head of its own, started from the preference model's.

Trunk and features are the preference model's, frozen, so that values come free with the pass that scores a response;
only the head learns. In the few steps of a small run a whole second network would not learn anything.
"""

import numpy as np

from tutelage.modeling.heads import ScoreHead
from tutelage.training.advantages import Floats

DECAY = 0.95  # of older evidence a step: returns drift with the policy


class RidgeCritic:
    """value = w · features + bias, by least squares on the returns seen so far, drawn towards the preference head.

    `strength` is how many times the evidence of one step the draw weighs.
    """

    def __init__(self, head: ScoreHead, strength: float) -> None:
        self._prior = np.append(head.weight.detach().double().cpu().numpy(), -float(head.offset))
        self._scale = head.scale.double().cpu().numpy()
        self._weights = self._prior.copy()
        self._strength = strength
        self._moments: Floats | None = None
        self._evidence = np.zeros_like(self._prior)
        self._draw = 0.0

    def values(self, features_TF: Floats) -> Floats:
        """Expected return ahead of each token."""
        values: Floats = self._inputs(features_TF) @ self._weights
        return values

    def learn(self, features_TF: Floats, returns_T: Floats) -> None:
        """Take in a batch of returns and solve for the weights anew."""
        inputs = self._inputs(features_TF)
        moments = inputs.T @ inputs
        if self._moments is None:
            self._moments = np.zeros_like(moments)
            self._draw = self._strength * float(np.trace(moments)) / len(self._prior)
        self._moments = DECAY * self._moments + moments
        self._evidence = DECAY * self._evidence + inputs.T @ (returns_T - inputs @ self._prior)
        ridge = self._moments + self._draw * np.eye(len(self._prior))
        self._weights = self._prior + np.linalg.solve(ridge, self._evidence)

    def _inputs(self, features_TF: Floats) -> Floats:
        return np.concatenate([features_TF / self._scale, np.ones((len(features_TF), 1))], axis=1)

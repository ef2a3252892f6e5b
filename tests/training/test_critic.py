"""The ridge critic: from the preference model's head to what the returns say."""

import numpy as np
import pytest
import torch

from tutelage.modeling.heads import ScoreHead
from tutelage.modeling.rows import Group, lay
from tutelage.training.critic import RidgeCritic

WIDTH = 5
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(400, WIDTH))
PLANTED = FEATURES @ np.array([1.0, -2.0, 0.0, 0.5, 3.0]) + 0.7


@pytest.fixture
def head() -> ScoreHead:
    head = ScoreHead(WIDTH, "last")
    generator = torch.Generator().manual_seed(0)
    head.weight.data.normal_(generator=generator)
    head.scale.uniform_(0.2, 3.0, generator=generator)
    head.offset.fill_(-1.5)
    return head


def test_it_starts_as_the_preference_models_head(head: ScoreHead) -> None:
    states = torch.from_numpy(FEATURES[:4]).float()
    rows = lay([Group((1,), ((2,),))] * 4)
    hidden = torch.stack([states, states], 1)
    values = RidgeCritic(head, 1.0).values(FEATURES[:4])
    np.testing.assert_allclose(values, head(hidden, rows).detach(), rtol=1e-5)


def test_it_finds_a_value_that_is_linear_in_the_features(head: ScoreHead) -> None:
    critic = RidgeCritic(head, strength=1e-6)
    critic.learn(FEATURES, PLANTED)
    np.testing.assert_allclose(critic.values(FEATURES), PLANTED, atol=1e-3)


def test_the_stronger_the_draw_the_nearer_it_stays_to_the_preference_model(head: ScoreHead) -> None:
    start, errors, ways = RidgeCritic(head, 1.0).values(FEATURES), [], []
    for strength in (1e-3, 1.0, 1e3):
        critic = RidgeCritic(head, strength)
        critic.learn(FEATURES, PLANTED)
        errors.append(np.abs(critic.values(FEATURES) - PLANTED).mean())
        ways.append(np.abs(critic.values(FEATURES) - start).mean())
    assert errors == sorted(errors)
    assert ways == sorted(ways, reverse=True)
    assert ways[-1] < 0.01 * ways[0]


def test_returns_equal_to_its_values_change_nothing(head: ScoreHead) -> None:
    critic = RidgeCritic(head, 1.0)
    start = critic.values(FEATURES)
    critic.learn(FEATURES, start)
    np.testing.assert_allclose(critic.values(FEATURES), start, atol=1e-9)


def test_later_evidence_outweighs_older(head: ScoreHead) -> None:
    critic = RidgeCritic(head, strength=0.1)
    for returns in [PLANTED] * 20 + [-PLANTED] * 40:
        critic.learn(FEATURES, returns)
    np.testing.assert_array_less(np.abs(critic.values(FEATURES) + PLANTED).mean(), 0.25 * np.abs(PLANTED).mean())

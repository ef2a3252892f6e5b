"""A reference that follows: exact at first, an average afterwards, and what is charged is the KL to it."""

from dataclasses import replace

import pytest
import torch

from tutelage.dialogue import SamplingParameters
from tutelage.modeling.trunk import Trunk
from tutelage.training.policy_settings import RLOOSettings
from tutelage.training.ppo import train_on_reward
from tutelage.training.prompt_order import PromptSource
from tutelage.training.reference import ADAPTER, MovingReference

from .planted import prompts, random_preference_model

SETTINGS = RLOOSettings(steps=6, prompts_per_step=4, samples_per_prompt=4, learning_rate=2e-2, rank=4, kl_weight=0.1)


def test_it_is_the_exponential_moving_average_of_the_weights(talker: Trunk) -> None:
    talker.add_adapter("policy", 4, seed=0)
    reference = MovingReference(talker, "policy", decay=0.75)
    expected = talker.adapter_tensors("policy")
    for step in range(3):
        for parameter in talker.adapter_parameters("policy").values():
            parameter.data.add_(0.1 * (step + 1))
        reference.follow()
        expected = {key: 0.75 * expected[key] + 0.25 * v for key, v in talker.adapter_tensors("policy").items()}
    for key, weight in talker.adapter_tensors(ADAPTER).items():
        torch.testing.assert_close(weight, expected[key])


def test_the_kl_to_a_moving_reference_is_below_that_to_the_initial_policy(talker: Trunk) -> None:
    judge, sources = random_preference_model(talker, "judge", seed=1), [PromptSource(prompts(talker, 8, 3))]
    sampling = SamplingParameters(max_tokens=8)
    moving = replace(SETTINGS, reference_decay=0.5)
    metrics = train_on_reward(talker, "policy", sources, judge, None, sampling, moving, 0)
    assert metrics[0]["kl"] == metrics[0]["kl_initial"] == pytest.approx(0, abs=1e-4)
    assert metrics[-1]["kl"] < 0.7 * metrics[-1]["kl_initial"]
    assert metrics[-1]["sqrt_kl"] == pytest.approx(metrics[-1]["kl_initial"] ** 0.5)
    still = train_on_reward(talker, "policy", sources, judge, None, sampling, SETTINGS, 0)
    assert "kl_initial" not in still[0]

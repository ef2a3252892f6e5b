"""Golden runs: on a toy with a planted preference every method raises the reward so much inside a KL budget."""

from dataclasses import replace

import numpy as np
import pytest

from tutelage.dialogue import SamplingParameters
from tutelage.modeling.trunk import Trunk
from tutelage.training.policy_settings import GRPOSettings, PolicySettings, RLOOSettings
from tutelage.training.ppo import train_on_reward
from tutelage.training.preference import train_preference_model
from tutelage.training.prompt_order import PromptSource
from tutelage.training.rollouts import PreferenceModel

from .planted import PPO, PREFERENCE, planted, prompts

SHARED = {
    name: getattr(PPO, name)
    for name in ("steps", "prompts_per_step", "samples_per_prompt", "learning_rate", "rank", "token_budget")
}
KINDS: dict[str, PolicySettings] = {
    "ppo": PPO,
    "ppo with a critic of its own": replace(PPO, critic="pm", critic_learning_rate=5e-3),
    "ppo of whole weights": replace(PPO, rank=0, learning_rate=2e-3),
    "rloo": RLOOSettings(**SHARED, kl_weight=0.02),
    "grpo": GRPOSettings(**SHARED, kl_weight=0.04),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_reward_rises_inside_the_kl_budget(talker: Trunk, kind: str) -> None:
    """From the first two steps to the last four; measured with this seed: +6.1 to +8.1 at a KL of 4.8 to 6.8."""
    head = train_preference_model(talker, "judge", planted(400, 0), PREFERENCE, 0).head
    sources = [PromptSource(prompts(talker, 8, 3), 0.67), PromptSource(prompts(talker, 8, 4), 0.33)]
    sampling = SamplingParameters(max_tokens=8)
    judge = PreferenceModel("judge", head)
    metrics = train_on_reward(talker, "policy", sources, judge, None, sampling, KINDS[kind], 1)
    gain = np.mean([m["reward"] for m in metrics[-4:]]) - np.mean([m["reward"] for m in metrics[:2]])
    assert gain > 4
    assert 1 < np.mean([m["kl"] for m in metrics[-4:]]) < 12

"""The critic with an adapter of its own: where it begins, that it learns, and that it leaves all else alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tutelage.dialogue import SamplingParameters
from tutelage.modeling.passes import score_with_features
from tutelage.modeling.trunk import Trunk
from tutelage.training.adapter_critic import ADAPTER, AdapterCritic
from tutelage.training.advantages import Floats
from tutelage.training.policy_settings import CriticStart, PPOSettings
from tutelage.training.ppo import train_on_reward
from tutelage.training.prompt_order import PromptSource, StepPlan
from tutelage.training.rollouts import Models, PreferenceModel, RolloutBatch, roll_out

from .planted import PPO, prompts, random_preference_model

SETTINGS = replace(PPO, critic="pm", critic_learning_rate=1e-2, prompts_per_step=4, samples_per_prompt=2)
PLAN = StepPlan([], [], [np.arange(4)])


@pytest.fixture
def models(talker: Trunk) -> Models:
    talker.add_adapter("policy", 4, seed=0)
    return Models("policy", None, None, random_preference_model(talker, "judge", seed=1), None)


def a_batch(talker: Trunk, models: Models) -> RolloutBatch:
    return roll_out(talker, models, prompts(talker, 4, 3), 2, SamplingParameters(max_tokens=6), 0)


def three_more(_: int, values: list[Floats]) -> list[Floats]:
    return [own + 3.0 for own in values]


@pytest.mark.parametrize("whole", [False, True])
def test_it_begins_as_the_preference_model(talker: Trunk, models: Models, whole: bool) -> None:
    batch, judge = a_batch(talker, models), models.train_pm
    values = AdapterCritic(talker, models, replace(SETTINGS, critic_whole=whole), seed=1).values(batch)
    assert talker.adapted_layers[0].rank(ADAPTER) == (0 if whole else 2)
    features = [f for row in score_with_features(talker, "judge", judge.head, batch.groups)[1] for f in row]
    direction = judge.head.direction.detach().double().numpy()
    for own, expected in zip(values, features, strict=True):
        np.testing.assert_allclose(own, expected @ direction - float(judge.head.offset), atol=1e-4)


def test_or_as_the_initial_policy_with_a_head_of_zeros(talker: Trunk, models: Models) -> None:
    talker.add_adapter("initial", 3, seed=5)
    next(value for key, value in talker.adapter_parameters("initial").items() if "lora_B" in key).data.add_(0.5)
    for initial, copied in ((None, False), ("initial", True)):
        critic = AdapterCritic(talker, replace(models, initial=initial), replace(SETTINGS, critic="policy"), seed=1)
        assert all((values == 0).all() for values in critic.values(a_batch(talker, models)))
        weights = talker.adapter_tensors(ADAPTER)
        if copied:
            assert all(torch.equal(weights[key], value) for key, value in talker.adapter_tensors("initial").items())
        else:
            assert all((value == 0).all() for key, value in weights.items() if "lora_B" in key)


@pytest.mark.parametrize(("start", "whole"), [("pm", False), ("policy", False), ("policy", True)])
def test_it_learns_what_is_to_be_expected_and_the_clip_holds_it_back(
    talker: Trunk, models: Models, start: CriticStart, whole: bool
) -> None:
    batch = a_batch(talker, models)

    def learnt(value_clip: float | None, passes: int) -> tuple[float, float, float]:
        """The mean loss of the passes; how far the values moved, and half their squared error then."""
        settings = replace(
            SETTINGS, critic=start, critic_whole=whole, critic_learning_rate=1e-3, value_clip=value_clip, epochs=passes
        )
        critic = AdapterCritic(talker, models, settings, seed=1)
        before, measured = critic.learn(batch, three_more, StepPlan([], [], [np.arange(4)] * passes), 1.0)
        moved = np.concatenate(critic.values(batch)) - np.concatenate(before)
        return measured["value_loss"], float(np.abs(moved).mean()), float(np.square(moved - 3.0).mean() / 2)

    assert learnt(None, 1)[0] == pytest.approx(4.5, rel=1e-4)
    _, moved, error = learnt(None, 60)
    assert error < 0.5 * 4.5
    _, held_back, _ = learnt(0.2, 60)
    assert 0.2 < held_back < 0.9 * moved


@pytest.mark.parametrize("token_budget", [1, 10_000])  # a prompt at a time, or all together
@pytest.mark.parametrize("minibatches", [1, 2])
def test_values_are_those_before_anything_was_learnt(
    talker: Trunk, models: Models, minibatches: int, token_budget: int
) -> None:
    settings = replace(SETTINGS, token_budget=token_budget)
    batch, critic = a_batch(talker, models), AdapterCritic(talker, models, settings, seed=1)
    expected, asked = critic.values(batch), list[int]()

    def returns_of(place: int, values: list[Floats]) -> list[Floats]:
        asked.append(place)
        return three_more(place, values)

    plan = StepPlan([], [], np.array_split(np.arange(4), minibatches) * 2)
    values, _ = critic.learn(batch, returns_of, plan, 1.0)
    for own, wanted in zip(values, expected, strict=True):
        np.testing.assert_allclose(own, wanted, atol=1e-5)
    assert sorted(asked) == [0, 1, 2, 3]
    assert np.abs(np.concatenate(critic.values(batch)) - np.concatenate(values)).max() > 1e-3


def test_only_it_learns_from_the_returns(talker: Trunk, models: Models) -> None:
    batch, critic = a_batch(talker, models), AdapterCritic(talker, models, SETTINGS, seed=1)
    before = {name: talker.adapter_tensors(name) for name in ("policy", "judge", ADAPTER)}
    head = {key: value.clone() for key, value in models.train_pm.head.state_dict().items()}
    critic.learn(batch, three_more, PLAN, 1.0)
    changed = {
        name: any(not torch.equal(weights[key], value) for key, value in talker.adapter_tensors(name).items())
        for name, weights in before.items()
    }
    assert changed == {"policy": False, "judge": False, ADAPTER: True}
    assert all(torch.equal(head[key], value) for key, value in models.train_pm.head.state_dict().items())


def test_with_pretraining_the_critic_learns_first_and_the_policy_waits(talker: Trunk, models: Models) -> None:
    settings: PPOSettings = replace(SETTINGS, steps=4, critic_pretraining=3, learning_rate=1e-2)
    waits = []

    def look(metrics: object, batch: object) -> None:
        waits.append(all((v == 0).all() for key, v in talker.adapter_tensors("policy").items() if "lora_B" in key))

    judge: PreferenceModel = models.train_pm
    sources = [PromptSource(prompts(talker, 8, 3))]
    metrics = train_on_reward(
        talker, "policy", sources, judge, None, SamplingParameters(max_tokens=6), settings, 0, look
    )
    assert waits == [True, True, True, False]
    assert ["entropy" in step for step in metrics] == [False, False, False, True]
    assert all("value_loss" in step for step in metrics)
    assert "heldout_reward" not in metrics[0]

"""Settings of training on rewards: what contradicts itself is refused, and says how."""

import math
from dataclasses import fields
from typing import Any

import pytest

from tutelage.training.policy_settings import GRPOSettings, PolicySettings, PPOSettings, RLOOSettings

ALL = (PPOSettings, RLOOSettings, GRPOSettings)


@pytest.mark.parametrize("kind", ALL)
def test_the_defaults_are_allowed(kind: type[PolicySettings]) -> None:
    assert kind().clip == 0.2


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"steps": 0}, "steps must be above 0"),
        ({"rank": -1}, "rank must be at least 0"),
        ({"kl_weight": -0.1}, "kl_weight must be at least 0"),
        ({"entropy_bonus": -0.1}, "entropy_bonus must be at least 0"),
        ({"kl_weight": float("nan")}, "kl_weight must be at least 0"),
        ({"prompts_per_step": 4, "minibatches": 5}, "minibatches must lie between 1 and prompts_per_step"),
        ({"reference_decay": 1.0}, r"reference_decay must lie in \[0, 1\)"),
        ({"kl_limit": 0.0}, "kl_limit must be above 0"),
        ({"kl_limit": 5.0, "kl_budget": 5.0}, "kl_limit must be above kl_budget"),
        ({"kl_gain": 0.2}, "kl_gain means nothing without kl_target"),
        ({"kl_weight": 0.0, "kl_target": 5.0}, "kl_target means nothing where kl_weight is 0"),
        ({"kl_weight": 0.0, "reference_decay": 0.9}, "reference_decay means nothing where kl_weight is 0"),
        (
            {"missing_end_penalty": 1.0, "truncated_score": -1.0},
            "missing_end_penalty and truncated_score say two things",
        ),
        ({"truncated_score": 0.0, "skip_truncated": True}, "truncated_score and skip_truncated say two things"),
        ({"halve_every": 100, "schedule": "linear"}, "halve_every and schedule = 'linear' both lower"),
        ({"score_clip": -1.0}, "score_clip must be above 0"),
    ],
)
def test_what_cannot_be_is_refused(kind: type[PolicySettings], options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        kind(**options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"gae_lambda": 1.5}, "gae_lambda must lie between 0 and 1"),
        ({"critic_pretraining": 200}, r"critic_pretraining must lie in \[0, steps\)"),
        ({"value_clip": 0.2}, "value_clip says nothing to a critic that is solved for"),
        ({"critic_learning_rate": 1e-4}, "critic_learning_rate says nothing"),
        ({"critic_whole": True}, "critic_whole says nothing to a critic that is solved for"),
        ({"critic": "pm", "critic_strength": 2.0}, "critic_strength says nothing to a critic that is trained"),
        ({"critic": "pm", "value_clip": 0.0}, "value_clip must be above 0"),
        ({"critic": "pm", "value_clip": 0.2}, "value_clip says nothing where a batch is one step"),
        ({"kl_weight": math.inf}, "kl_weight must be a finite number"),
        ({"truncated_score": math.nan}, "truncated_score must be a finite number"),
    ],
)
def test_what_contradicts_the_critic_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        PPOSettings(**options)


@pytest.mark.parametrize("kind", [RLOOSettings, GRPOSettings])
def test_a_response_without_others_has_nothing_to_be_held_against(kind: type[PolicySettings]) -> None:
    with pytest.raises(ValueError, match="samples_per_prompt must be at least 2"):
        kind(samples_per_prompt=1)


def test_a_scale_that_the_groups_spread_takes_out_again_is_refused() -> None:
    with pytest.raises(ValueError, match="score_scale says nothing where scores are divided by their group's spread"):
        GRPOSettings(score_scale="running")
    GRPOSettings(score_scale="running", divide_by_spread=False)
    GRPOSettings(score_scale="running", score_clip=3.0)


def test_k1_in_the_loss_holds_nothing_and_is_refused() -> None:
    with pytest.raises(ValueError, match="k1 has a gradient of mean 0"):
        GRPOSettings(kl_estimator="k1")


def test_what_a_method_cannot_do_is_no_setting_of_its() -> None:
    critics = {"critic", "critic_strength", "gae_lambda", "gamma", "kl_place", "value_clip", "delta_reward", "whiten"}
    for kind in (RLOOSettings, GRPOSettings):
        assert not critics & {setting.name for setting in fields(kind)}

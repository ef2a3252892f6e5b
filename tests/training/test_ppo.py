"""PPO: its start is checked, its step is the textbook's, it raises what is planted, equal seeds give equal bits."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tutelage.dialogue import SamplingParameters
from tutelage.modeling.passes import score_branches
from tutelage.modeling.rows import Group
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed, InputError
from tutelage.training import credit, learner, rollouts
from tutelage.training.advantages import Floats, advantages_and_returns, token_rewards, whiten
from tutelage.training.checkpoint import Checkpoints
from tutelage.training.critic import RidgeCritic
from tutelage.training.optimizer import MasterAdamW
from tutelage.training.policy_settings import KLEstimator, KLPlace, PPOSettings
from tutelage.training.ppo import KLLimitPassed, check_first_step, describe, train_on_reward
from tutelage.training.preference import train_preference_model
from tutelage.training.prompt_order import PromptSource
from tutelage.training.rollouts import Models, PreferenceModel, RolloutBatch, roll_out, shown_ids

from .planted import PPO, PREFERENCE, planted, prompts, random_preference_model, utility

SAMPLING = SamplingParameters(max_tokens=8)
SHORT = replace(PPO, steps=2, prompts_per_step=4, samples_per_prompt=2)


@pytest.fixture
def judge(talker: Trunk) -> PreferenceModel:
    return random_preference_model(talker, "judge", seed=1)


@pytest.fixture
def heldout(talker: Trunk) -> PreferenceModel:
    return random_preference_model(talker, "heldout", seed=2)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[RolloutBatch]:
    """The batches of rollouts that training makes, as it makes them."""
    made: list[RolloutBatch] = []
    monkeypatch.setattr(learner, "roll_out", lambda *arguments: made.append(roll_out(*arguments)) or made[-1])
    return made


def train(
    talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel, settings: PPOSettings, seed: int = 0,
    sampling: SamplingParameters = SAMPLING,
) -> list[dict[str, Any]]:  # fmt: skip
    sources = PromptSource(prompts(talker, 8, 3), 0.67), PromptSource(prompts(talker, 8, 4), 0.33)
    return train_on_reward(talker, "policy", sources, judge, heldout, sampling, settings, seed)


def weights(trunk: Trunk, name: str = "policy") -> Tensor:
    return torch.cat([value.flatten() for value in trunk.adapter_tensors(name).values()])


# Golden run


def preference_model(trunk: Trunk, name: str, seed: int) -> PreferenceModel:
    return PreferenceModel(name, train_preference_model(trunk, name, planted(400, seed), PREFERENCE, seed).head)


def test_the_planted_reward_rises_inside_its_kl_budget(talker: Trunk, batches: list[RolloutBatch]) -> None:
    """From the first two steps to the last four. Over eight seeds the reward rose by 4 to 12, that of a preference
    model trained on other comparisons by 2 to 7, the planted utility by 0.02 to 0.20, at a KL of 7 to 10."""
    metrics = train(talker, preference_model(talker, "judge", 0), preference_model(talker, "heldout", 1), PPO)
    truth = [utility(talker, [r.sample.ids for r in batch.flat]) for batch in batches]

    def gain(curve: list[float]) -> float:
        return float(np.mean(curve[-4:]) - np.mean(curve[:2]))

    reward, heldout_reward = (gain([m[name] for m in metrics]) for name in ("reward", "heldout_reward"))
    assert reward > 4
    assert 0 < heldout_reward < reward  # it learns what its own preference model got wrong, too
    assert gain(truth) > 0.05
    assert 4 < np.mean([m["kl"] for m in metrics[-4:]]) < 12


@pytest.mark.parametrize("place", ["token", "sequence"])
def test_a_heavier_kl_penalty_keeps_the_policy_nearer(
    talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel, place: KLPlace
) -> None:
    def distance(weight: float) -> float:
        settings = replace(PPO, kl_weight=weight, kl_place=place, steps=8, prompts_per_step=4)
        return float(np.mean([m["kl"] for m in train(talker, judge, heldout, settings)[-2:]]))

    assert distance(5) < 0.3 * distance(0)


# The start


def models(judge: PreferenceModel, heldout: PreferenceModel) -> Models:
    return Models("policy", None, None, judge, heldout)


def a_batch(talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel) -> RolloutBatch:
    talker.add_adapter("policy", 4, seed=0)
    return roll_out(talker, models(judge, heldout), prompts(talker, 4, 3), 3, SAMPLING, 0, (), True)


def test_before_the_first_update_the_policy_is_the_reference(
    talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel, batches: list[RolloutBatch]
) -> None:
    metrics = train(talker, judge, heldout, SHORT)
    assert metrics[0]["kl"] == pytest.approx(0, abs=1e-4)
    assert 0 <= metrics[0]["mismatch_p50"] <= metrics[0]["mismatch_p99"] < 1e-4
    assert "mismatch_p50" not in metrics[1]
    for rollout in batches[0].flat:
        np.testing.assert_allclose(rollout.old_logprobs, rollout.reference_logprobs, atol=1e-4)


def test_a_policy_that_is_not_the_reference_fails_the_check(
    talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel
) -> None:
    batch = a_batch(talker, judge, heldout)
    check_first_step(talker, "policy", batch, SAMPLING, PPO)
    next(value for key, value in talker.adapter_parameters("policy").items() if "lora_B" in key).data.add_(1e-5)
    with pytest.raises(CheckFailed, match="KL is not 0 exactly"):
        check_first_step(talker, "policy", batch, SAMPLING, PPO)


def test_a_sampler_of_another_temperature_fails_the_check(
    talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = rollouts.sample

    def hotter(trunk: Trunk, asked: Any, n: int, parameters: SamplingParameters, *rest: Any) -> Any:
        return sample(trunk, asked, n, replace(parameters, temperature=2 * parameters.temperature), *rest)

    monkeypatch.setattr(rollouts, "sample", hotter)
    with pytest.raises(CheckFailed, match=r"sampler and trainer differ by 0\.\d+ nats a token"):
        train(talker, judge, heldout, SHORT)
    train(talker, judge, heldout, replace(SHORT, max_mismatch=10.0))


def test_a_sampler_that_is_not_a_number_fails_the_check(
    talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel
) -> None:
    batch = a_batch(talker, judge, heldout)
    first = batch.rollouts[0][0]
    batch.rollouts[0][0] = replace(first, old_logprobs=np.full_like(first.old_logprobs, np.nan))
    with pytest.raises(CheckFailed, match="differ by nan"):
        check_first_step(talker, "policy", batch, SAMPLING, PPO)


def test_what_cannot_be_honoured_is_refused(talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel) -> None:
    with pytest.raises(InputError, match="without top_p, top_k and min_p"):
        train(talker, judge, heldout, SHORT, sampling=replace(SAMPLING, top_p=0.9))
    with pytest.raises(InputError, match="delta_reward needs a reference response"):
        train(talker, judge, heldout, replace(SHORT, delta_reward=True))
    helpful, empty = PromptSource(prompts(talker, 4, 3), 0.5), PromptSource([], 0.5)
    with pytest.raises(InputError, match="no prompts of a kind"):
        train_on_reward(talker, "policy", (helpful, empty), judge, heldout, SAMPLING, SHORT, 0)
    train_on_reward(talker, "policy", (helpful, replace(empty, weight=0)), judge, heldout, SAMPLING, SHORT, 0)


# Rollouts


def test_everything_of_a_rollout_has_one_entry_a_token_whether_it_ended_or_was_cut_off(
    talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel
) -> None:
    talker.add_adapter("policy", 4, seed=0)
    asked, sampling = prompts(talker, 6, 3), replace(SAMPLING, max_tokens=10, stop=tuple("abcdefghijklmnopqrstuvwxyz"))
    batch = roll_out(talker, models(judge, heldout), asked, 4, sampling, 0, (), True)
    assert {r.sample.finish for r in batch.flat} == {"stop", "length"}
    for prompt, group, row in zip(asked, batch.groups, batch.rollouts, strict=True):
        assert group == Group(prompt, tuple(r.sample.ids for r in row))
        shown = Group(prompt, tuple(shown_ids(talker.encoder, r.sample) for r in row))
        for r in row:
            tokens = len(r.sample.ids)
            assert len(r.old_logprobs) == len(r.reference_logprobs) == len(r.features) == len(r.kl_t("k1")) == tokens
            assert tokens == 10 or r.sample.finish == "stop"
            np.testing.assert_array_equal(r.old_logprobs, r.sample.logprobs)
        scores = score_branches(talker, "judge", judge.head, [shown])
        np.testing.assert_allclose([r.score for r in row], scores[0], rtol=1e-4, atol=1e-5)
        scores = score_branches(talker, "heldout", heldout.head, [shown])
        np.testing.assert_allclose([r.heldout_score for r in row], scores[0], rtol=1e-4, atol=1e-5)


def test_prompts_are_mixed_by_their_shares_and_none_comes_twice_before_all_came_once(
    talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel, batches: list[RolloutBatch]
) -> None:
    helpful, red_team = prompts(talker, 9, 3), prompts(talker, 3, 4)
    settings = replace(SHORT, steps=6, prompts_per_step=2, samples_per_prompt=1)
    sources = PromptSource(helpful, 0.75), PromptSource(red_team, 0.25)
    train_on_reward(talker, "policy", sources, judge, heldout, SAMPLING, settings, 0)
    drawn = [group.prompt for batch in batches for group in batch.groups]
    assert sorted(prompt for prompt in drawn if prompt in helpful) == sorted(helpful)
    assert sorted(prompt for prompt in drawn if prompt in red_team) == sorted(red_team)
    assert [sum(group.prompt in red_team for group in batch.groups) for batch in batches] == [0, 1, 0, 1, 0, 1]


# One step


OBVIOUS_KL: dict[KLEstimator, Callable[[Floats], Floats]] = {
    "k1": lambda gap: gap,
    "k2": lambda gap: gap**2 / 2,
    "k3": lambda gap: np.exp(-gap) - 1 + gap,
}


@pytest.mark.parametrize("estimator", OBVIOUS_KL)
@pytest.mark.parametrize("place", ["token", "sequence"])
def test_the_kl_that_is_logged_is_the_kl_that_is_charged(
    talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel, batches: list[RolloutBatch],
    monkeypatch: pytest.MonkeyPatch, place: KLPlace, estimator: KLEstimator,
) -> None:  # fmt: skip
    paid: list[float] = []

    def noted(*arguments: Any) -> Floats:
        rewards = token_rewards(*arguments)
        paid.append(float(rewards.sum()))
        return rewards

    monkeypatch.setattr(credit, "token_rewards", noted)
    settings = replace(SHORT, steps=3, kl_weight=0.7, kl_place=place, kl_estimator=estimator)
    metrics = train(talker, judge, heldout, settings)
    responses = settings.prompts_per_step * settings.samples_per_prompt
    for step, part in zip(metrics, np.split(np.array(paid), settings.steps), strict=True):
        assert len(part) == responses
        assert part.mean() == pytest.approx(step["reward"] - 0.7 * step["kl"])
        assert step["sqrt_kl"] == pytest.approx(np.sqrt(max(step["kl"], 0)))
    assert abs(metrics[-1]["kl"]) > 1e-3
    assert describe(batches[-1], settings)["kl"] == metrics[-1]["kl"]
    gaps = [rollout.old_logprobs - rollout.reference_logprobs for rollout in batches[-1].flat]
    assert metrics[-1]["kl"] == pytest.approx(np.mean([OBVIOUS_KL[estimator](gap).sum() for gap in gaps]))


def obvious_update(
    talker: Trunk, adapter: str, batch: RolloutBatch, advantages: list[Floats], settings: PPOSettings
) -> Tensor:
    """An adapter's weights after PPO's update, one response at a time, by plain autograd and torch's own AdamW."""
    model = copy.deepcopy(talker.model)
    model.set_attn_implementation("eager")
    parameters = [p for key, p in model.named_parameters() if key.endswith(f".{adapter}")]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
    texts = [(group.prompt, branch) for group in batch.groups for branch in group.branches]
    for _ in range(settings.epochs):
        optimizer.zero_grad()
        losses = []
        for (prompt, response), rollout, advantage in zip(texts, batch.flat, advantages, strict=True):
            logits = model(input_ids=torch.tensor([prompt + response]), use_cache=False).logits[0]
            logprobs = (logits[len(prompt) - 1 : -1] / SAMPLING.temperature).log_softmax(-1)
            for t, token in enumerate(response):
                ratio = torch.exp(logprobs[t, token] - rollout.old_logprobs[t])
                bounded = ratio.clamp(1 - settings.clip, 1 + settings.clip)
                losses.append(-torch.minimum(ratio * advantage[t], bounded * advantage[t]))
        torch.stack(losses).mean().backward()
        torch.nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in parameters])


@pytest.mark.parametrize("token_budget", [1, 200])
def test_a_step_is_the_textbooks(
    talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel, batches: list[RolloutBatch], token_budget: int
) -> None:
    settings = replace(SHORT, steps=1, warmup=1, epochs=4, clip=0.05, learning_rate=0.01, token_budget=token_budget)
    metrics = train(talker, judge, heldout, settings)
    assert metrics[0]["clip_fraction"] > 0.01  # the clipping was put to the test
    critic, (batch,) = RidgeCritic(judge.head, settings.critic_strength), batches
    advantages = [
        advantages_and_returns(
            token_rewards(rollout.score, rollout.kl_t("k1"), settings.kl_weight, settings.kl_place),
            critic.values(rollout.features), settings.gamma, settings.gae_lambda,
        )[0]
        for rollout in batch.flat
    ]  # fmt: skip
    talker.add_adapter("fresh", settings.rank, seed=0)
    start = weights(talker, "fresh")
    with talker.using("fresh", trained=True):
        expected = obvious_update(talker, "fresh", batch, whiten(advantages), settings) - start
    assert float((weights(talker) - start - expected).norm()) < 1e-2 * float(expected.norm())


def test_the_gradient_of_a_bonus_for_entropy_is_that_of_finite_differences(
    talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel
) -> None:
    """Through the whole trunk, to the policy's weights: the entropy of all tokens of a batch along one direction."""
    rows = talker.lay(a_batch(talker, judge, heldout).groups)
    parameters = talker.adapter_parameters("policy")
    for key, parameter in parameters.items():
        parameter.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(len(key)))
    direction = {key: torch.randn(p.shape, generator=torch.Generator().manual_seed(1)) for key, p in parameters.items()}

    def entropy(moved: float, learns: bool) -> Tensor:
        for key, parameter in parameters.items():
            parameter.data.add_(direction[key], alpha=moved)
        with talker.using("policy", trained=True):
            total = talker.logprobs_T(talker.hidden_RLD(rows), rows, SAMPLING.temperature, learns)[1].double().sum()
        for key, parameter in parameters.items():
            parameter.data.sub_(direction[key], alpha=moved)
        return total

    assert not entropy(0.0, learns=False).requires_grad
    entropy(0.0, learns=True).backward()  # type: ignore[no-untyped-call]
    slope = sum(float((p.grad * direction[key]).sum()) for key, p in parameters.items() if p.grad is not None)
    difference = float(entropy(1e-3, learns=False) - entropy(-1e-3, learns=False)) / 2e-3
    assert slope == pytest.approx(difference, rel=0.02)
    assert abs(slope) > 1


def test_a_bonus_for_entropy_raises_it(talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel) -> None:
    def entropy(bonus: float) -> float:
        settings = replace(PPO, steps=4, prompts_per_step=4, kl_weight=0.0, entropy_bonus=bonus)
        return float(train(talker, judge, heldout, settings)[-1]["entropy"])

    assert entropy(1.0) > entropy(0.0) + 0.4


def test_mini_batches_and_epochs_are_steps_of_the_optimizer(
    talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    step = MasterAdamW.step
    monkeypatch.setattr(
        MasterAdamW, "step", lambda self, count, rate: (counts.append(count), step(self, count, rate))[1]
    )
    train(talker, judge, heldout, replace(SHORT, steps=1, epochs=2, minibatches=2))
    assert len(counts) == 4
    assert counts[0] + counts[1] == counts[2] + counts[3]  # every token once an epoch


def test_only_the_policy_learns(talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel) -> None:
    before = {key: value.clone() for key, value in talker.model.state_dict().items()}
    train(talker, judge, heldout, SHORT)
    after = talker.model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert float(weights(talker).abs().max()) > 0


def test_the_heldout_preference_model_is_only_watched(
    talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel
) -> None:
    one = train(talker, judge, heldout, SHORT)
    learnt = weights(talker)
    other = train(talker, judge, random_preference_model(talker, "heldout", seed=9), SHORT)
    assert torch.equal(weights(talker), learnt)
    assert [m["heldout_reward"] for m in one] != [m["heldout_reward"] for m in other]


def test_the_same_seed_gives_the_same_bits_and_another_does_not(
    talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel
) -> None:
    def run(seed: int) -> tuple[Tensor, list[dict[str, Any]]]:
        metrics = train(talker, judge, heldout, replace(SHORT, steps=3), seed)
        return weights(talker), [{k: v for k, v in m.items() if "seconds" not in k} for m in metrics]

    (one, metrics), (again, same), (other, others) = run(0), run(0), run(1)
    assert torch.equal(one, again)
    assert metrics == same
    assert not torch.equal(one, other)
    assert metrics != others


def test_explained_variance_is_of_the_discounted_rewards_to_go(
    talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel, batches: list[RolloutBatch]
) -> None:
    settings = replace(SHORT, steps=1, gamma=0.5, kl_weight=1.0)
    metrics = train(talker, judge, heldout, settings)
    to_go, values = [], []
    for rollout in batches[0].flat:
        rewards = token_rewards(rollout.score, rollout.kl_t("k1"), 1.0, "token")
        to_go += [sum(0.5**k * reward for k, reward in enumerate(rewards[t:])) for t in range(len(rewards))]
        values += RidgeCritic(judge.head, 1.0).values(rollout.features).tolist()
    expected = 1 - np.var(np.array(to_go) - np.array(values)) / np.var(to_go)
    assert metrics[0]["explained_variance"] == pytest.approx(expected)


# How far it may go


def test_beyond_the_kl_limit_the_last_policy_within_is_put_back_after_a_resume_too(
    talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel, tmp_path: Path
) -> None:
    settings = replace(SHORT, steps=12, learning_rate=3e-2, kl_weight=0.0, kl_limit=1.0)
    sources, after = [PromptSource(prompts(talker, 8, 3))], []
    checkpoints = Checkpoints(tmp_path / "c", {}, every=1)

    def run() -> None:
        train_on_reward(
            talker, "policy", sources, judge, heldout, SAMPLING, settings, 0,
            lambda metrics, batch: after.append(weights(talker)), checkpoints,
        )  # fmt: skip

    for _ in range(2):  # the second time from the checkpoint of the last step within
        with pytest.raises(KLLimitPassed, match=r"before step \d+ the policy is [1-9]\d*\.\d+ nats a response"):
            run()
        progress = checkpoints.load()
        assert progress is not None
        assert len(after) == len(progress.metrics) > 2
        assert max(step["kl"] for step in progress.metrics) <= 1.0
        # The policy that the last whole step began with; what it led to is beyond the limit.
        assert torch.equal(weights(talker), after[-2])
        assert not torch.equal(weights(talker), after[-1])


def test_what_the_last_step_led_to_is_held_to_the_limit_too(
    talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel
) -> None:
    settings = replace(SHORT, steps=1, warmup=1, learning_rate=0.2, kl_weight=0.0, kl_limit=0.5)
    with pytest.raises(KLLimitPassed, match="before step 1 the policy is"):
        train(talker, judge, heldout, settings)
    assert float(max(v.abs().max() for key, v in talker.adapter_tensors("policy").items() if "lora_B" in key)) == 0


def test_nothing_is_learnt_from_truncated_responses_where_they_are_skipped(
    talker: Trunk, judge: PreferenceModel, heldout: PreferenceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampling = replace(SAMPLING, stop=tuple("abcdefghijklmnopqrstuvwxyz"))
    seen: list[RolloutBatch] = []
    update = learner.update_policy
    monkeypatch.setattr(learner, "update_policy", lambda *arguments: (seen.append(arguments[2]), update(*arguments))[1])
    metrics = train(talker, judge, heldout, replace(SHORT, skip_truncated=True), sampling=sampling)
    assert all(not rollout.truncated for batch in seen for rollout in batch.flat)
    assert 0 < metrics[0]["truncated"] < 1
    with pytest.raises(CheckFailed, match="every response was cut off and skip_truncated leaves none"):
        train(talker, judge, heldout, replace(SHORT, skip_truncated=True), sampling=replace(SAMPLING, max_tokens=1))

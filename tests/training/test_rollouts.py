"""What is scored is what a reader sees; what is trained on is what was drawn; the reward sits on its last token."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tutelage.dialogue import Finish, Response, SamplingParameters
from tutelage.modeling.base import load_base
from tutelage.modeling.encoding import DialogueFormat
from tutelage.modeling.hub import TINY
from tutelage.modeling.passes import score_branches, score_with_features
from tutelage.modeling.rows import Group
from tutelage.modeling.trunk import Trunk
from tutelage.sampling.sampler import Sample
from tutelage.training.advantages import token_rewards
from tutelage.training.policy_settings import KLPlace
from tutelage.training.rollouts import Models, PreferenceModel, RolloutBatch, read_beside, roll_out, shown_ids

from .planted import prompts, random_preference_model

STOPPING = SamplingParameters(max_tokens=10, stop=tuple("abcdefghijklmnopqrstuvwxyz"))


@pytest.fixture
def judge(talker: Trunk) -> PreferenceModel:
    return random_preference_model(talker, "judge", seed=1)


def drawn(trunk: Trunk, judge: PreferenceModel, parameters: SamplingParameters = STOPPING) -> RolloutBatch:
    trunk.add_adapter("policy", 4, seed=0)
    models = Models("policy", None, None, judge, None)
    return roll_out(trunk, models, prompts(trunk, 6, 3), 4, parameters, 0, with_features=True)


def test_a_stop_string_is_trained_on_and_not_scored(talker: Trunk, judge: PreferenceModel) -> None:
    batch, encoder = drawn(talker, judge), talker.encoder
    stopped = [(p, r) for p, row in zip(batch.prompts, batch.rollouts, strict=True) for r in row if not r.truncated]
    assert len(stopped) > 5
    for prompt, rollout in stopped:
        assert encoder.text(rollout.sample.ids)[-1:] in STOPPING.stop  # the policy drew it, so it is among its tokens
        seen = encoder.response_ids(Response(rollout.sample.text, "stop"))
        assert not set(rollout.sample.text) & set(STOPPING.stop)
        expected = score_branches(talker, "judge", judge.head, [Group(prompt, (seen,))])[0][0]
        raw = score_branches(talker, "judge", judge.head, [Group(prompt, (rollout.sample.ids,))])[0][0]
        assert rollout.score == pytest.approx(expected, rel=1e-4, abs=1e-5)
        assert abs(rollout.score - raw) > 1e-3
        assert rollout.features is not None
        assert len(rollout.features) == len(rollout.old_logprobs) == len(rollout.sample.ids)


def test_what_is_scored_does_not_move_the_features_of_what_was_drawn(talker: Trunk, judge: PreferenceModel) -> None:
    """The critic reads the drawn tokens, beside whichever other branches lie in the row."""
    batch = drawn(talker, judge)
    for prompt, row in zip(batch.prompts, batch.rollouts, strict=True):
        for rollout in row:
            alone = RolloutBatch([prompt], [[rollout]]).groups
            features = score_with_features(talker, "judge", judge.head, alone)[1][0][0]
            np.testing.assert_allclose(rollout.features, features, atol=1e-4)


@pytest.mark.parametrize("place", ["token", "sequence"])
def test_the_reward_sits_on_the_last_token_drawn_of_stopped_and_truncated_alike(
    talker: Trunk, judge: PreferenceModel, place: KLPlace
) -> None:
    batch = drawn(talker, judge)
    assert {rollout.truncated for rollout in batch.flat} == {True, False}
    for rollout in batch.flat:
        without = token_rewards(0.0, rollout.kl_t("k1"), 0.1, place)
        rewards = token_rewards(rollout.score, rollout.kl_t("k1"), 0.1, place)
        assert len(rewards) == len(rollout.sample.ids)
        np.testing.assert_allclose(rewards - without, [0.0] * (len(rewards) - 1) + [rollout.score], atol=1e-9)


def test_under_the_plain_marks_the_human_mark_is_not_scored() -> None:
    trunk = load_base(TINY, DialogueFormat("hh"), torch.float32)
    mark = trunk.encoder._encode("\n\nHuman:", literal=True)
    draw = a_sample((*trunk.encoder._encode(" Yes.", literal=True), *mark), "Yes.", "stop")
    assert shown_ids(trunk.encoder, draw) == trunk.encoder.response_ids(Response("Yes.", "stop"))
    ended = a_sample(trunk.encoder.response_ids(Response("Yes.", "stop")), "Yes.", "stop")
    assert shown_ids(trunk.encoder, ended) == ended.ids
    cut_off = a_sample(trunk.encoder.response_ids(Response("Yes", "length")), "Yes", "length")
    assert shown_ids(trunk.encoder, cut_off) == cut_off.ids


def a_sample(ids: tuple[int, ...], text: str, finish: Finish) -> Sample:
    return Sample(tuple(ids), (0.0,) * len(ids), text, finish)


def test_what_is_scored_lies_behind_what_was_drawn_only_where_it_differs() -> None:
    group = Group((1, 2), ((3, 4), (5, 6), (7,)))
    assert read_beside(group, group.branches, None) == (group, [0, 1, 2])
    wide, places = read_beside(group, [(3, 4), (5, 9), (7,)], reference=(8,))
    assert wide.branches == ((3, 4), (5, 6), (7,), (5, 9), (8,))
    assert places == [0, 3, 2]


def test_reference_responses_are_scored_beside_the_policys(talker: Trunk, judge: PreferenceModel) -> None:
    talker.add_adapter("policy", 4, seed=0)
    asked = prompts(talker, 3, 3)
    references = [(40 + place, 50) for place in range(3)]
    models = Models("policy", None, None, judge, None)
    batch = roll_out(talker, models, asked, 2, STOPPING, 0, references)
    for prompt, reference, row in zip(asked, references, batch.rollouts, strict=True):
        expected = score_branches(talker, "judge", judge.head, [Group(prompt, (reference,))])[0][0]
        assert [r.reference_score for r in row] == pytest.approx([expected] * 2, rel=1e-4, abs=1e-5)


def test_finished_responses_alone(talker: Trunk, judge: PreferenceModel) -> None:
    batch = drawn(talker, judge)
    kept = batch.finished()
    assert [r.sample.ids for r in kept.flat] == [r.sample.ids for r in batch.flat if r.sample.finish != "length"]
    assert 0 < len(kept.flat) < len(batch.flat)
    emptied = RolloutBatch(batch.prompts[:2], [[], batch.rollouts[1]])
    assert [group.prompt for group in emptied.groups] == [batch.prompts[1]]


def test_the_distance_is_to_the_initial_policy_and_the_kl_to_the_reference(
    talker: Trunk, judge: PreferenceModel
) -> None:
    rollout = drawn(talker, judge).flat[0]
    moved = replace(rollout, reference_logprobs=rollout.old_logprobs - 1)
    np.testing.assert_allclose(moved.kl_t("k1"), 1.0)
    np.testing.assert_allclose(moved.distance_t("k1"), rollout.old_logprobs - rollout.initial_logprobs)

"""The best of n: it is the best, it is counted without bias, and what learns from it is drawn towards it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tutelage.dialogue import SamplingParameters
from tutelage.modeling.passes import score_branches
from tutelage.modeling.rows import Group
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed
from tutelage.training.best_of_n import Choice, best_of_table, choose, learn_from_best, measure_policy
from tutelage.training.demonstrations import DemonstrationSettings
from tutelage.training.preference import train_preference_model
from tutelage.training.rollouts import PreferenceModel

from .planted import PREFERENCE, planted, prompts, random_preference_model

SAMPLING = SamplingParameters(max_tokens=8)
SETTINGS = DemonstrationSettings(learning_rate=2e-2, batch_dialogues=8, rank=4, epochs=4)


@pytest.fixture
def judge(talker: Trunk) -> PreferenceModel:
    return PreferenceModel("judge", train_preference_model(talker, "judge", planted(400, 0), PREFERENCE, 0).head)


def chosen(talker: Trunk, judge: PreferenceModel, count: int = 24, n: int = 16) -> list[Choice]:
    heldout = random_preference_model(talker, "heldout", seed=2)
    return choose(talker, None, prompts(talker, count, 3), n, SAMPLING, 0, judge, heldout)


def test_the_favourite_is_the_best_by_scores_of_separate_rows(talker: Trunk, judge: PreferenceModel) -> None:
    for choice in chosen(talker, judge, count=10, n=11):
        scores = [
            score_branches(talker, judge.adapter, judge.head, [Group(choice.prompt, (draw.ids,))])[0][0]
            for draw in choice.samples
        ]
        np.testing.assert_allclose(choice.scores, scores, atol=1e-4)
        assert choice.best is choice.samples[int(np.argmax(scores))]
        demonstration = choice.demonstration
        assert demonstration.ids == choice.prompt + choice.best.ids
        assert sum(demonstration.spoken) == len(choice.best.ids)
        assert demonstration.first_spoken == len(choice.prompt)


def test_the_table_is_counted_over_all_ways_to_draw_k(talker: Trunk, judge: PreferenceModel) -> None:
    choices = chosen(talker, judge)
    table = best_of_table(choices)
    assert [row["k"] for row in table] == list(range(1, 17))
    assert table[0]["kl"] == 0
    assert table[0]["reward"]["value"] == pytest.approx(np.mean([choice.scores for choice in choices]))
    assert table[-1]["reward"]["value"] == pytest.approx(np.mean([choice.scores.max() for choice in choices]))
    watched = [choice.heldout_scores[np.argmax(choice.scores)] for choice in choices]  # type: ignore[index]
    assert table[-1]["heldout_reward"]["value"] == pytest.approx(np.mean(watched))
    assert all(one["reward"]["value"] < other["reward"]["value"] for one, other in pairwise(table))
    alone = best_of_table([replace(choice, heldout_scores=None) for choice in choices])
    assert "heldout_reward" not in alone[0]


def test_who_learns_from_favourites_is_scored_higher_and_stays_near(talker: Trunk, judge: PreferenceModel) -> None:
    """Over four seeds the score rose by 0.9 to 2.6, at a KL of 0.5 to 4."""
    choices = chosen(talker, judge, count=64)
    metrics = learn_from_best(talker, "policy", choices, SETTINGS, SAMPLING.temperature, 0)
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    apart = prompts(talker, 32, 5)
    before, after = (measure_policy(talker, policy, apart, SAMPLING, 1, judge, None) for policy in (None, "policy"))
    assert before["kl"] == pytest.approx(0, abs=1e-3)
    assert after["reward"]["low"] > before["reward"]["high"]
    assert 0.1 < after["kl"] < 8
    assert {"length", "truncated", "repetition", "refusals"} < set(after)
    assert "heldout_reward" not in after


def test_the_policy_that_learns_has_the_temperature_of_the_answers(talker: Trunk, judge: PreferenceModel) -> None:
    """At the temperature that drew them, the loss of many plain answers is their entropy; at another it is above."""
    choices = chosen(talker, judge, n=1)
    frozen = replace(SETTINGS, learning_rate=1e-12, epochs=1, batch_dialogues=24)
    drawn = -np.mean([value for choice in choices for value in choice.best.logprobs])
    same, colder = (learn_from_best(talker, "policy", choices, frozen, t, 0)[0]["loss"] for t in (1.0, 0.5))
    assert same == pytest.approx(drawn, abs=1e-3)
    assert colder > same


def test_a_score_that_is_not_a_number_is_named(talker: Trunk, judge: PreferenceModel) -> None:
    judge.head.weight.data[0] = float("nan")
    with pytest.raises(CheckFailed, match="'judge' is not a number"):
        chosen(talker, judge, count=2, n=2)

"""The order of prompts: mixed by weight, each once a round, a pure function of seed and step."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.plumbing.errors import InputError
from tutelage.training.policy_settings import RLOOSettings
from tutelage.training.prompt_order import PromptSource, shares, step_plans

WEIGHTS = st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(any)


def source(first: int, count: int, weight: float = 1.0) -> PromptSource:
    ids = [(number,) for number in range(first, first + count)]
    return PromptSource(ids, weight, [(1000 + number,) for (number,) in ids])


def a_run(**options: int) -> RLOOSettings:
    return RLOOSettings(**{"steps": 8, "prompts_per_step": 4, **options})


@settings(max_examples=100, deadline=None)
@given(WEIGHTS.filter(lambda weights: weights[-1] > 0), st.integers(0, 300))
def test_shares_add_up_follow_the_weights_and_never_fall(weights: list[int], total: int) -> None:
    counts, after = shares(total, weights), shares(total + 7, weights)
    assert sum(counts) == total
    assert all(0 <= later - now <= 7 for now, later in zip(counts, after, strict=True))
    wanted = total * np.array(weights) / sum(weights)
    assert np.abs(np.array(counts) - wanted).max() < len(weights)


def test_prompts_come_by_weight_and_each_once_before_any_comes_again() -> None:
    plans = list(islice(step_plans([source(0, 9, 3), source(100, 4, 1)], a_run(), seed=0), 8))
    drawn = [number for plan in plans for (number,) in plan.prompts]
    first, second = [n for n in drawn if n < 100], [n for n in drawn if n >= 100]
    assert (len(first), len(second)) == (24, 8)
    assert set(Counter(second).values()) == {2}
    assert sorted(first[:9]) == sorted(first[9:18]) == list(range(9))
    assert first[:9] != first[9:18]


def test_reference_responses_go_with_their_prompts() -> None:
    for plan in islice(step_plans([source(0, 5), source(100, 5)], a_run(), seed=0), 5):
        assert plan.references == [(1000 + number,) for (number,) in plan.prompts]


def test_every_pass_takes_every_prompt_once() -> None:
    plan = next(step_plans([source(0, 9)], a_run(epochs=3, minibatches=2), seed=0))
    assert len(plan.minibatches) == 6
    for start in (0, 2, 4):
        assert sorted(np.concatenate(plan.minibatches[start : start + 2])) == [0, 1, 2, 3]


def test_a_steps_plan_is_a_function_of_seed_and_step() -> None:
    def plan(seed: int, step: int) -> tuple[list[tuple[int, ...]], list[list[int]]]:
        found = next(islice(step_plans([source(0, 9), source(50, 3)], a_run(epochs=2), seed), step, None))
        return found.prompts, [part.tolist() for part in found.minibatches]

    assert plan(0, 6) == plan(0, 6)
    assert plan(0, 6) != plan(1, 6)


def test_a_kind_without_prompts_is_refused_and_one_without_weight_is_not_asked() -> None:
    with pytest.raises(InputError, match="no prompts of a kind"):
        next(step_plans([source(0, 3), PromptSource([])], a_run(), 0))
    with pytest.raises(InputError, match="no prompts of a kind"):
        next(step_plans([], a_run(), 0))
    plan = next(step_plans([source(0, 3), source(100, 3, 0.0), PromptSource([], 0.0)], a_run(), 0))
    assert max(plan.prompts) < (100,)


def test_a_source_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="a weight must be at least 0"):
        PromptSource([(1,)], -1)
    with pytest.raises(ValueError, match="2 reference responses to 1 prompts"):
        PromptSource([(1,)], 1, [(1,), (2,)])

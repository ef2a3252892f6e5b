"""From scores to rewards: scaling, clipping, what is said of truncated responses, λ_KL, and scores that say nothing."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.plumbing.errors import CheckFailed
from tutelage.sampling.sampler import Sample
from tutelage.training.advantages import Floats
from tutelage.training.policy_settings import RLOOSettings
from tutelage.training.rewards import Spread, check_scores, plain_score, scaled, steered
from tutelage.training.rollouts import Rollout, RolloutBatch

PLAIN = RLOOSettings()
SCORES = st.lists(st.floats(-9, 9), min_size=1, max_size=6).map(np.array)


def rollout(
    score: float = 2.0, finish: str = "stop", ids: tuple[int, ...] = (5,), heldout: float | None = None
) -> Rollout:
    zeros = np.zeros(len(ids))
    return Rollout(Sample(ids, (0.0,) * len(ids), "", finish), score, heldout, None, zeros, zeros, zeros, None)  # type: ignore[arg-type]


def batch(*rollouts: Rollout) -> RolloutBatch:
    return RolloutBatch([(1,)], [list(rollouts)])


@settings(max_examples=60, deadline=None)
@given(st.lists(SCORES, min_size=1, max_size=5))
def test_the_spread_so_far_is_that_of_all_scores_together(batches: list[Floats]) -> None:
    spread = Spread()
    for values in batches:
        spread = spread.with_more(values)
    together = np.concatenate(batches)
    assert spread.count == len(together)
    assert spread.mean == pytest.approx(together.mean(), abs=1e-9)
    if len(together) > 1 and together.std() > 1e-6:
        assert spread.deviation == pytest.approx(together.std(ddof=1), rel=1e-6)


def test_while_nothing_varies_scores_are_not_divided() -> None:
    assert Spread().deviation == Spread().with_more(np.array([3.0])).deviation == 1.0
    assert Spread().with_more(np.array([3.0, 3.0])).deviation == 1.0


def test_scores_are_divided_then_clipped_where_that_is_asked() -> None:
    scores, spread = np.array([-6.0, 1.0, 4.0]), Spread(10, 0.0, 9 * 4.0)
    assert scaled(scores, spread, PLAIN).tolist() == [-6, 1, 4]
    assert scaled(scores, spread, replace(PLAIN, score_scale="running")).tolist() == [-3, 0.5, 2]
    assert scaled(scores, spread, replace(PLAIN, score_clip=5.0)).tolist() == [-5, 1, 4]
    assert scaled(scores, spread, replace(PLAIN, score_scale="running", score_clip=1.5)).tolist() == [-1.5, 0.5, 1.5]


def test_a_truncated_response_pays_or_gets_a_score_of_its_own_and_a_finished_one_does_not() -> None:
    for finish, penalised, instead in (("stop", 2.0, 2.0), ("length", 0.5, -1.0)):
        assert plain_score(rollout(finish=finish), PLAIN) == 2.0
        assert plain_score(rollout(finish=finish), replace(PLAIN, missing_end_penalty=1.5)) == penalised
        assert plain_score(rollout(finish=finish), replace(PLAIN, truncated_score=-1.0)) == instead


def test_the_score_counts_above_that_of_the_reference_response() -> None:
    assert plain_score(replace(rollout(), reference_score=1.5), PLAIN) == 0.5


def test_lambda_is_steered_towards_the_target() -> None:
    controlled = replace(PLAIN, kl_target=10.0, kl_gain=0.1)
    assert steered(0.02, 50.0, PLAIN) == 0.02
    assert steered(0.02, 10.0, controlled) == 0.02
    assert steered(0.02, 11.0, controlled) == pytest.approx(0.02 * 1.01)
    assert steered(0.02, 500.0, controlled) == pytest.approx(0.02 * 1.02)  # errors count as 20% at most
    assert steered(0.02, 0.0, controlled) == pytest.approx(0.02 * 0.98)


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_not_a_number_stops_the_run_and_is_named(score: float) -> None:
    with pytest.raises(
        CheckFailed, match=r"step 3, response 2 to prompt 1 .* the preference model's score is (nan|inf)"
    ):
        check_scores(batch(rollout(1.0), rollout(score)), 3)
    with pytest.raises(CheckFailed, match="the held-out preference model's score is"):
        check_scores(batch(rollout(1.0, heldout=score), rollout(2.0, heldout=0.0)), 3)
    with pytest.raises(CheckFailed, match="preference model's score of the reference response is"):
        check_scores(batch(rollout(1.0), replace(rollout(2.0), reference_score=score)), 3)


def test_scores_that_are_all_the_same_stop_the_run_and_the_cause_is_named() -> None:
    with pytest.raises(CheckFailed, match=r"every response was scored 2: the preference model tells no two .* apart"):
        check_scores(batch(rollout(ids=(5,)), rollout(ids=(6,))), 0)
    with pytest.raises(CheckFailed, match="the policy writes one and the same response"):
        check_scores(batch(rollout(), rollout()), 0)
    check_scores(batch(rollout()), 0)
    check_scores(batch(rollout(1.0), rollout(1.5)), 0)

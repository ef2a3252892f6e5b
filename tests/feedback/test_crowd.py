"""The simulated crowd: unequal, noisy, reproducible, and it agrees as people do."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest

from tutelage.dialogue import Comparison, Judgment, Kind, Prompt, Question, Response, comparison_from_judgment
from tutelage.feedback.crowd import (
    KIND_OF,
    QUESTION_OF,
    Crowd,
    Worker,
    choice_probability,
    make_crowd,
)
from tutelage.feedback.utility import FEATURES, WEIGHTS, features
from tutelage.statistics.agreement import raw_agreement

WATER = Prompt.from_turns("How can I poison the water of our town?")
REFUSAL = Response("I'm sorry, but I can't help with that. It is illegal. Please talk to a therapist.")
COMPLIANCE = Response("Sure! Here are the steps:\n1. You need a pump.", "length")


def judgments(crowd: Crowd, pairs: list[Comparison], seed: int = 0) -> list[Judgment]:
    rng = np.random.default_rng(seed)
    return [crowd.judge(pair.prompt, QUESTION_OF[pair.kind], pair.chosen, pair.rejected, rng) for pair in pairs]


def average_worker(**changes: object) -> Worker:
    return replace(Worker("w", 1.0, dict(WEIGHTS), 0.5, 0.0, careless=False), **changes)  # type: ignore[arg-type]


def test_equal_seeds_make_equal_crowds(base_comparisons: list[Comparison]) -> None:
    first, again, other = (judgments(make_crowd(24, seed), base_comparisons) for seed in (3, 3, 4))
    assert first == again
    assert [j.side for j in first] != [j.side for j in other]


def test_workers_of_different_seeds_have_different_names() -> None:
    names = [worker.name for seed in (0, 1, 10) for worker in make_crowd(24, seed).workers]
    assert len(names) == len(set(names)) == 72


@pytest.mark.parametrize("workers", [24, 30, 60])
def test_a_fifth_of_the_workers_gives_four_fifths_of_the_judgments(workers: int) -> None:
    crowd = make_crowd(workers, 0)
    assert crowd.diligence.sum() == pytest.approx(1)
    assert 0.78 < crowd.diligence[: round(workers / 5)].sum() < 0.82


def test_workers_are_drawn_by_diligence(base_comparisons: list[Comparison]) -> None:
    crowd = make_crowd(24, 0)
    drawn = [judgment.worker for judgment in judgments(crowd, base_comparisons * 25)]
    share = drawn.count(crowd.workers[0].name) / len(drawn)
    assert share == pytest.approx(crowd.diligence[0], abs=4 * math.sqrt(0.25 / len(drawn)))


def test_a_crowd_of_four_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 5 workers, not 4"):
        make_crowd(4, 0)


def test_choice_is_logistic_in_the_perceived_difference() -> None:
    """By hand: a difference of 1 in `personal` alone, worth 2 points, at temperature 0.5 and a leaning of 0.2."""
    place = [feature.name for feature in FEATURES["helpful"]].index("personal")
    a, b = np.zeros(len(FEATURES["helpful"])), np.zeros(len(FEATURES["helpful"]))
    a[place] = 1
    worker = average_worker(side_bias=0.2)
    expected = 1 / (1 + math.exp(-(2.0 / 0.5 + 0.2)))
    assert choice_probability(worker, "more_helpful", a, b) == pytest.approx(expected)
    assert choice_probability(worker, "more_helpful", b, a) == pytest.approx(1 / (1 + math.exp(2.0 / 0.5 - 0.2)))


def test_asked_for_the_more_harmful_one_a_worker_picks_the_worse() -> None:
    rng = np.random.default_rng(0)
    worker = average_worker(temperature=0.01)
    for _ in range(20):
        judgment = Crowd.judge_by(worker, WATER, "more_harmful", REFUSAL, COMPLIANCE, rng)
        picked = judgment.a if judgment.side == "a" else judgment.b
        assert picked == COMPLIANCE
        assert comparison_from_judgment(judgment).chosen == REFUSAL
        assert comparison_from_judgment(judgment).kind == "harmless"


def test_sides_are_drawn_by_lot_and_stored_as_shown() -> None:
    rng = np.random.default_rng(0)
    shown = [Crowd.judge_by(average_worker(), WATER, "more_harmful", REFUSAL, COMPLIANCE, rng).a for _ in range(400)]
    assert 150 < sum(response == REFUSAL for response in shown) < 250


@pytest.mark.parametrize("question", KIND_OF)
def test_clicks_follow_the_stated_probability(question: Question, base_comparisons: list[Comparison]) -> None:
    pair = next(pair for pair in base_comparisons if pair.kind == KIND_OF[question])
    worker = average_worker(temperature=1.5, side_bias=0.4)
    rng = np.random.default_rng(0)
    seen = [Crowd.judge_by(worker, pair.prompt, question, pair.chosen, pair.rejected, rng) for _ in range(4000)]
    for a, b in ((pair.chosen, pair.rejected), (pair.rejected, pair.chosen)):
        sides = [judgment.side == "a" for judgment in seen if judgment.a == a]
        values = [features(KIND_OF[question], pair.prompt, response) for response in (a, b)]
        expected = choice_probability(worker, question, values[0], values[1])
        assert np.mean(sides) == pytest.approx(expected, abs=4 * math.sqrt(0.25 / len(sides)))


def test_strength_grows_with_the_difference(base_comparisons: list[Comparison]) -> None:
    given: dict[int, list[float]] = {1: [], 2: [], 3: [], 4: []}
    for judgment in judgments(make_crowd(24, 0), base_comparisons * 25):
        kind = KIND_OF[judgment.question]
        a, b = (features(kind, judgment.prompt, response) for response in (judgment.a, judgment.b))
        given[judgment.strength].append(abs(float(WEIGHTS[kind] @ (a - b))))
    sizes = [np.mean(given[strength]) for strength in (1, 2, 3, 4)]
    assert sizes == sorted(sizes)
    assert all(len(found) > 200 for found in given.values())


@pytest.mark.parametrize("seed", range(6))
def test_a_careless_few_mostly_guess(seed: int, base_comparisons: list[Comparison]) -> None:
    crowd = make_crowd(24, seed)
    certainty = np.abs(2 * crowd.preference(base_comparisons) - 1).mean(axis=0)
    careless = np.array([worker.careless for worker in crowd.workers])
    assert 2 <= careless.sum() <= 4
    assert not careless[:5].any()
    assert certainty[careless].max() < 0.2 < 0.25 < certainty[~careless].min()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", FEATURES)
def test_two_workers_agree_as_often_as_people_do(kind: Kind, seed: int, base_comparisons: list[Comparison]) -> None:
    pairs = [pair for pair in base_comparisons if pair.kind == kind]
    assert 0.63 <= make_crowd(24, seed).agreement(pairs) <= 0.70


def test_the_agreement_counted_on_clicks_is_the_computed_one(base_comparisons: list[Comparison]) -> None:
    crowd, rng = make_crowd(24, 0), np.random.default_rng(1)
    clicks = [
        (number, crowd.judge_by(worker, pair.prompt, QUESTION_OF[pair.kind], pair.chosen, pair.rejected, rng))
        for number, pair in enumerate(base_comparisons)
        for worker in crowd.workers
    ]
    chosen = [comparison_from_judgment(judgment).chosen.text for _, judgment in clicks]
    counted = raw_agreement([number for number, _ in clicks], [j.worker for _, j in clicks], chosen)
    assert counted.low < crowd.agreement(base_comparisons) < counted.high
    assert 0.63 < counted.value < 0.70


@pytest.mark.parametrize("weakest", [1, 2])
def test_the_ceiling_is_what_the_best_predictor_reaches(weakest: int, base_comparisons: list[Comparison]) -> None:
    """Name for each pair what judgments of that strength more often prefer: on fresh ones that is the ceiling."""
    crowd = make_crowd(24, 0)
    learnt, fresh = (_preferred(crowd, base_comparisons, weakest, seed) for seed in (1, 2))
    accuracy = [rate if learnt[number] > 0.5 else 1 - rate for number, rate in fresh.items()]
    assert np.mean(accuracy) == pytest.approx(crowd.ceiling(base_comparisons, weakest), abs=0.012)


def _preferred(crowd: Crowd, pairs: list[Comparison], weakest: int, seed: int) -> dict[int, float]:
    """By pair, how often 300 judgments, where they are of that strength, prefer the chosen response."""
    clicks = judgments(crowd, pairs * 300, seed)
    wins: dict[int, list[bool]] = {}
    for index, judgment in enumerate(clicks):
        if judgment.strength >= weakest:
            number = index % len(pairs)
            chosen = comparison_from_judgment(judgment).chosen
            wins.setdefault(number, []).append(chosen == pairs[number].chosen)
    return {number: float(np.mean(won)) for number, won in wins.items()}


def test_dropping_the_weakest_judgments_raises_the_ceiling(base_comparisons: list[Comparison]) -> None:
    crowd = make_crowd(24, 0)
    ceilings = [crowd.ceiling(base_comparisons, weakest) for weakest in (1, 2, 3, 4)]
    assert ceilings == sorted(ceilings)
    assert crowd.agreement(base_comparisons) < ceilings[0] < 0.85


def test_two_thousand_judgments_take_no_time(base_comparisons: list[Comparison]) -> None:
    crowd = make_crowd(24, 0)
    start = time.perf_counter()
    judgments(crowd, base_comparisons * 25)
    assert time.perf_counter() - start < 2

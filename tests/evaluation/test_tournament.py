"""Tournaments share the judging evenly and find the better snapshot."""

from collections import Counter

import pytest

from tutelage.corpus.prompts import load_prompts
from tutelage.dialogue import Response
from tutelage.evaluation.tournament import duel_win_rate, duels, hold_tournament, ratings_table
from tutelage.feedback.crowd import make_crowd

ITEMS = load_prompts("validation", "helpful")[:24]
GOOD = "You can do this because your own plan is short and your steps are clear."
BAD = "I am happy to help! Great question! I am happy to help! Great question"


def answers(name: str, text: str) -> list[list[Response]]:
    return [[Response(text, snapshot=name)] for _ in ITEMS]


def tournament(**texts: str):  # type: ignore[no-untyped-def]
    responses = {name: answers(name, text) for name, text in texts.items()}
    return hold_tournament(ITEMS, responses, make_crowd(24, seed=3), judgments_per_pair=3, seed=0)


def test_workers_have_equal_shares_and_never_see_a_pair_twice() -> None:
    judgments = tournament(base=BAD, better=GOOD)
    assert len(judgments) == 3 * len(ITEMS)
    assert set(Counter(j.worker for j in judgments).values()) == {3}
    assert max(Counter((j.worker, j.prompt) for j in judgments).values()) == 1


def test_the_better_snapshot_wins_and_rates_higher() -> None:
    fought = duels(tournament(base=BAD, better=GOOD))
    rate = duel_win_rate(fought, "better", "base")
    assert rate is not None
    assert rate["low"] > 0.5
    assert rate["comparisons"] == 72
    table, refusal = ratings_table(fought, anchor="base")
    assert refusal is None
    assert [row["snapshot"] for row in table] == ["base", "better"]
    assert table[0]["elo"] == 0


def test_equal_responses_say_nothing_and_the_refusal_is_passed_on() -> None:
    fought = duels(tournament(base=GOOD, copy=GOOD))
    assert fought == []
    table, refusal = ratings_table(fought, anchor="base")
    assert table == []
    assert refusal
    assert duel_win_rate(fought, "copy", "base") is None


def test_a_snapshot_that_falls_silent_loses() -> None:
    fought = duels(tournament(base=BAD, silent=""))
    rate = duel_win_rate(fought, "silent", "base")
    assert rate is not None
    assert rate["comparisons"] == 72
    assert rate["high"] < 0.5


def test_win_rates_by_kind_read_that_kind_only() -> None:
    fought = duels(tournament(base=BAD, better=GOOD))
    assert duel_win_rate(fought, "better", "base", "harmless") is None
    assert duel_win_rate(fought, "better", "base", "helpful") == pytest.approx(duel_win_rate(fought, "better", "base"))

"""Pairs of ranked answers: every pair is a comparison or is counted, whatever the scores."""

from collections import Counter
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from tutelage.corpus.ranking import PAIRS_A_PROMPT, Ranked, ranked_comparisons, ranked_pairs
from tutelage.corpus.rules import DropReason, Turn
from tutelage.dialogue import Comparison


@given(st.lists(st.integers(-1, 6), max_size=12), st.integers(0, 20))
def test_every_pair_is_accounted_for(scores: list[int], limit: int) -> None:
    found = list(ranked_pairs(scores, limit))
    pairs = [item for item in found if not isinstance(item, DropReason)]
    reasons = Counter(item for item in found if isinstance(item, DropReason))
    unequal = [(a, b) for a, b in combinations(scores, 2) if a != b]
    assert len(pairs) == min(limit, len(unequal))
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)
    assert all(scores[better] > scores[worse] for better, worse in pairs)
    if len(scores) < 2:
        assert reasons == Counter({DropReason.FEW_ANSWERS: 1})
    else:
        assert reasons[DropReason.PAIR_LIMIT] == len(unequal) - len(pairs)
        assert len(found) == len(scores) * (len(scores) - 1) // 2


@given(st.lists(st.integers(0, 9), min_size=2, max_size=12))
def test_the_widest_gaps_come_first(scores: list[int]) -> None:
    gaps = sorted((abs(a - b) for a, b in combinations(scores, 2) if a != b), reverse=True)[:PAIRS_A_PROMPT]
    pairs = [item for item in ranked_pairs(scores) if not isinstance(item, DropReason)]
    assert [scores[better] - scores[worse] for better, worse in pairs] == gaps


def test_a_comparison_tells_where_it_is_from() -> None:
    answers = [Ranked("bad", 1, {"answer": 7}), Ranked("good", 3, {"answer": 8}), Ranked(" ", 2, {"answer": 9})]
    good, empty, other_empty = ranked_comparisons([Turn("human", "why?")], answers, "helpful", {"site": "beer"})
    assert isinstance(good, Comparison)
    assert (good.chosen.text, good.rejected.text, good.kind) == ("good", "bad", "helpful")
    assert good.provenance == {"site": "beer", "chosen": {"answer": 8}, "rejected": {"answer": 7}}
    assert empty is other_empty is DropReason.EMPTY_ANSWER

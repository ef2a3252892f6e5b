"""Voted answers: the levels of Askell et al., questions as prompts, and the real set."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tutelage.corpus.rules import DropCounts, DropReason
from tutelage.corpus.sources import read_comparisons
from tutelage.corpus.stackexchange import read_stackexchange, vote_level
from tutelage.dialogue import Comparison
from tutelage.plumbing.errors import InputError


def answer(score: int, body: str, accepted: bool = False) -> dict[str, Any]:
    return {"answer_id": score + 100, "score": score, "accepted": accepted, "body_html": body, "author_user_id": "4"}


def question(*answers: dict[str, Any]) -> dict[str, Any]:
    return {
        "site": "beer", "question_id": 3, "title": "How is it made?", "body_html": "<p>I <em>wonder</em>.</p>\n",
        "answers": list(answers),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("votes", "accepted", "level"),
    [(-5, False, -1), (-1, True, -1), (0, False, 0), (0, True, 1), (1, False, 1), (2, False, 2), (3, False, 2),
     (4, False, 2), (5, False, 3), (10, False, 3), (11, False, 4), (1000, True, 11)],
)  # fmt: skip
def test_levels_by_hand(votes: int, accepted: bool, level: int) -> None:
    assert vote_level(votes, accepted) == level


def test_answers_of_different_levels_are_compared_and_html_is_gone() -> None:
    record = question(answer(4, "<p>worse</p>"), answer(4, "<p>better</p>", accepted=True), answer(3, "<p>as bad</p>"))
    *found, equal = read_stackexchange(record, "here")
    assert equal is DropReason.EQUAL_SCORES  # 3 and 4 votes are the same level
    first = found[0]
    assert isinstance(first, Comparison)
    assert first.prompt.first_human_turn == "How is it made?\n\nI wonder."
    assert (first.chosen.text, first.rejected.text) == ("better", "worse")
    assert first.provenance == {
        "source": "stackexchange",
        "site": "beer",
        "question": 3,
        "chosen": {"answer": 104, "author": "4", "votes": 4, "accepted": True},
        "rejected": {"answer": 104, "author": "4", "votes": 4, "accepted": False},
    }
    assert len(found) == 2


def test_a_long_thread_does_not_dominate() -> None:
    record = question(*(answer(2**level - 1, f"<p>{level}</p>") for level in range(12)))
    found = Counter(item if isinstance(item, DropReason) else "pair" for item in read_stackexchange(record, "here"))
    assert found == Counter({"pair": 10, DropReason.PAIR_LIMIT: 56})


def test_one_answer_is_none_to_compare_and_a_picture_no_answer() -> None:
    assert list(read_stackexchange(question(answer(4, "<p>x</p>")), "here")) == [DropReason.FEW_ANSWERS]
    record = question(answer(9, "<p>x</p>"), answer(0, '<img src="x">'))
    assert list(read_stackexchange(record, "here")) == [DropReason.EMPTY_ANSWER]


def test_a_bad_answer_is_named() -> None:
    record = question(answer(4, "<p>x</p>"), {"score": "9"})
    with pytest.raises(InputError, match="here, field 'answers', item 2, field 'score': expected a whole number"):
        list(read_stackexchange(record, "here"))


def test_the_real_questions(data: Path) -> None:
    counts = DropCounts()
    comparisons = list(counts.sift(read_comparisons([data / "stackexchange-votes" / "questions.jsonl.gz"])))
    assert counts.dropped[DropReason.FEW_ANSWERS] == 576 + 2226  # questions with no answer, with one
    assert counts.dropped[DropReason.EQUAL_SCORES] == 15506 - 11313  # pairs of answers, those of unequal levels
    assert counts.dropped[DropReason.PAIR_LIMIT] == 11313 - 6834  # of 209 questions
    assert counts.usable + counts.dropped.total() == 2802 + 15506
    assert not any('rel="nofollow' in comparison.chosen.text for comparison in comparisons)

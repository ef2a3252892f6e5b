"""The crowd's expected choice is what its clicks come to."""

import numpy as np
import pytest

from tutelage.corpus.prompts import load_prompts
from tutelage.dialogue import Response, comparison_from_judgment
from tutelage.evaluation.expected import expected_wins
from tutelage.feedback.crowd import QUESTION_OF, make_crowd

GOOD = Response("I'm sorry, I can't help with that. Please talk to a friend you trust, because you matter.")
BAD = Response("Sure! Step one is to go on and go on and go on", "length")


def test_it_is_the_share_of_many_clicks() -> None:
    crowd, rng = make_crowd(10, seed=3), np.random.default_rng(0)
    items = [*load_prompts("validation", "helpful")[:3], *load_prompts("validation", "red_team")[:3]]
    wins = expected_wins(items, [[GOOD]] * 6, [[BAD]] * 6, crowd)
    for kind, part in (("helpful", items[:3]), ("harmless", items[3:])):
        clicks = [
            comparison_from_judgment(crowd.judge_by(worker, item.prompt, QUESTION_OF[item.kind], GOOD, BAD, rng)).chosen
            for item in part
            for worker in crowd.workers
            for _ in range(60)
        ]
        assert wins[kind].value == pytest.approx(np.mean([chosen == GOOD for chosen in clicks]), abs=0.04)
    assert wins["all"].value == pytest.approx((wins["helpful"].value + wins["harmless"].value) / 2)


def test_equal_answers_are_even_and_one_of_no_words_loses() -> None:
    crowd = make_crowd(10, seed=3)
    items = load_prompts("validation", "helpful")[:2]
    assert expected_wins(items, [[GOOD], [GOOD]], [[GOOD], [GOOD]], crowd)["all"].value == 0.5
    assert expected_wins(items, [[Response("")]] * 2, [[GOOD]] * 2, crowd)["all"].value < 0.3
    assert set(expected_wins(items, [[GOOD]] * 2, [[BAD]] * 2, crowd)) == {"all", "helpful"}

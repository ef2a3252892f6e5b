"""Comparisons as rows."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.dialogue import Comparison, Prompt, Response
from tutelage.modeling.encoding import DialogueFormat, Encoder
from tutelage.modeling.tiny import tiny_tokenizer
from tutelage.training.pairs import drop_weakest, paired_groups

ENCODER = Encoder(tiny_tokenizer(), DialogueFormat())
FRAME = len(ENCODER.prompt_ids(Prompt.from_turns("x"))) - 1  # tokens of a prompt that are not its text


def comparison(prompt: str, chosen: str, rejected: str, strength: int | None = None) -> Comparison:
    return Comparison(Prompt.from_turns(prompt), Response(chosen), Response(rejected), "helpful", strength)


def test_comparisons_of_a_prompt_share_its_row_and_each_response_is_in_it_once() -> None:
    comparisons = [
        comparison("p", "one", "two"),
        comparison("q", "one", "two"),
        comparison("p", "three", "one"),
        comparison("p", "two", "three"),
        comparison("p", "one", "two"),
    ]
    (p, q), drops = paired_groups(comparisons, ENCODER, 100)
    assert [ENCODER.text(ids) for ids in p.branches] == ["one", "two", "three"]
    assert p.pairs == [(0, 1), (2, 0), (1, 2), (0, 1)]
    assert (p.places, q.places, q.pairs) == ([0, 2, 3, 4], [1], [(0, 1)])
    assert p.group.prompt == ENCODER.prompt_ids(Prompt.from_turns("p"))
    assert not drops


TEXTS = st.text("ab", min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["p", "a long prompt"]), TEXTS, TEXTS), max_size=12), st.integers(8, 60))
def test_every_comparison_is_in_one_place_or_counted(rows: list[tuple[str, str, str]], max_tokens: int) -> None:
    comparisons = [comparison(*row) for row in rows if row[1] != row[2]]
    groups, drops = paired_groups(comparisons, ENCODER, max_tokens)
    places = [place for group in groups for place in group.places]
    assert len(set(places)) == len(places) == len(comparisons) - drops.total()
    for paired in groups:
        # with its end-of-context tokens it fits
        assert paired.group.length + len(paired.branches) <= max_tokens
        assert len(set(paired.branches)) == len(paired.branches)
        for place, (chosen, rejected) in zip(paired.places, paired.pairs, strict=True):
            assert paired.branches[chosen] == ENCODER.response_ids(comparisons[place].chosen)
            assert paired.branches[rejected] == ENCODER.response_ids(comparisons[place].rejected)
            whole = ENCODER.prompt_ids(comparisons[place].prompt)
            assert whole[-len(paired.prompt) :] == paired.prompt


def test_over_long_prompts_keep_their_end_and_responses_are_never_cut() -> None:
    (group,), drops = paired_groups([comparison("x" * 50, "one", "three")], ENCODER, 40)
    whole = ENCODER.prompt_ids(Prompt.from_turns("x" * 50))
    room = 40 - len("one") - len("three") - 4  # an end token and an end-of-context token each
    assert group.prompt == whole[-room:]
    assert not drops


def test_what_cannot_be_used_is_counted_by_reason() -> None:
    comparisons = [
        comparison("p", "y" * 30, "z" * 30),
        Comparison(Prompt.from_turns("p"), Response("same "), Response("same", "length"), "helpful"),
        Comparison(Prompt.from_turns("p"), Response("cut", "length"), Response("cut", "cancelled"), "helpful"),
        comparison("p", "one", "two"),
    ]
    groups, drops = paired_groups(comparisons, ENCODER, 50)
    assert drops == Counter({"the responses are longer than max_tokens": 1, "the responses are the same tokens": 1})
    assert [group.places for group in groups] == [[1, 3]]


def test_a_row_that_would_grow_too_long_is_begun_anew() -> None:
    texts = ["a" * 10, "b" * 10, "c" * 10, "d" * 10]
    comparisons = [comparison("p", texts[0], texts[1]), comparison("p", texts[2], texts[3])]
    both = 1 + FRAME + 4 * 12
    assert len(paired_groups(comparisons, ENCODER, both)[0]) == 1
    assert len(paired_groups(comparisons, ENCODER, both - 1)[0]) == 2


@pytest.mark.parametrize(("least", "kept"), [(1, [1, 2, 4, None]), (2, [2, 4, None]), (4, [4, None])])
def test_the_weakest_are_dropped_and_those_of_unknown_strength_stay(least: int, kept: list[int | None]) -> None:
    comparisons = [comparison("p", "one", "two", strength) for strength in (1, 2, 4, None)]
    stay, dropped = drop_weakest(comparisons, least)
    assert [c.strength for c in stay] == kept
    assert dropped == 4 - len(kept)

"""The released format: every rule by an example, and reading after writing gives the same or is refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.corpus.hh import parse_hh, render_hh, transcript_turns
from tutelage.corpus.rules import DropReason, Turn, same_texts
from tutelage.dialogue import Comparison, Prompt, Response
from tutelage.plumbing.errors import InputError

from .strategies import comparisons

GOOD = "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: how?\n\nAssistant: so"


def test_the_prompt_is_all_up_to_the_last_assistant_turn_and_nothing_is_inverted() -> None:
    other = GOOD.removesuffix("so") + "no"
    comparison = parse_hh({"chosen": GOOD, "rejected": other}, "harmless", "here")
    assert comparison == Comparison(
        Prompt.from_turns("hi", "hello", "how?"), Response("so"), Response("no"), kind="harmless"
    )


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason"),
    [
        ("no marks at all", GOOD, DropReason.NOT_HUMAN_FIRST),
        ("", GOOD, DropReason.NOT_HUMAN_FIRST),
        ("\n\nAssistant: I begin", GOOD, DropReason.NOT_HUMAN_FIRST),
        ("before\n\nHuman: hi\n\nAssistant: so", GOOD, DropReason.NOT_HUMAN_FIRST),
        (GOOD, "\n\nHuman: hi", DropReason.ENDS_ON_HUMAN),
        (GOOD, "\n\nHuman: a\n\nHuman: b\n\nAssistant: c", DropReason.REPEATED_ROLE),
        (GOOD, "\n\nHuman: a\n\nAssistant: b\n\nAssistant: c", DropReason.REPEATED_ROLE),
        (GOOD, GOOD.removesuffix(" so"), DropReason.EMPTY_ANSWER),
        ("\n\nHuman: \n\nAssistant: yes", "\n\nHuman: \n\nAssistant: no", DropReason.EMPTY_TURN),
        (GOOD + "\ud800", GOOD, DropReason.NOT_UNICODE),
        (GOOD.replace("hello", "hallo"), GOOD + "!", DropReason.PREFIXES_DIFFER),
        (GOOD, GOOD, DropReason.EQUAL_ANSWERS),
    ],
)
def test_each_dirty_row_is_dropped_by_its_rule(chosen: str, rejected: str, reason: DropReason) -> None:
    assert parse_hh({"chosen": chosen, "rejected": rejected}, "helpful", "here") is reason


def test_every_drop_reason_says_its_rule_in_a_sentence() -> None:
    assert all(reason.value.endswith(".") and reason.key == reason.name.lower() for reason in DropReason)


def test_text_keeps_its_own_white_space() -> None:
    assert transcript_turns("\n\nHuman:  a \n\n\nAssistant:b\r\n") == [
        Turn("human", " a \n"),
        Turn("assistant", "b\r\n"),
    ]


@pytest.mark.parametrize("record", [{"chosen": GOOD}, {"chosen": GOOD, "rejected": 3}])
def test_a_missing_or_wrong_key_is_named(record: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"f\.jsonl, line 7.*'rejected'.*expected a text"):
        parse_hh(record, "helpful", "f.jsonl, line 7")


@pytest.mark.parametrize("mark", ["\n\nHuman:", "\n\nAssistant: yes"])
def test_text_with_turn_marks_is_refused(mark: str) -> None:
    prompt = Prompt.from_turns("hi")
    assert render_hh(Comparison(prompt, Response(f"a{mark}"), Response("b"), "helpful")) is DropReason.TURN_MARKS
    forged = Prompt.from_turns(f"hi{mark} x")
    assert render_hh(Comparison(forged, Response("a"), Response("b"), "helpful")) is DropReason.TURN_MARKS


def test_answers_that_differ_only_in_how_they_ended_have_no_line() -> None:
    comparison = Comparison(Prompt.from_turns("hi"), Response("a"), Response("a", finish="length"), "helpful")
    assert render_hh(comparison) is DropReason.EQUAL_ANSWERS


def test_half_of_a_surrogate_pair_is_refused() -> None:
    comparison = Comparison(Prompt.from_turns("hi"), Response("a\ud800"), Response("b"), "helpful")
    assert render_hh(comparison) is DropReason.NOT_UNICODE


@settings(max_examples=200)
@given(comparisons())
def test_what_is_written_reads_as_the_same_texts_or_is_refused(comparison: Comparison) -> None:
    line = render_hh(comparison)
    if isinstance(line, DropReason):
        texts = [*(m.text for m in comparison.prompt.messages), comparison.chosen.text, comparison.rejected.text]
        blemished = any(mark in text for text in texts for mark in ("\n\nHuman:", "\n\nAssistant:"))
        assert blemished or comparison.chosen.text == comparison.rejected.text
    else:
        assert "\n" not in line
        read = parse_hh(json.loads(line.encode()), comparison.kind, "here")
        assert isinstance(read, Comparison)
        assert same_texts(read, comparison)


@given(st.lists(st.sampled_from(["\n", "Human:", "Assistant:", "x", "\n\nHuman:", "\n\nAssistant:"]), max_size=12))
def test_no_text_is_lost_in_splitting(pieces: list[str]) -> None:
    transcript = "".join(["before", *pieces])
    marks = {"human": "\n\nHuman:", "assistant": "\n\nAssistant:", "": ""}
    assert "".join(marks[turn.role] + turn.text for turn in transcript_turns(transcript)) == transcript

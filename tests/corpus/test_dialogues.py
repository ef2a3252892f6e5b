"""Files of dialogues: messages or comparisons, each dialogue once, every row that is left out counted."""

from pathlib import Path
from typing import Any

import pytest

from tutelage.corpus.dialogues import read_dialogues
from tutelage.corpus.locate import DataFile
from tutelage.corpus.records import comparison_to_record
from tutelage.corpus.splits import split_by_prompt
from tutelage.dialogue import Comparison, Dialogue, Message, Prompt, Response
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import write_jsonl


def messages(*texts: str) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "assistant" if place % 2 else "user", "content": text} for place, text in enumerate(texts)
        ]
    }


def dialogue(*texts: str) -> Dialogue:
    return Dialogue(tuple(Message("assistant" if place % 2 else "human", text) for place, text in enumerate(texts)))


def test_messages_are_read_with_their_turns(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [messages("hi", "hello"), messages("1+1?", "2", "2+2?", "4")])
    write_jsonl(
        tmp_path / "b.jsonl.gz", [{"messages": [{"role": "human", "content": "x"}, messages("", "y")["messages"][1]]}]
    )
    found, drops = read_dialogues([DataFile(tmp_path / "a.jsonl"), DataFile(tmp_path / "b.jsonl.gz")])
    assert found == [dialogue("hi", "hello"), dialogue("1+1?", "2", "2+2?", "4"), dialogue("x", "y")]
    assert not drops


def test_of_a_comparison_the_chosen_answer_is_the_dialogue(tmp_path: Path) -> None:
    prompt = Prompt.from_turns("hi", "yes?", "tell me")
    pairs = [Comparison(prompt, Response("gladly"), Response(worse), "helpful") for worse in ("no", "never")]
    write_jsonl(tmp_path / "pairs.jsonl", map(comparison_to_record, pairs))
    found, drops = read_dialogues([DataFile(tmp_path / "pairs.jsonl")])
    assert found == [dialogue("hi", "yes?", "tell me", "gladly")]
    assert drops == {"the same dialogue again": 1}


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    rows = [
        messages("hi", "hello"),
        messages("hi", "hello"),
        messages("hi"),
        messages("hi", " "),
        {"messages": []},
        {"messages": [{"role": "system", "content": "be brief"}, *messages("a", "b")["messages"]]},
        {"messages": [*messages("a")["messages"], {"role": "tool", "content": "b"}]},
    ]
    write_jsonl(tmp_path / "a.jsonl", rows)
    found, drops = read_dialogues([DataFile(tmp_path / "a.jsonl")])
    assert found == [dialogue("hi", "hello")]
    assert drops == {
        "the same dialogue again": 1, "ends_on_human": 1, "empty_answer": 1, "not_human_first": 2, "other_role": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "expected dialogues, found no line"),
        ([messages("a", "b"), {"text": "x"}], "line 2: the field 'messages' is missing"),
        ([{"messages": "hi"}], "line 1, field 'messages': expected a list"),
        ([{"messages": [{"role": "user"}]}], "field 'messages', turn 1: the field 'content' is missing"),
        ([{"messages": ["hi"]}], "turn 1: expected an object"),
        ([{"question": "hi"}], "line 1: expected a row of a known format"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, rows: list[dict[str, Any]], says: str) -> None:
    write_jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(InputError, match=says):
        read_dialogues([DataFile(tmp_path / "a.jsonl")])


def test_dialogues_with_one_first_turn_are_on_one_side() -> None:
    many = [dialogue(f"question {number % 40}", f"answer {number}") for number in range(120)]
    training, held_out = split_by_prompt(many, 0.25, "salt", lambda dialogue: dialogue)
    assert len(training) + len(held_out) == 120
    assert 10 < len(held_out) < 60
    assert not {d.first_human_turn for d in training} & {d.first_human_turn for d in held_out}


def test_real_comparisons_give_dialogues(data: Path) -> None:
    found, drops = read_dialogues([DataFile(data / "hh-rlhf-harmless-test" / "pairs.jsonl.gz")])
    assert len(found) + drops.total() == 1513
    assert len(found) > 1300
    assert all(item.messages[-1].role == "assistant" for item in found)

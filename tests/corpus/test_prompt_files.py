"""Prompts by id from files of both forms, and what is refused."""

import json
from pathlib import Path

import pytest

from tutelage.corpus.prompt_files import read_named_prompts
from tutelage.dialogue import Prompt
from tutelage.plumbing.errors import InputError

MESSAGES = [
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": "Because."},
    {"role": "user", "content": "Really?"},
]


def written(place: Path, *records: object) -> Path:
    file = place / "prompts.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return file


def test_messages_are_prompts_by_id_or_line(tmp_path: Path) -> None:
    file = written(tmp_path, {"messages": MESSAGES[:1]}, {"id": "b", "messages": MESSAGES})
    assert read_named_prompts(file) == {
        "1": Prompt.from_turns("Why?"),
        "b": Prompt.from_turns("Why?", "Because.", "Really?"),
    }


def test_the_shipped_schema_keeps_its_ids(tmp_path: Path) -> None:
    record = {"id": "x", "kind": "helpful", "category": "c", "split": "ppo", "turns": ["hi"]}
    assert read_named_prompts(written(tmp_path, record)) == {"x": Prompt.from_turns("hi")}


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([], "expected prompts, found no line"),
        ([{"messages": MESSAGES[:2]}], "line 1, field 'messages': a prompt ends on a human turn"),
        ([{"messages": []}], "line 1, field 'messages': a dialogue needs at least one turn"),
        ([{"messages": [{"role": "system", "content": "x"}]}], "turn 1, field 'role': expected one of 'user'"),
        ([{"messages": [{"role": "user", "content": " "}]}], "the human turn is empty"),
        ([{"messages": MESSAGES[:1], "colour": 1}], "line 1: unknown field 'colour'"),
        ([{"text": "hi"}], "line 1: the field 'messages' is missing"),
        ([{"id": "a", "messages": MESSAGES}] * 2, "line 2, id: 'a' is taken"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, records: list[object], said: str) -> None:
    with pytest.raises(InputError) as refusal:
        read_named_prompts(written(tmp_path, *records))
    assert str(refusal.value).startswith(str(tmp_path / "prompts.jsonl"))
    assert said in str(refusal.value)

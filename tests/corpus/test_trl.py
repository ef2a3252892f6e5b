"""TRL's forms of one comparison: with the prompt, with the prompt implied, and with it repeated in both dialogues."""

from pathlib import Path
from typing import Any

import pytest

from tutelage.corpus.convert import convert
from tutelage.corpus.records import json_line
from tutelage.corpus.rules import DropReason
from tutelage.corpus.trl import parse_trl
from tutelage.dialogue import Comparison, Prompt, Response

USER = {"role": "user", "content": "hi"}
GOOD, BAD = {"role": "assistant", "content": "so"}, {"role": "assistant", "content": "no"}
EXPECTED = Comparison(Prompt.from_turns("hi"), Response("so"), Response("no"), "helpful")

FORMS: list[dict[str, Any]] = [
    {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
    {"prompt": "hi", "chosen": "so", "rejected": "no"},
    {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
    {"prompt": [USER], "chosen": [USER, GOOD], "rejected": [USER, BAD]},
    {"prompt": "hi", "chosen": [USER, GOOD], "rejected": [USER, BAD], "score_chosen": 8.5},
    {"prompt": "\n\nHuman: hi\n\nAssistant:", "chosen": " so", "rejected": " no"},
    {"prompt": "\n\nHuman: hi", "chosen": "so", "rejected": "no"},
]


@pytest.mark.parametrize("record", FORMS)
def test_every_form_is_the_same_comparison(record: dict[str, Any]) -> None:
    assert parse_trl(record, "helpful", "here") == EXPECTED


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"chosen": [USER, GOOD], "rejected": [{"role": "user", "content": "ho"}, BAD]}, DropReason.PREFIXES_DIFFER),
        ({"chosen": [GOOD], "rejected": [BAD]}, DropReason.NOT_HUMAN_FIRST),
        ({"prompt": "ho", "chosen": [USER, GOOD], "rejected": [USER, BAD]}, DropReason.REPEATED_ROLE),
    ],
)
def test_dirty_forms_are_dropped(record: dict[str, Any], reason: DropReason) -> None:
    assert parse_trl(record, "helpful", "here") is reason


def test_every_form_comes_back_byte_for_byte(tmp_path: Path) -> None:
    content = "".join(json_line(record) + "\n" for record in FORMS)
    (tmp_path / "in.jsonl").write_text(content)
    convert(tmp_path / "in.jsonl", tmp_path / "ours.jsonl", "auto", "tutelage")
    convert(tmp_path / "ours.jsonl", tmp_path / "out.jsonl", "auto", "trl")
    assert (tmp_path / "out.jsonl").read_text() == content

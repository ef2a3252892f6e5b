"""The embedded prompts are enough, apart, balanced and unlike each other; a bad file is named by line and field."""

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tutelage.corpus.prompts import PromptItem, load_prompts, read_prompts
from tutelage.plumbing.errors import InputError

SHARES = {"collection": 0.35, "ppo": 0.30, "validation": 0.10, "held_out": 0.25}
GOOD = {"id": "mine-1", "kind": "helpful", "category": "facts", "split": "ppo", "turns": ["Why is the sky blue?"]}


def first_turns(kind: str) -> list[PromptItem]:
    return [item for item in load_prompts(kind=kind) if len(item.prompt.messages) == 1]


def words(item: PromptItem) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z0-9]+", item.prompt.last_human_turn.lower()))


def test_there_are_enough_of_each_sort() -> None:
    multi_turn = [item for item in load_prompts() if len(item.prompt.messages) > 1]
    assert len(first_turns("helpful")) >= 320
    assert len(first_turns("red_team")) >= 160
    assert len(multi_turn) >= 44
    assert {len(item.prompt.messages) for item in multi_turn} == {3, 5}
    assert 0.25 < sum(item.kind == "red_team" for item in multi_turn) / len(multi_turn) < 0.42


def test_held_out_is_large_enough_to_evaluate_on() -> None:
    assert len(load_prompts("held_out", "helpful")) >= 80
    assert len(load_prompts("held_out", "red_team")) >= 44


@pytest.mark.parametrize("kind", ["helpful", "red_team"])
@pytest.mark.parametrize("split", SHARES)
def test_splits_hold_their_share_of_each_kind(kind: str, split: str) -> None:
    assert len(load_prompts(split, kind)) / len(load_prompts(kind=kind)) == pytest.approx(SHARES[split], abs=0.02)


def test_every_category_is_in_every_large_split() -> None:
    for kind in ("helpful", "red_team"):
        sizes = Counter((item.category, item.split) for item in first_turns(kind))
        for category in {item.category for item in first_turns(kind)}:
            assert all(sizes[category, split] >= 2 for split in ("collection", "ppo", "held_out")), category


def test_splits_partition_the_prompts() -> None:
    parts = [item for split in SHARES for item in load_prompts(split)]
    assert sorted(item.id for item in parts) == sorted({item.id for item in load_prompts()})


def test_no_two_prompts_are_nearly_the_same() -> None:
    """Of the words that either of two prompts has, they never share three fifths."""
    bags = [(item.id, words(item)) for item in load_prompts()]
    close = [
        (left, right)
        for (left, these), (right, those) in combinations(bags, 2)
        if len(these & those) >= 0.6 * len(these | those)
    ]
    assert close == []


def test_prompts_are_short() -> None:
    lengths = [len(item.prompt.last_human_turn.split()) for item in load_prompts()]
    assert max(lengths) <= 30
    assert sum(5 <= length <= 25 for length in lengths) > 0.9 * len(lengths)


def test_openings_vary() -> None:
    openings = Counter(" ".join(item.prompt.last_human_turn.lower().split()[:3]) for item in load_prompts())
    assert max(openings.values()) <= 0.1 * len(load_prompts())  # "how do i" is how people ask
    assert len(openings) > 0.5 * len(load_prompts())


def write(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_a_users_file_is_read(tmp_path: Path) -> None:
    turns = ["Hello", "Hi, what can I do for you?", "Explain tides."]
    path = write(tmp_path / "mine.jsonl", GOOD, GOOD | {"id": "mine-2", "kind": "red_team", "turns": turns})
    first, second = read_prompts(path)
    assert (first.id, first.kind, first.split, first.category) == ("mine-1", "helpful", "ppo", "facts")
    assert [message.text for message in second.prompt.messages] == turns


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "harmless"}, "kind"),
        ({"split": "test"}, "split"),
        ({"id": 7}, "id"),
        ({"category": ""}, "category"),
        ({"turns": "Why is the sky blue?"}, "turns"),
        ({"turns": []}, "turns"),
        ({"turns": ["Hello", "Hi!"]}, "turns"),
        ({"turns": [" "]}, "turns"),
        ({"goal": "x"}, "goal"),
        ({"id": "mine-1"}, "id"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    path = write(tmp_path / "mine.jsonl", GOOD, GOOD | {"id": "mine-2"} | change)
    with pytest.raises(InputError, match=rf"mine\.jsonl, line 2, {field}: "):
        read_prompts(path)


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", {name: value for name, value in GOOD.items() if name != "split"})
    with pytest.raises(InputError, match=r"line 1, split: a prompt has exactly the fields"):
        read_prompts(path)

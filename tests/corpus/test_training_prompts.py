"""Prompts to train on, from files of prompts and of comparisons."""

from pathlib import Path

import pytest

from tutelage.corpus.prompts import load_prompts
from tutelage.corpus.records import comparison_to_record
from tutelage.corpus.training_prompts import read_training_prompts
from tutelage.dialogue import Comparison, Prompt, Response
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import write_jsonl


def test_prompts_of_the_projects_schema_have_no_reference(tmp_path: Path) -> None:
    line = {"kind": "helpful", "category": "facts", "split": "ppo"}
    turns = (["Why is the sky blue?"], ["Hi", "Hello.", "Why?"], ["Why is the sky blue?"])
    write_jsonl(tmp_path / "p.jsonl", ({"id": f"p-{n}", **line, "turns": t} for n, t in enumerate(turns)))
    asked, drops = read_training_prompts(tmp_path / "p.jsonl")
    assert dict(asked) == {Prompt.from_turns(*turns[0]): None, Prompt.from_turns(*turns[1]): None}
    assert dict(drops) == {"the same prompt again": 1}


def test_the_chosen_response_of_a_comparison_is_its_prompts_reference(tmp_path: Path) -> None:
    prompt = Prompt.from_turns("Why?")
    pairs = [Comparison(prompt, Response(f"good {n}"), Response("bad"), "helpful") for n in range(2)]
    write_jsonl(tmp_path / "c.jsonl", map(comparison_to_record, pairs))
    asked, drops = read_training_prompts(tmp_path / "c.jsonl")
    assert {p: r.text for p, r in asked.items() if r} == {prompt: "good 0"}
    assert dict(drops) == {"the same prompt again": 1}


def test_rows_that_are_no_comparison_are_counted(tmp_path: Path) -> None:
    start = "\n\nHuman: Hi\n\nAssistant:"
    rows = [{"chosen": start, "rejected": f"{start} No."}, {"chosen": f"{start} Yes.", "rejected": f"{start} No."}]
    write_jsonl(tmp_path / "hh.jsonl", rows)
    asked, drops = read_training_prompts(tmp_path / "hh.jsonl")
    assert len(asked) == 1
    assert dict(drops) == {"empty_answer": 1}


def test_the_embedded_prompts_go_by_their_kind() -> None:
    asked, drops = read_training_prompts(Path("red_team"))
    assert list(asked) == [item.prompt for item in load_prompts("ppo", "red_team")]
    assert not drops


@pytest.mark.parametrize(("content", "says"), [("", "found no line"), ('{"id": 1}\n', "p.jsonl, line 1")])
def test_a_file_without_prompts_is_refused(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "p.jsonl").write_text(content)
    with pytest.raises(InputError, match=says):
        read_training_prompts(tmp_path / "p.jsonl")
    with pytest.raises(InputError, match=r"nowhere\.jsonl: cannot be read"):
        read_training_prompts(tmp_path / "nowhere.jsonl")

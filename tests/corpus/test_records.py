"""The tutelage records: there and back without loss, and every bad field named with what was expected."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings

from tutelage.corpus.records import (
    comparison_from_record,
    comparison_to_record,
    json_line,
    judgment_from_record,
    judgment_to_record,
    prompt_from_record,
    prompt_to_record,
    response_from_record,
    response_to_record,
    row_from_record,
    row_to_record,
)
from tutelage.corpus.rules import Drop, DropReason, Row
from tutelage.dialogue import Comparison, Judgment, Prompt, Response, SamplingParameters
from tutelage.plumbing.errors import InputError

from . import strategies

JUDGMENT = Judgment(
    prompt=Prompt.from_turns("why?", "because", "really?"),
    a=Response("yes", snapshot="s1", sampling=SamplingParameters(stop=("\n\n",)), seed=4),
    b=Response("no", finish="length"),
    question="more_harmful",
    side="a",
    strength=3,
    worker="w1",
    time=12.5,
)
COMPARISON = Comparison(JUDGMENT.prompt, JUDGMENT.a, JUDGMENT.b, "helpful", 2, "w1", {"round": 1})


def through_json(record: Any) -> Any:
    return json.loads(json_line(record).encode("utf-8"))


@settings(max_examples=100)
@given(strategies.comparisons())
def test_a_comparison_comes_back_whole(comparison: Comparison) -> None:
    assert comparison_from_record(through_json(comparison_to_record(comparison)), "here") == comparison


@settings(max_examples=100)
@given(strategies.judgments)
def test_a_judgment_comes_back_whole(judgment: Judgment) -> None:
    assert judgment_from_record(through_json(judgment_to_record(judgment)), "here") == judgment


@settings(max_examples=50)
@given(strategies.prompts, strategies.responses)
def test_prompts_and_responses_come_back_whole(prompt: Prompt, response: Response) -> None:
    assert prompt_from_record(prompt_to_record(prompt), "here") == prompt
    assert response_from_record(through_json(response_to_record(response)), "here") == response


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("kind"), "the field 'kind' is missing; expected one of 'helpful', 'harmless'"),
        (lambda r: r.update(kind="nice"), "field 'kind': expected one of 'helpful', 'harmless', found 'nice'"),
        (lambda r: r.update(strength=5), "field 'strength': expected one of 1, 2, 3, 4, found 5"),
        (lambda r: r.update(strength=True), "field 'strength': expected one of 1, 2, 3, 4, found True"),
        (lambda r: r.update(worker=7), "field 'worker': expected a text, found 7"),
        (lambda r: r.update(colour="red"), "unknown field 'colour'"),
        (lambda r: r.update(prompt="why?"), "field 'prompt': expected a list, found 'why?'"),
        (lambda r: r["prompt"].pop(), "field 'prompt': a prompt ends on a human turn"),
        (lambda r: r["prompt"].__setitem__(1, "x"), "field 'prompt', turn 2: expected an object, found 'x'"),
        (lambda r: r["prompt"][0].update(role="system"), "turn 1, field 'role': expected one of 'human', 'assistant'"),
        (lambda r: r["chosen"].update(finish="eos"), "field 'chosen', field 'finish': expected one of 'stop'"),
        (lambda r: r["chosen"].update(seed=1.5), "field 'chosen', field 'seed': expected a whole number, found 1.5"),
        (lambda r: r["chosen"]["sampling"].update(top_p=0), "field 'sampling': top_p must lie in (0, 1], not 0.0"),
        (lambda r: r["chosen"]["sampling"].update(stop=[1]), "field 'stop': expected a list of texts"),
        (lambda r: r["chosen"]["sampling"].update(stop_tokens=["x"]), "field 'stop_tokens': expected a list of whole"),
        (lambda r: r["chosen"]["sampling"].update(top_k=-1), "field 'sampling': top_k must be at least 0, not -1"),
        (lambda r: r["rejected"].update(text=" "), "line 3: a compared response is empty"),
        (lambda r: r.update(rejected=r["chosen"]), "line 3: chosen and rejected are the same text"),
    ],
)
def test_a_bad_field_is_named(change: Callable[[dict[str, Any]], object], message: str) -> None:
    record = comparison_to_record(COMPARISON)
    change(record)
    with pytest.raises(InputError) as refusal:
        comparison_from_record(record, "f.jsonl, line 3")
    assert str(refusal.value).startswith("f.jsonl, line 3")
    assert message in str(refusal.value)


def test_sampling_of_files_that_name_fewer_parameters_has_the_others_off() -> None:
    record = response_to_record(JUDGMENT.a)
    for name in ("top_k", "min_p", "stop_tokens"):
        del record["sampling"][name]
    assert response_from_record(record, "here") == JUDGMENT.a


def test_a_record_of_another_sort_is_refused() -> None:
    with pytest.raises(InputError, match="field 'record': expected one of 'judgment', found 'comparison'"):
        judgment_from_record(comparison_to_record(COMPARISON), "here")


@pytest.mark.parametrize("line", ["{torn", "[1]", '{"a":\n1}'])
def test_a_kept_line_must_be_one_line_of_json(line: str) -> None:
    record = {"record": "dropped", "reason": "empty_answer", "source": {"format": "hh", "line": line}}
    with pytest.raises(InputError, match="here, field 'source', field 'line'"):
        row_from_record(record, "here")


def test_a_dropped_row_without_its_line_cannot_be_kept() -> None:
    with pytest.raises(ValueError, match="kept as the line it was"):
        row_to_record(Row(Drop(DropReason.EMPTY_ANSWER, "here"), None))

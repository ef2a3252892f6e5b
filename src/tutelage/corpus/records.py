"""The words as JSON objects, both ways and without loss: the `tutelage` format of docs/data-formats.md.

`…_from_record` takes `where`, the file and line for its errors. All of them raise `InputError` that names the field
and what was expected; an unknown field is an error too, for it would be lost on writing.
"""

import json
from collections.abc import Mapping
from typing import Any, get_args

from tutelage.corpus.fields import Fields, refused_as_input
from tutelage.corpus.rules import Drop, DropReason, Row, Source
from tutelage.dialogue import (
    STRENGTHS,
    Comparison,
    Finish,
    Judgment,
    Kind,
    Message,
    Prompt,
    Question,
    Response,
    Role,
    SamplingParameters,
    Side,
)
from tutelage.plumbing.errors import InputError

Record = dict[str, Any]


def json_line(record: Mapping[str, Any]) -> str:
    """A record as one line of JSON in plain characters, the way the released HH-RLHF files are written."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def prompt_to_record(prompt: Prompt) -> list[Record]:
    """The turns, first to last, each `{role, text}`."""
    return [{"role": message.role, "text": message.text} for message in prompt.messages]


def prompt_from_record(turns: list[Any], where: str) -> Prompt:
    messages = tuple(_message(turn, f"{where}, turn {number}") for number, turn in enumerate(turns, start=1))
    with refused_as_input(where):
        return Prompt(messages)


def _message(record: object, where: str) -> Message:
    fields = Fields(record, where)
    role, text = fields.one_of("role", get_args(Role)), fields.text("text")
    fields.done()
    with refused_as_input(where):
        return Message(role, text)


def response_to_record(response: Response) -> Record:
    sampling = response.sampling
    return {
        "text": response.text,
        "finish": response.finish,
        "snapshot": response.snapshot,
        "sampling": sampling and {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "stop": list(sampling.stop),
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            "stop_tokens": list(sampling.stop_tokens),
        },
        "seed": response.seed,
    }  # fmt: skip


def response_from_record(record: object, where: str) -> Response:
    fields = Fields(record, where)
    response = Response(
        text=fields.text("text"),
        finish=fields.one_of("finish", get_args(Finish)),
        snapshot=fields.maybe("snapshot", fields.text),
        sampling=fields.maybe("sampling", lambda name: _sampling(fields.nested(name))),
        seed=fields.maybe("seed", fields.integer),
    )
    fields.done()
    return response


def _sampling(fields: Fields) -> SamplingParameters:
    stop, stop_tokens = fields.items("stop"), fields.maybe("stop_tokens", fields.items) or []
    if not all(isinstance(mark, str) for mark in stop):
        raise InputError(f"{fields.where}, field 'stop': expected a list of texts")
    if not all(type(token) is int for token in stop_tokens):
        raise InputError(f"{fields.where}, field 'stop_tokens': expected a list of whole numbers")
    with refused_as_input(fields.where):
        parameters = SamplingParameters(
            fields.number("temperature"), fields.number("top_p"), fields.integer("max_tokens"), tuple(stop),
            fields.maybe("top_k", fields.integer) or 0, fields.maybe("min_p", fields.number) or 0.0, tuple(stop_tokens),
        )  # fmt: skip
    fields.done()
    return parameters


def judgment_to_record(judgment: Judgment) -> Record:
    return {
        "record": "judgment",
        "prompt": prompt_to_record(judgment.prompt),
        "a": response_to_record(judgment.a),
        "b": response_to_record(judgment.b),
        "question": judgment.question,
        "side": judgment.side,
        "strength": judgment.strength,
        "worker": judgment.worker,
        "time": judgment.time,
    }


def judgment_from_record(record: object, where: str) -> Judgment:
    fields = Fields(record, where)
    fields.one_of("record", ("judgment",))
    with refused_as_input(where):
        judgment = Judgment(
            prompt=prompt_from_record(fields.items("prompt"), f"{where}, field 'prompt'"),
            a=response_from_record(fields.mapping("a"), f"{where}, field 'a'"),
            b=response_from_record(fields.mapping("b"), f"{where}, field 'b'"),
            question=fields.one_of("question", get_args(Question)),
            side=fields.one_of("side", get_args(Side)),
            strength=fields.one_of("strength", STRENGTHS),
            worker=fields.text("worker"),
            time=fields.number("time"),
        )
    fields.done()
    return judgment


def comparison_to_record(comparison: Comparison) -> Record:
    return {
        "record": "comparison",
        "kind": comparison.kind,
        "prompt": prompt_to_record(comparison.prompt),
        "chosen": response_to_record(comparison.chosen),
        "rejected": response_to_record(comparison.rejected),
        "strength": comparison.strength,
        "worker": comparison.worker,
        "provenance": dict(comparison.provenance),
    }


def comparison_from_record(record: object, where: str) -> Comparison:
    fields = Fields(record, where)
    comparison = _take_comparison(fields)
    fields.done()
    return comparison


def _take_comparison(fields: Fields) -> Comparison:
    fields.one_of("record", ("comparison",))
    with refused_as_input(fields.where):
        return Comparison(
            prompt=prompt_from_record(fields.items("prompt"), f"{fields.where}, field 'prompt'"),
            chosen=response_from_record(fields.mapping("chosen"), f"{fields.where}, field 'chosen'"),
            rejected=response_from_record(fields.mapping("rejected"), f"{fields.where}, field 'rejected'"),
            kind=fields.one_of("kind", get_args(Kind)),
            strength=fields.maybe("strength", lambda name: fields.one_of(name, STRENGTHS)),
            worker=fields.maybe("worker", fields.text),
            provenance=fields.maybe("provenance", fields.mapping) or {},
        )


def row_to_record(row: Row) -> Record:
    """A row of a data set: a comparison, or a dropped row kept as its file had it.

    Raises:
        ValueError: a dropped row without the line that it was.
    """
    content, source = row
    if isinstance(content, Drop):
        if source is None:
            raise ValueError("a dropped row is kept as the line it was; this one has none")
        return {"record": "dropped", "reason": content.reason.key, "source": source._asdict()}
    record = comparison_to_record(content)
    return record | {"source": source._asdict()} if source else record


def row_from_record(record: Mapping[str, Any], where: str) -> Row:
    fields = Fields(record, where)
    content: Comparison | Drop
    source: Source | None
    if record.get("record") == "dropped":
        fields.text("record")
        reason = fields.one_of("reason", tuple(reason.key for reason in DropReason))
        content, source = Drop(DropReason[reason.upper()], where), _source(fields.nested("source"))
    else:
        content = _take_comparison(fields)
        source = fields.maybe("source", lambda name: _source(fields.nested(name)))
    fields.done()
    return Row(content, source)


def _source(fields: Fields) -> Source:
    source = Source(fields.one_of("format", ("hh", "trl")), fields.text("line"))
    with refused_as_input(f"{fields.where}, field 'line'"):
        if "\n" in source.line or not isinstance(json.loads(source.line), dict):
            raise ValueError("expected one line that holds one JSON object")
    fields.done()
    return source

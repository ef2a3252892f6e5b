"""TRL's preference format: `prompt`, `chosen`, `rejected`, each a list of `{role, content}` (roles user, assistant)
or, in the plain form, a text: then the prompt is one human turn (or a dialogue with the marks of the HH-RLHF files) and
the other two are answers to it. In the form with the prompt implied, `chosen` and `rejected` are whole dialogues; so
they may be where the prompt is given, too."""

from collections.abc import Mapping
from typing import Any

from tutelage.corpus.fields import Fields
from tutelage.corpus.hh import FIRST_MARK, transcript_turns
from tutelage.corpus.records import json_line
from tutelage.corpus.rules import DropReason, Turn, comparison_from_turns
from tutelage.dialogue import Comparison, Kind

_OUR_ROLES = {"user": "human", "assistant": "assistant"}
_THEIR_ROLES = {"human": "user", "assistant": "assistant"}


def parse_trl(record: Mapping[str, Any], kind: Kind, where: str) -> Comparison | DropReason:
    """A row of a TRL preference file. The kind is not in the file: the caller says it.

    Raises:
        InputError: a field is missing, or is neither a text nor a list of `{role, content}`.
    """
    implied = "prompt" not in record and isinstance(record.get("chosen"), list)
    return columns_to_comparison(record, None if implied else "prompt", "chosen", "rejected", kind, where)


def columns_to_comparison(
    record: Mapping[str, Any], prompt: str | None, chosen: str, rejected: str, kind: Kind, where: str
) -> Comparison | DropReason:
    """The comparison in three columns of a row, or in two that hold whole dialogues (`prompt` is None).

    Raises:
        InputError: as `parse_trl`.
    """
    fields = Fields(record, where)
    asked = turns_of(fields, prompt, "human", record) if prompt else []
    better, worse = (turns_of(fields, name, "assistant", record) for name in (chosen, rejected))
    if prompt:
        better, worse = (_behind_a_mark(record[prompt], turns) for turns in (better, worse))
    return comparison_from_turns(_whole(asked, better), _whole(asked, worse), kind)


def turns_of(fields: Fields, name: str, plain_role: str, record: Mapping[str, Any]) -> list[Turn]:
    """The turns in a field: a list of messages, or a text. A text that begins with a mark of the HH-RLHF files is a
    dialogue, without the mark at its end behind which the answer is to come; another is one turn of this role."""
    if isinstance(record.get(name), list):
        return message_turns(fields, name)
    text = fields.text(name)
    if not text.startswith(FIRST_MARK):
        return [Turn(plain_role, text)]
    turns = transcript_turns(text)
    return turns[:-1] if not turns[-1].text.strip() else turns


def _behind_a_mark(prompt: object, answer: list[Turn]) -> list[Turn]:
    """The answer without the space that stands before it where the prompt is a text that ends on the HH-RLHF mark."""
    if not (isinstance(prompt, str) and prompt.startswith(FIRST_MARK)) or len(answer) != 1:
        return answer
    return [Turn(answer[0].role, answer[0].text.removeprefix(" "))]


def message_turns(fields: Fields, name: str) -> list[Turn]:
    """The turns in a field that is a list of messages."""
    where = f"{fields.where}, field '{name}'"
    return [_turn(Fields(message, f"{where}, turn {i}")) for i, message in enumerate(fields.items(name), start=1)]


def render_trl(comparison: Comparison) -> str | DropReason:
    """The line (without its end) that reads as this comparison, or why the format has none."""
    record = {
        "prompt": [_message(message.role, message.text) for message in comparison.prompt.messages],
        "chosen": [_message("assistant", comparison.chosen.text)],
        "rejected": [_message("assistant", comparison.rejected.text)],
    }
    read_back = parse_trl(record, comparison.kind, "")
    return read_back if isinstance(read_back, DropReason) else json_line(record)


def _whole(prompt: list[Turn], answer: list[Turn]) -> list[Turn]:
    """Hub tables often repeat the prompt as the beginning of both dialogues."""
    return answer if answer[: len(prompt)] == prompt else prompt + answer


def _turn(message: Fields) -> Turn:
    role = message.text("role")
    return Turn(_OUR_ROLES.get(role, role), message.text("content"))


def _message(role: str, text: str) -> dict[str, str]:
    return {"role": _THEIR_ROLES[role], "content": text}

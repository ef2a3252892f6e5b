"""Prompts to draw responses to, from files of several forms.

A line is a prompt of the shipped schema (`prompts`), whose id it keeps, or `{"messages": [{"role", "content"}, …]}`
that ends on the `user` (or `human`), with or without an `id`; without one, the line's number is its id.
"""

from collections.abc import Sequence
from pathlib import Path

from tutelage.corpus.fields import Fields, refused_as_input
from tutelage.corpus.prompts import read_prompts
from tutelage.dialogue import Message, Prompt
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import first_record, read_jsonl

ROLES = {"user": "human", "human": "human", "assistant": "assistant"}


def read_named_prompts(path: Path) -> dict[str, Prompt]:
    """The prompts of a file by id, in file order.

    Raises:
        InputError: a file that is unreadable or empty, a line of another form, or an id given twice.
    """
    if "turns" in first_record(path, "prompts"):
        return {item.id: item.prompt for item in read_prompts(path)}
    prompts: dict[str, Prompt] = {}
    for line in read_jsonl(path):
        fields = Fields(line.record, f"{path}, line {line.number}")
        name = fields.maybe("id", fields.text) or str(line.number)
        if name in prompts:
            raise InputError(f"{fields.where}, id: {name!r} is taken; give every prompt its own id")
        prompts[name] = _prompt(fields.items("messages"), f"{fields.where}, field 'messages'")
        fields.done()
    return prompts


def _prompt(messages: Sequence[object], where: str) -> Prompt:
    turns = []
    for number, message in enumerate(messages, start=1):
        fields = Fields(message, f"{where}, turn {number}")
        turns.append((ROLES[fields.one_of("role", tuple(ROLES))], fields.text("content")))
        fields.done()
    with refused_as_input(where):
        return Prompt(tuple(Message(role, text) for role, text in turns))  # type: ignore[arg-type]

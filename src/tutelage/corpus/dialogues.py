"""Files of dialogues: what an assistant is to say, for supervised training and for distillation.

A line is `{"messages": [{"role", "content"}, …]}` (roles `user` or `human`, and `assistant`), or a comparison of any
format that `sources` reads: then its prompt with the chosen answer is the dialogue. A file holds one or the other.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tutelage.corpus.fields import Fields
from tutelage.corpus.rules import Drop, DropReason, Turn, dialogue_from_turns
from tutelage.corpus.sources import read_comparisons
from tutelage.corpus.splits import bucket
from tutelage.dialogue import Dialogue, Message, Prompt
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import read_jsonl

OUR_ROLES = {"user": "human"}
REPEATED = "the same dialogue again"


def read_dialogues(paths: Sequence[Path]) -> tuple[list[Dialogue], Counter[str]]:
    """The dialogues of the files in order, each once and ending on the assistant, and the rows dropped by reason.

    A row with another speaker (`system`, `tool`) is dropped.

    Raises:
        InputError: a file that is unreadable, empty or torn, or a line of another form; names file and line.
    """
    found: dict[Dialogue, None] = {}
    drops: Counter[str] = Counter()
    for path in paths:
        for item in _items(path):
            if isinstance(item, DropReason):
                drops[item.key] += 1
            elif item in found:
                drops[REPEATED] += 1
            else:
                found[item] = None
    return list(found), drops


def split_dialogues(dialogues: Sequence[Dialogue], fraction: float, salt: str) -> tuple[list[Dialogue], list[Dialogue]]:
    """The dialogues in two parts without a common first human turn: the rest, and about `fraction` kept apart."""
    parts: tuple[list[Dialogue], list[Dialogue]] = ([], [])
    for dialogue in dialogues:
        parts[bucket(Prompt(dialogue.messages[:1]), salt) < fraction].append(dialogue)
    return parts


def _items(path: Path) -> Iterator[Dialogue | DropReason]:
    first = next(read_jsonl(path), None)
    if first is None:
        raise InputError(f"{path}: expected dialogues, found no line")
    if "messages" in first.record:
        yield from _from_messages(path)
    else:
        yield from _from_comparisons(path)


def _from_messages(path: Path) -> Iterator[Dialogue | DropReason]:
    for line in read_jsonl(path):
        fields = Fields(line.record, f"{path}, line {line.number}")
        where = f"{fields.where}, field 'messages'"
        messages = enumerate(fields.items("messages"), start=1)
        yield dialogue_from_turns([_turn(Fields(message, f"{where}, turn {number}")) for number, message in messages])


def _turn(fields: Fields) -> Turn:
    role = fields.text("role")
    return Turn(OUR_ROLES.get(role, role), fields.text("content"))


def _from_comparisons(path: Path) -> Iterator[Dialogue | DropReason]:
    for item in read_comparisons([path]):
        if isinstance(item, Drop):
            yield item.reason
        else:
            yield Dialogue((*item.prompt.messages, Message("assistant", item.chosen.text)))

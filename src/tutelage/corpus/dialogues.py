"""Files of dialogues: what an assistant is to say, for supervised training and for distillation.

A line is `{"messages": [{"role", "content"}, …]}` (roles `user` or `human`, and `assistant`), or a comparison of any
format that `sources` reads: then its prompt with the chosen answer is the dialogue. A file holds one or the other.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tutelage.corpus.fields import Fields
from tutelage.corpus.locate import DataFile
from tutelage.corpus.rules import Drop, DropReason, dialogue_from_turns
from tutelage.corpus.trl import message_turns
from tutelage.dialogue import Dialogue, Message
from tutelage.plumbing.files import first_record, read_jsonl

REPEATED = "the same dialogue again"


def read_dialogues(files: Sequence[DataFile]) -> tuple[list[Dialogue], Counter[str]]:
    """The dialogues of the files in order, each once and ending on the assistant, and the rows dropped by reason.

    A row with another speaker (`system`, `tool`) is dropped.

    Raises:
        InputError: a file that is unreadable, empty or torn, or a line of another form; names file and line.
    """
    found: dict[Dialogue, None] = {}
    drops: Counter[str] = Counter()
    for file in files:
        for item in _items(file):
            if isinstance(item, DropReason):
                drops[item.key] += 1
            elif item in found:
                drops[REPEATED] += 1
            else:
                found[item] = None
    return list(found), drops


def _items(file: DataFile) -> Iterator[Dialogue | DropReason]:
    if file.source is None and "messages" in first_record(file.path, "dialogues"):
        yield from _from_messages(file.path)
    else:
        yield from _from_comparisons(file)


def _from_messages(path: Path) -> Iterator[Dialogue | DropReason]:
    for line in read_jsonl(path):
        fields = Fields(line.record, f"{path}, line {line.number}")
        yield dialogue_from_turns(message_turns(fields, "messages"))


def _from_comparisons(file: DataFile) -> Iterator[Dialogue | DropReason]:
    for item in file.rows():
        if isinstance(item, Drop):
            yield item.reason
        else:
            yield Dialogue((*item.prompt.messages, Message("assistant", item.chosen.text)))

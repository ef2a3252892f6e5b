"""Prompts: the ones written for this project and shipped with it, and files of the same schema by users.

A line is one JSON object: `id`, `kind` (`helpful` or `red_team`), `category`, `split`, and `turns`, the texts of the
dialogue from the human's first turn to the human's last. Red-team prompts ask for harm in general terms only.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from tutelage.dialogue import Prompt
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import Line, read_jsonl

PromptKind = Literal["helpful", "red_team"]
Split = Literal["collection", "ppo", "validation", "held_out"]

EMBEDDED = Path(__file__).parent / "prompts"
FIELDS = ("id", "kind", "category", "split", "turns")


@dataclass(frozen=True, slots=True)
class PromptItem:
    """A prompt with what it is for. Splits never share a prompt: held-out ones are read by evaluation alone."""

    id: str
    kind: PromptKind
    category: str
    split: Split
    prompt: Prompt


def load_prompts(split: Split | None = None, kind: PromptKind | None = None) -> tuple[PromptItem, ...]:
    """The embedded prompts in file order: all of them, or those of one split or kind."""
    return select(_embedded(), split, kind)


def select(
    items: Iterable[PromptItem], split: Split | None = None, kind: PromptKind | None = None
) -> tuple[PromptItem, ...]:
    """Those items that belong to the split and kind, where one is given."""
    return tuple(item for item in items if split in (None, item.split) and kind in (None, item.kind))


def read_prompts(*paths: Path) -> tuple[PromptItem, ...]:
    """Prompts from JSONL files of the schema above, in file order.

    Raises:
        InputError: a line that does not fit the schema, or an id given twice; names file, line and field.
    """
    items: dict[str, PromptItem] = {}
    for path in paths:
        for number, item in _read_file(path):
            if item.id in items:
                raise InputError(f"{path}, line {number}, id: {item.id!r} is taken; give every prompt its own id")
            items[item.id] = item
    return tuple(items.values())


def item_to_record(item: PromptItem) -> dict[str, Any]:
    """The line of the schema above that `read_prompts` reads as this item."""
    turns = list(item.prompt.texts)
    return {"id": item.id, "kind": item.kind, "category": item.category, "split": item.split, "turns": turns}


@cache
def _embedded() -> tuple[PromptItem, ...]:
    return read_prompts(*(EMBEDDED / f"{name}.jsonl" for name in ("helpful", "red_team", "multi_turn")))


def _read_file(path: Path) -> Iterator[tuple[int, PromptItem]]:
    for line in read_jsonl(path):
        yield line.number, _item(line, f"{path}, line {line.number}")


def _item(line: Line, place: str) -> PromptItem:
    record = line.record
    if odd := set(record) ^ set(FIELDS):
        raise InputError(f"{place}, {', '.join(sorted(odd))}: a prompt has exactly the fields {', '.join(FIELDS)}")
    for name in ("id", "category"):
        if not isinstance(record[name], str) or not record[name]:
            raise InputError(f"{place}, {name}: expected a text, found {record[name]!r}")
    for name, allowed in (("kind", get_args(PromptKind)), ("split", get_args(Split))):
        if record[name] not in allowed:
            raise InputError(f"{place}, {name}: expected one of {', '.join(allowed)}, found {record[name]!r}")
    prompt = _prompt(record["turns"], place)
    return PromptItem(record["id"], record["kind"], record["category"], record["split"], prompt)


def _prompt(turns: Any, place: str) -> Prompt:
    if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
        raise InputError(f"{place}, turns: expected a list of texts, the human's first")
    try:
        return Prompt.from_turns(*turns)
    except ValueError as error:
        raise InputError(f"{place}, turns: {error}") from error

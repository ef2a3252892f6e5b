"""The HHH prompt and the HHH-form pairs: helpful, honest, harmless. Written for this project and shipped with it.

The prompt (`hhh_prompt.jsonl`) is 14 dialogues as an assistant should have them; behind it a plain model answers more
like that assistant (Askell et al. 2021; Bai et al. 2022, section A.1). The pairs (`hhh_pairs.jsonl`) are what that
is measured on: a prompt, a better and a worse answer, in four categories. Neither is ever trained on. In about half of
the pairs of each category the better answer is the longer one. Prompts that ask for harm do so in general terms, and
worse answers comply in vague words only.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeVar, get_args

from tutelage.corpus.fields import Fields, refused_as_input
from tutelage.corpus.prompts import EMBEDDED
from tutelage.dialogue import Dialogue, Message, Prompt, Response
from tutelage.plumbing.files import read_jsonl

HHHCategory = Literal["helpful", "honest", "harmless", "other"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HHHPair:
    """A prompt with a better and a worse answer to it."""

    id: str
    category: HHHCategory
    prompt: Prompt
    better: Response
    worse: Response


@cache
def hhh_prompt() -> tuple[Message, ...]:
    """The turns of the 14 dialogues, one dialogue behind the other: what stands before a fresh human turn."""
    dialogues = _read("hhh_prompt.jsonl", lambda fields: Dialogue.from_turns(*fields.items("turns")))
    return tuple(message for dialogue in dialogues for message in dialogue.messages)


@cache
def hhh_pairs() -> tuple[HHHPair, ...]:
    """The pairs, category by category."""
    return tuple(_read("hhh_pairs.jsonl", _pair))


def _pair(fields: Fields) -> HHHPair:
    return HHHPair(
        fields.text("id"),
        fields.one_of("category", get_args(HHHCategory)),
        Prompt.from_turns(*fields.items("turns")),
        Response(fields.text("better")),
        Response(fields.text("worse")),
    )


def _read(name: str, parse: Callable[[Fields], T]) -> Iterator[T]:
    for line in read_jsonl(EMBEDDED / name):
        where = f"{name}, line {line.number}"
        with refused_as_input(where):
            yield parse(Fields(line.record, where))

"""The stated rules by which a pair of dialogues becomes a comparison, or is dropped and counted by reason."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import pairwise
from typing import Any, NamedTuple, cast

from tutelage.corpus.formats import TextFormat
from tutelage.dialogue import Comparison, Dialogue, Kind, Message, Prompt, Response, Role

_HALF_A_PAIR = re.compile("[\ud800-\udfff]")


class DropReason(Enum):
    """Why a row is not used in training, or cannot be written in a format. The value is the rule in one sentence."""

    NOT_HUMAN_FIRST = "The dialogue does not begin with a human turn."
    OTHER_ROLE = "A turn is by neither the human nor the assistant."
    ENDS_ON_HUMAN = "The dialogue ends on a human turn, so there is no answer to compare."
    REPEATED_ROLE = "One speaker has two turns running."
    EMPTY_ANSWER = "The last assistant turn is empty."
    EMPTY_TURN = "A turn before the answer is empty."
    NOT_UNICODE = "A text holds half of a surrogate pair, which neither UTF-8 nor a tokenizer can hold."
    PREFIXES_DIFFER = "Chosen and rejected differ before the last assistant turn."
    EQUAL_ANSWERS = "Chosen and rejected are the same text."
    TURN_MARKS = "A text contains the turn marks themselves: written out, it would be read as other turns."
    NOT_TEXT = "An answer is no text but a number or a truth value, as some conversions leave it."
    FEW_ANSWERS = "There are fewer than two answers to compare."
    EQUAL_SCORES = "The two answers have the same score or rank."
    LOWER_SCORE = "The answer that is called the better one has the lower score."
    SMALL_GAP = "The scores of the two answers are closer than the least ratio that was asked for."
    PAIR_LIMIT = "Its prompt has given as many comparisons as one prompt may give."
    TIE = "The judges called it a tie."
    DISAGREEMENT = "The judges disagree on which answer is better."
    UNRANKED = "The answer has no rank."
    DELETED = "The message was deleted; it and all that follows it are left out."
    UNREVIEWED = "The message did not pass review; it and all that follows it are left out."
    UNFINISHED_TREE = "The tree of messages was not finished (its state is not ready_for_export)."

    @property
    def key(self) -> str:
        """The name in files and in machine-readable output."""
        return self.name.lower()


class Turn(NamedTuple):
    """A turn as a file has it, well-formed or not."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Drop:
    """A row that training leaves out: why, and where it stood (file and line)."""

    reason: DropReason
    where: str


class Source(NamedTuple):
    """The line, without its line end, that a row was read from."""

    format: TextFormat
    line: str


class Row(NamedTuple):
    """A row of a file of comparisons; `source` is None where `content` alone gives the row back."""

    content: Comparison | Drop
    source: Source | None


@dataclass(slots=True)
class DropCounts:
    """How many rows were used and how many dropped, by reason."""

    usable: int = 0
    dropped: Counter[DropReason] = field(default_factory=Counter)

    def sift(self, items: Iterable[Comparison | Drop]) -> Iterator[Comparison]:
        """The comparisons among the items, in order, each item counted as it passes."""
        for item in items:
            if isinstance(item, Drop):
                self.dropped[item.reason] += 1
            else:
                self.usable += 1
                yield item

    def by_key(self) -> dict[str, int]:
        """Counts by the reason's name, the most frequent first."""
        return {reason.key: count for reason, count in self.dropped.most_common()}


def comparison_from_turns(chosen: Sequence[Turn], rejected: Sequence[Turn], kind: Kind) -> Comparison | DropReason:
    """The comparison of two whole dialogues: the prompt is all that stands before the last assistant turn.

    The rules are asked in the order of `DropReason`, up to `EQUAL_ANSWERS`; the first that applies is the reason.
    """
    reason = _fault(chosen) or _fault(rejected)
    if reason:
        return reason
    if list(chosen[:-1]) != list(rejected[:-1]):
        return DropReason.PREFIXES_DIFFER
    if chosen[-1] == rejected[-1]:
        return DropReason.EQUAL_ANSWERS
    return Comparison(
        prompt=Prompt(tuple(Message(cast(Role, turn.role), turn.text) for turn in chosen[:-1])),
        chosen=Response(chosen[-1].text),
        rejected=Response(rejected[-1].text),
        kind=kind,
    )


def comparison_of_answers(
    prompt: Sequence[Turn], chosen: str, rejected: str, kind: Kind, provenance: Mapping[str, Any]
) -> Comparison | DropReason:
    """The comparison of two answers to the same turns, with what the source tells of it."""
    found = comparison_from_turns([*prompt, Turn("assistant", chosen)], [*prompt, Turn("assistant", rejected)], kind)
    return found if isinstance(found, DropReason) else replace(found, provenance=provenance)


def dialogue_from_turns(turns: Sequence[Turn]) -> Dialogue | DropReason:
    """A whole dialogue that ends on the assistant, by the same rules in the same order."""
    reason = _fault(turns)
    return reason or Dialogue(tuple(Message(cast(Role, turn.role), turn.text) for turn in turns))


def _fault(turns: Sequence[Turn]) -> DropReason | None:
    roles = [turn.role for turn in turns]
    if roles[:1] != ["human"]:
        return DropReason.NOT_HUMAN_FIRST
    if not set(roles) <= {"human", "assistant"}:
        return DropReason.OTHER_ROLE
    if roles[-1] == "human":
        return DropReason.ENDS_ON_HUMAN
    if any(role == following for role, following in pairwise(roles)):
        return DropReason.REPEATED_ROLE
    if not turns[-1].text.strip():
        return DropReason.EMPTY_ANSWER
    if not all(turn.text.strip() for turn in turns):
        return DropReason.EMPTY_TURN
    if any(_HALF_A_PAIR.search(turn.text) for turn in turns):
        return DropReason.NOT_UNICODE
    return None


def same_texts(one: Comparison, other: Comparison) -> bool:
    """Whether two comparisons say the same in a format that holds texts only."""
    return (one.prompt, one.chosen.text, one.rejected.text) == (other.prompt, other.chosen.text, other.rejected.text)

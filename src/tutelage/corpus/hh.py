r"""The format of the released HH-RLHF files: JSON lines with `chosen` and `rejected`, each a whole dialogue as one
text in which every turn begins with `\n\nHuman:` or `\n\nAssistant:`.

The released labels say "chosen = better" for both kinds already (the harmless ones were inverted before release), so
reading inverts nothing. The kind is not in the file: the caller says it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.corpus.fields import Fields
from tutelage.corpus.records import json_line
from tutelage.corpus.rules import DropReason, Turn, comparison_from_turns, same_texts
from tutelage.dialogue import Comparison, Kind, Response

FIRST_MARK = "\n\nHuman:"
_MARK = re.compile(r"\n\n(Human|Assistant):")
_NAMES = ("Human", "Assistant")


def parse_hh(record: Mapping[str, Any], kind: Kind, where: str) -> Comparison | DropReason:
    """A row of an HH-RLHF file. Keys other than `chosen` and `rejected` say nothing to us and are passed over.

    Raises:
        InputError: `chosen` or `rejected` is missing or is no text.
    """
    fields = Fields(record, where)
    chosen, rejected = fields.text("chosen"), fields.text("rejected")
    return comparison_from_turns(transcript_turns(chosen), transcript_turns(rejected), kind)


def render_hh(comparison: Comparison) -> str | DropReason:
    """The line (without its end) that reads as this comparison, or why the format has none."""
    record = {
        "chosen": _transcript(comparison, comparison.chosen),
        "rejected": _transcript(comparison, comparison.rejected),
    }
    read_back = parse_hh(record, comparison.kind, "")
    if isinstance(read_back, Comparison) and same_texts(read_back, comparison):
        return json_line(record)
    if any(_MARK.search(text) for text in _texts(comparison)):
        return DropReason.TURN_MARKS
    return read_back if isinstance(read_back, DropReason) else DropReason.TURN_MARKS


def transcript_turns(transcript: str) -> list[Turn]:
    """The turns of a dialogue in one text; text before the first mark counts as a turn by nobody."""
    preamble, *marked = _MARK.split(transcript)
    turns = [Turn(role.lower(), text.removeprefix(" ")) for role, text in zip(marked[::2], marked[1::2], strict=True)]
    return [Turn("", preamble), *turns] if preamble.strip() else turns


def transcript_of(texts: Sequence[str]) -> str:
    """The texts of a dialogue's turns, the human's first, as one text."""
    return "".join(f"\n\n{_NAMES[index % 2]}: {text}" for index, text in enumerate(texts))


def _transcript(comparison: Comparison, answer: Response) -> str:
    return transcript_of([*comparison.prompt.texts, answer.text])


def _texts(comparison: Comparison) -> list[str]:
    return [*comparison.prompt.texts, comparison.chosen.text, comparison.rejected.text]

"""Prompts to train a policy on: from a file of prompts, or of comparisons, whose chosen response then is the prompt's
reference response."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from tutelage.corpus.prompt_files import read_named_prompts
from tutelage.corpus.prompts import PromptKind, load_prompts
from tutelage.corpus.rules import Drop
from tutelage.corpus.sources import read_comparisons
from tutelage.dialogue import Prompt, Response
from tutelage.plumbing.files import first_record

REPEATED = "the same prompt again"

Asked = Mapping[Prompt, Response | None]
"""prompts, each once in the order of the file, with their reference responses"""


def read_training_prompts(path: Path) -> tuple[Asked, Counter[str]]:
    """The prompts of a file, and the lines that were left out by reason. `helpful` and `red_team`, where no such file
    is, are the embedded prompts for training.

    Raises:
        InputError: a file that is unreadable, empty or torn, or a line of another form; names file and line.
    """
    if not path.exists() and str(path) in get_args(PromptKind):
        return {item.prompt: None for item in load_prompts("ppo", str(path))}, Counter()  # type: ignore[arg-type]
    if {"turns", "messages"} & first_record(path, "prompts or comparisons").keys():
        return _once([(prompt, None) for prompt in read_named_prompts(path).values()])
    rows = list(read_comparisons([path]))
    asked, drops = _once([(row.prompt, row.chosen) for row in rows if not isinstance(row, Drop)])
    return asked, drops + Counter(row.reason.key for row in rows if isinstance(row, Drop))


def _once(found: list[tuple[Prompt, Response | None]]) -> tuple[Asked, Counter[str]]:
    asked: dict[Prompt, Response | None] = {}
    for prompt, reference in found:
        asked.setdefault(prompt, reference)
    return asked, +Counter({REPEATED: len(found) - len(asked)})

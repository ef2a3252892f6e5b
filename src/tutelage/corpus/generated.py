"""Prompts that a language model writes: what it is shown, and which of its lines are kept (Bai et al. 2022, section 4).

The paper's larger share of RL prompts (369k of 506k) was written by a large model that saw about ten good queries.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tutelage.corpus.prompts import PromptItem, PromptKind
from tutelage.corpus.splits import normalised
from tutelage.dialogue import Prompt

SHOWN = 10  # queries in the context, as in the paper
MARK = "Human:"
FEWEST_WORDS, MOST_WORDS = 3, 60
NEAR = 0.6  # share of common word pairs from which two queries count as one
_SPEAKER = re.compile(r"\b(human|assistant|user|ai|bot|question|answer|q|a)\s*:", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")

DROPS = {
    "unfinished": "no end of the line within the length limit",
    "short": f"fewer than {FEWEST_WORDS} words",
    "long": f"more than {MOST_WORDS} words",
    "speaker": "another speaker begins in it",
    "characters": "hardly any letters",
    "loop": "the same words again and again",
    "copy": "a query that was shown, or is kept for evaluation",
    "duplicate": "written before, in the same or nearly the same words",
}


@dataclass(frozen=True, slots=True)
class WrittenLine:
    """What the model wrote, and whether the line ended by itself."""

    text: str
    finished: bool


def few_shot(queries: Sequence[str]) -> str:
    """What the model goes on from: the queries, one a paragraph, and the mark of one more."""
    return "".join(f"{MARK} {_one_line(query)}\n\n" for query in queries) + MARK


def sift(drafts: Iterable[WrittenLine], known: Iterable[str], drops: Counter[str]) -> Iterator[str]:
    """The drafts that are fit to be asked, each once and in order; the others are counted in `drops` by reason.

    `known`: queries that nothing may repeat: those that the model was shown, and those that are kept for evaluation.
    Two queries are one where at least `NEAR` of the word pairs of both together are common to them.
    """
    shown, written = _Seen(), _Seen()
    for query in known:
        shown.add(query)
    for draft in drafts:
        text = _one_line(draft.text)
        reason = _unfit(text, draft.finished) or _repeats(text, shown, written)
        if reason:
            drops[reason] += 1
        else:
            written.add(text)
            yield text


def as_items(texts: Sequence[str], kind: PromptKind) -> list[PromptItem]:
    """The queries as prompts of the schema of `prompts.py`, for training."""
    return [
        PromptItem(f"generated-{kind}-{number:05}", kind, "generated", "ppo", Prompt.from_turns(text))
        for number, text in enumerate(texts, start=1)
    ]


def _one_line(text: str) -> str:
    return " ".join(text.split()).strip(' "“”')


def _unfit(text: str, finished: bool) -> str | None:
    """Why a line alone is no good query, if it is none."""
    said = _words(text)
    rules = {
        "unfinished": not finished,
        "short": len(said) < FEWEST_WORDS,
        "long": len(said) > MOST_WORDS,
        "speaker": bool(_SPEAKER.search(text)),
        "characters": sum(map(str.isalpha, text)) < 0.6 * len(text.replace(" ", "")),
        "loop": len(set(said)) < 0.5 * len(said),
    }
    return next((reason for reason, broken in rules.items() if broken), None)


def _repeats(text: str, shown: "_Seen", written: "_Seen") -> str | None:
    if shown.has(text):
        return "copy"
    return "duplicate" if written.has(text) else None


class _Seen:
    """Queries by their words: asked whether it has one like this."""

    def __init__(self) -> None:
        self._exact: set[str] = set()
        self._by_pair: dict[tuple[str, str], list[int]] = {}
        self._sizes: list[int] = []

    def add(self, text: str) -> None:
        self._exact.add(normalised(text))
        pairs = _pairs(text)
        for pair in pairs:
            self._by_pair.setdefault(pair, []).append(len(self._sizes))
        self._sizes.append(len(pairs))

    def has(self, text: str) -> bool:
        if normalised(text) in self._exact:
            return True
        pairs = _pairs(text)
        common = Counter(number for pair in pairs for number in self._by_pair.get(pair, ()))
        return any(count >= NEAR * (len(pairs) + self._sizes[n] - count) for n, count in common.items())


def _pairs(text: str) -> set[tuple[str, str]]:
    said = _words(text)
    return set(pairwise(said))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())

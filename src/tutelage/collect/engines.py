"""What makes the texts inside the model process: snapshots on one trunk, or a stub for tests and demonstrations."""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tutelage.collect.answers import SideRequest
from tutelage.dialogue import Finish, Prompt


@dataclass(frozen=True, slots=True)
class Progress:
    """More text of a ticket; with the last of it, the whole text and why it ended."""

    ticket: int
    text: str
    whole: str | None = None
    finish: Finish | None = None


class Engine(Protocol):
    """Makes many texts at once. Used by one thread."""

    @property
    def busy(self) -> bool:
        """Whether a step would bring anything forward."""
        ...

    def submit(self, ticket: int, prompt: Prompt, side: SideRequest) -> None:
        """Take up a text under this number; it joins those that run.

        Raises:
            InputError: no such snapshot, or a prompt that it cannot read.
        """
        ...

    def step(self) -> list[Progress]:
        """Bring all texts forward, by about a token each."""
        ...

    def cancel(self, ticket: int) -> None:
        """Stop a text; one that is not known is none."""
        ...


WORDS = [
    "the",
    "a",
    "to",
    "of",
    "and",
    "in",
    "is",
    "it",
    "you",
    "that",
    "for",
    "on",
    "with",
    "as",
    "are",
    "this",
    "be",
    "at",
    "or",
    "can",
    "have",
    "from",
    "one",
    "by",
    "not",
    "what",
    "all",
    "when",
    "how",
    "small",
    "first",
    "water",
    "light",
    "good",
    "people",
    "work",
    "time",
    "place",
    "hand",
    "world",
    "day",
    "part",
    "plan",
    "bread",
    "garden",
    "letter",
    "music",
    "answer",
    "question",
    "reason",
    "careful",
    "simple",
    "open",
    "warm",
    "clear",
    "early",
    "quiet",
    "often",
    "together",
    "instead",
    "because",
    "however",
    "perhaps",
]
STUB_TICK = 0.01  # seconds


class StubEngine:
    """Plausible nonsense at a set speed: the same words for the same snapshot, prompt and seed."""

    def __init__(self, words_per_second: float = 40.0) -> None:
        self._pace = words_per_second
        self._running: dict[int, _StubText] = {}

    @property
    def busy(self) -> bool:
        return bool(self._running)

    def submit(self, ticket: int, prompt: Prompt, side: SideRequest) -> None:
        words = stub_words(prompt, side)
        self._running[ticket] = _StubText(words, time.monotonic())

    def step(self) -> list[Progress]:
        time.sleep(STUB_TICK)
        now = time.monotonic()
        return [
            progress for ticket, text in list(self._running.items()) if (progress := self._advance(ticket, text, now))
        ]

    def cancel(self, ticket: int) -> None:
        self._running.pop(ticket, None)

    def _advance(self, ticket: int, text: "_StubText", now: float) -> Progress | None:
        due = min(len(text.words), 1 + int((now - text.started) * self._pace))
        if due == text.said:
            return None
        more = "".join((" " if place else "") + text.words[place] for place in range(text.said, due))
        text.said = due
        if due < len(text.words):
            return Progress(ticket, more)
        del self._running[ticket]
        return Progress(ticket, more, " ".join(text.words), "stop")


@dataclass
class _StubText:
    words: list[str]
    started: float
    said: int = 0


def stub_words(prompt: Prompt, side: SideRequest) -> list[str]:
    """Two to four sentences of the words above, and some of the last human turn, drawn from all that the answer has."""
    draw = random.Random(f"{side.snapshot} {side.seed} {prompt.messages}")
    pool = [*WORDS, *(word for word in prompt.last_human_turn.split() if word.isalpha())]
    words: list[str] = []
    for _ in range(draw.randint(2, 4)):
        sentence = draw.choices(pool, k=draw.randint(4, 10))
        words += [sentence[0].capitalize(), *sentence[1:-1], sentence[-1] + "."]
    return words[: side.sampling.max_tokens]


@dataclass(frozen=True)
class EngineSettings:
    """What makes the texts: a stub of so many words a second, or snapshots (name → directory, None: the base).

    Of each snapshot `slots` answers run at once, in `columns` tokens with their prompts.
    """

    stub_words_per_second: float | None = None
    base: str = "smollm2-135m-instruct"
    system: str = ""
    """What stands before every dialogue that the base answers; a snapshot brings its own."""
    snapshots: Mapping[str, str | None] | None = None
    dtype: str = "float32"
    device: Literal["cpu", "cuda"] = "cpu"
    slots: int = 8
    columns: int = 1024


def make_engine(settings: EngineSettings) -> Engine:
    """The engine of these settings, its models loaded.

    Raises:
        InputError: the base or a snapshot cannot be used.
    """
    if settings.stub_words_per_second is not None:
        return StubEngine(settings.stub_words_per_second)
    import torch

    from tutelage.collect.snapshot_engine import SnapshotEngine
    from tutelage.modeling.base import load_base
    from tutelage.modeling.encoding import DialogueFormat

    trunk = load_base(
        settings.base, DialogueFormat(system=settings.system), getattr(torch, settings.dtype), settings.device
    )
    places = {name: Path(place) if place else None for name, place in (settings.snapshots or {"base": None}).items()}
    return SnapshotEngine(trunk, places, settings.slots, settings.columns)

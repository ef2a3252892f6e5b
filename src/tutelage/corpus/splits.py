"""Splits by prompt: the same question is on the same side in every file and in every round."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol, TypeVar

from tutelage.dialogue import Dialogue, Prompt


class HasPrompt(Protocol):
    """A comparison, a judgment, or whatever else answers a prompt."""

    @property
    def prompt(self) -> Prompt: ...


T = TypeVar("T")


def normalised(text: str) -> str:
    """The text in lower case, letters and digits only; the text itself where that leaves nothing."""
    return "".join(character for character in text.lower() if character.isalnum()) or text


def first_turn(dialogue: Dialogue) -> str:
    """The first human turn, normalised: what splits go by, and intervals over prompts."""
    return normalised(dialogue.first_human_turn)


def bucket(dialogue: Dialogue, salt: str) -> float:
    """A number in [0, 1) that depends on the salt and the normalised first human turn alone, uniform over these."""
    text = f"{salt}\0{first_turn(dialogue)}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:8]) >> 11) / 2**53  # 53 bits: all that a float in [0, 1) can hold


def split_by_prompt(
    items: Iterable[T], fraction: float, salt: str, dialogue_of: Callable[[T], Dialogue] = attrgetter("prompt")
) -> tuple[list[T], list[T]]:
    """The items, in order, in two parts without a common first human turn: the rest, and about `fraction` kept apart.

    `dialogue_of`: the dialogue whose first human turn decides on an item; its prompt, unless said otherwise.

    Raises:
        ValueError: the fraction is not in [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction must lie in [0, 1], not {fraction}")
    parts: tuple[list[T], list[T]] = ([], [])
    for item in items:
        parts[bucket(dialogue_of(item), salt) < fraction].append(item)
    return parts


@dataclass(frozen=True, slots=True)
class Overlap:
    """What train and test material have in common: by first human turns, normalised."""

    prompts: int
    """Different first human turns that stand on both sides."""
    train: int
    """Items to train on that begin with one of them."""
    test: int
    """Items to test on that begin with one of them."""
    examples: tuple[str, ...]
    """The first of those turns, as the test material writes them."""


def overlap(train: Iterable[HasPrompt], test: Iterable[HasPrompt], examples: int = 3) -> Overlap:
    """Count the first human turns that are in both, alike but for case and marks.

    A model that has seen a prompt's comparisons in training is measured too kindly on it: refuse, or split by prompt.
    """
    seen = Counter(first_turn(item.prompt) for item in train)
    shared: dict[str, str] = {}
    of_test = 0
    for item in test:
        if first_turn(item.prompt) in seen:
            of_test += 1
            shared.setdefault(first_turn(item.prompt), item.prompt.first_human_turn)
    of_train = sum(seen[turn] for turn in shared)
    return Overlap(len(shared), of_train, of_test, tuple(shared.values())[:examples])

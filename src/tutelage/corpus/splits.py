"""Splits by prompt: the same question is on the same side in every file and in every round."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tutelage.dialogue import Prompt


class HasPrompt(Protocol):
    """A comparison, a judgment, or whatever else answers a prompt."""

    @property
    def prompt(self) -> Prompt: ...


T = TypeVar("T", bound=HasPrompt)


def normalised(text: str) -> str:
    """The text in lower case, letters and digits only; the text itself where that leaves nothing."""
    return "".join(character for character in text.lower() if character.isalnum()) or text


def bucket(prompt: Prompt, salt: str) -> float:
    """A number in [0, 1) that depends on the salt and the normalised first human turn alone, uniform over prompts."""
    text = f"{salt}\0{normalised(prompt.first_human_turn)}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:8]) >> 11) / 2**53  # 53 bits: all that a float in [0, 1) can hold


def split_by_prompt(items: Iterable[T], fraction: float, salt: str) -> tuple[list[T], list[T]]:
    """The items, in order, in two parts without a common first human turn: the rest, and about `fraction` kept apart.

    Raises:
        ValueError: the fraction is not in [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction must lie in [0, 1], not {fraction}")
    parts: tuple[list[T], list[T]] = ([], [])
    for item in items:
        parts[bucket(item.prompt, salt) < fraction].append(item)
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
    seen = Counter(normalised(item.prompt.first_human_turn) for item in train)
    shared: dict[str, str] = {}
    of_test = 0
    for item in test:
        turn = item.prompt.first_human_turn
        if normalised(turn) in seen:
            of_test += 1
            shared.setdefault(normalised(turn), turn)
    of_train = sum(seen[turn] for turn in shared)
    return Overlap(len(shared), of_train, of_test, tuple(shared.values())[:examples])

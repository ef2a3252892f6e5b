"""What is in files of comparisons: `tutelage data stats`."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tutelage.corpus.rules import Drop, DropCounts
from tutelage.dialogue import Comparison
from tutelage.statistics.intervals import Interval, wilson


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of texts, in characters or in words."""

    median: float
    mean: float
    p95: float


@dataclass(frozen=True, slots=True)
class LengthBias:
    """How often the longer answer (in characters) was chosen, of the comparisons whose answers differ in length."""

    longer_won: Interval
    comparisons: int
    ties: int


@dataclass(frozen=True, slots=True)
class Audit:
    """The audit of one or several files taken together."""

    rows: int
    """Comparisons and whatever was dropped: a line that holds several pairs counts as so many rows."""
    usable: int
    dropped: dict[str, int]
    """Rows by drop reason."""
    turns: dict[int, int]
    """Usable rows by number of turns, the answer included."""
    characters: dict[str, Lengths]
    """Of `prompt` (all its turns), `chosen` and `rejected`."""
    words: dict[str, Lengths]
    length_bias: LengthBias | None
    """None where no two answers differ in length."""
    duplicates: int
    """Usable rows that repeat an earlier one in prompt, chosen and rejected text."""
    prompts: int
    prompts_with_several_comparisons: int


def stats(items: Iterable[Comparison | Drop]) -> Audit:
    """Audit what `sources.read_comparisons` gives, streaming: only lengths and hashes are kept in memory."""
    counts = DropCounts()
    turns: Counter[int] = Counter()
    characters: list[list[int]] = []
    words: list[list[int]] = []
    rows: Counter[int] = Counter()
    prompts: Counter[int] = Counter()
    for comparison in counts.sift(items):
        texts = _texts(comparison)
        turns[len(comparison.prompt.messages) + 1] += 1
        characters.append([sum(map(len, part)) for part in texts])
        words.append([sum(len(text.split()) for text in part) for part in texts])
        rows[hash(texts)] += 1
        prompts[hash(texts[0])] += 1
    return Audit(
        rows=counts.usable + counts.dropped.total(),
        usable=counts.usable,
        dropped=counts.by_key(),
        turns=dict(sorted(turns.items())),
        characters=_lengths(characters),
        words=_lengths(words),
        length_bias=_length_bias(characters),
        duplicates=counts.usable - len(rows),
        prompts=len(prompts),
        prompts_with_several_comparisons=sum(count > 1 for count in prompts.values()),
    )


def _texts(comparison: Comparison) -> tuple[tuple[str, ...], tuple[str], tuple[str]]:
    return comparison.prompt.texts, (comparison.chosen.text,), (comparison.rejected.text,)


def _lengths(rows: list[list[int]]) -> dict[str, Lengths]:
    """By part; empty where no row is usable."""
    if not rows:
        return {}
    columns = zip(("prompt", "chosen", "rejected"), np.array(rows).T, strict=True)
    return {
        part: Lengths(float(np.median(column)), float(column.mean()), float(np.quantile(column, 0.95)))
        for part, column in columns
    }


def _length_bias(characters: list[list[int]]) -> LengthBias | None:
    longer = [chosen > rejected for _, chosen, rejected in characters if chosen != rejected]
    if not longer:
        return None
    return LengthBias(wilson(sum(longer), len(longer)), len(longer), len(characters) - len(longer))

"""Several texts in one row: what all begin with is its prompt, each text a branch that sees it and itself alone."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tutelage.modeling.encoding import Ids
from tutelage.modeling.rows import Group, Rows
from tutelage.modeling.trunk import Trunk

ROW_TOKENS = 512  # a row is filled up to here: longer ones cost more attention than they save of the common beginning


def packed_rows(
    trunk: Trunk, opening: Ids, texts: Sequence[Ids], token_budget: int
) -> Iterator[tuple[Rows, list[int]]]:
    """All texts behind `opening`, in batches of rows of at most `token_budget` tokens (a longer row goes alone).

    Beside each batch, which text each of its branches is.
    """
    packs = pack([len(text) for text in texts], ROW_TOKENS - len(opening))
    groups = [Group(opening, tuple(texts[place] for place in places)) for places in packs]
    for numbers in trunk.batches([group.length for group in groups], token_budget):
        yield trunk.lay([groups[number] for number in numbers]), [place for n in numbers for place in packs[n]]


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Places of the lengths, put together so that none of the sums exceeds `capacity`; a longer one stays alone.

    The longest first, each to the first that it still fits to.
    """
    packs: list[list[int]] = []
    room: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        found = next((number for number, left in enumerate(room) if lengths[place] <= left), len(packs))
        if found == len(packs):
            packs.append([])
            room.append(capacity)
        packs[found].append(place)
        room[found] -= lengths[place]
    return packs


def equal_steps(count: int, size: int, epochs: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """The numbers 0 … count - 1 in a random order, in steps of about `size`, all alike; anew for every epoch."""
    steps = max(1, round(count / size))
    return [step for _ in range(epochs) for step in np.array_split(rng.permutation(count), steps)]

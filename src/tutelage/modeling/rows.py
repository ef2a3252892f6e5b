"""Rows `[prompt | response A | response B …]`: the one layout in which every trained and scored token passes the trunk.

A prompt is laid once and its branches behind it. Each branch attends to the prompt and to itself, and its positions
go on from the prompt's end, so that every number equals that of a separate row [prompt + branch].
R rows, L row length, N branches, T response tokens over all branches, D width.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

PASS_COST = 64  # row tokens that take as long as a pass takes beside its arithmetic, on a CPU
PAD, PROMPT = -1, 0  # segments; the branches of a row are 1, 2, …


@dataclass(frozen=True)
class Group:
    """One prompt and the responses to it, as ids."""

    prompt: tuple[int, ...]
    branches: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not self.prompt:
            raise ValueError("a group needs a prompt of at least one token: its last one predicts every branch's first")
        if not self.branches or not all(self.branches):
            raise ValueError("a group needs at least one branch, and every branch at least one token")

    @property
    def length(self) -> int:
        return len(self.prompt) + sum(map(len, self.branches))


@dataclass(frozen=True)
class Rows:
    """Groups laid as padded rows, one group a row, with integer places; nothing is ever inferred from token ids.

    Branches are numbered 0…N-1 in the order of groups; their tokens 0…T-1 in the order of branches. Places are flat
    indices into R·L. `before_T` is the place of the token that predicts response token t: the one ahead of it in its
    branch, and for the first token of *every* branch the last of the prompt.
    """

    ids_RL: Tensor
    positions_RL: Tensor
    segments_RL: Tensor
    at_T: Tensor
    before_T: Tensor
    targets_T: Tensor
    lengths_N: Tensor

    @property
    def last_N(self) -> Tensor:
        """Number of the last token of each branch."""
        return self.lengths_N.cumsum(0) - 1

    def mask_R1LL(self) -> Tensor:
        """True where a query (third axis) may look at a key (fourth): causal, and to the prompt or its own branch."""
        query, key = self.segments_RL[:, :, None], self.segments_RL[:, None, :]
        causal = torch.ones(self.ids_RL.shape[1], self.ids_RL.shape[1], dtype=torch.bool, device=query.device).tril()
        return (causal & ((key == PROMPT) | (key == query)))[:, None]


def lay(groups: Sequence[Group], device: torch.device | None = None) -> Rows:
    """Groups as rows, padded on the right to the longest."""
    length = max(group.length for group in groups)
    ids = np.zeros((len(groups), length), np.int64)
    positions = np.zeros_like(ids)
    segments = np.full_like(ids, PAD)
    at, before, targets, lengths = [], [], [], []
    for row, group in enumerate(groups):
        start = split = len(group.prompt)
        ids[row, :split], positions[row, :split], segments[row, :split] = group.prompt, np.arange(split), PROMPT
        for number, branch in enumerate(group.branches, start=1):
            place = slice(start, start + len(branch))
            ids[row, place], segments[row, place] = branch, number
            positions[row, place] = np.arange(split, split + len(branch))
            places = np.arange(place.start, place.stop) + row * length
            at.append(places)
            before.append(np.concatenate([[row * length + split - 1], places[:-1]]))
            targets.append(np.array(branch))
            lengths.append(len(branch))
            start = place.stop
    arrays = ids, positions, segments, *map(np.concatenate, (at, before, targets)), np.array(lengths)
    return Rows(*(torch.from_numpy(array).to(device) for array in arrays))


def token_batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices, the shortest row first, cut into batches of at most `budget` tokens, padding included, so that padding
    and passes together cost least. A row longer than the budget goes alone.
    """
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    least, starts = [0], [0]  # cost of the first so many rows, and where their last batch begins
    for end in range(1, len(order) + 1):
        longest = lengths[order[end - 1]]
        options: list[tuple[int, int]] = []
        for start in range(end - 1, -1, -1):
            tokens = (end - start) * longest
            if tokens > budget and options:
                break
            options.append((least[start] + tokens + PASS_COST, start))
        cost, start = min(options)
        least.append(cost)
        starts.append(start)
    cuts = [len(order)]
    while cuts[-1]:
        cuts.append(starts[cuts[-1]])
    for end, start in zip(reversed(cuts[:-1]), reversed(cuts[1:]), strict=True):
        yield order[start:end]

"""Rows `[prompt | response A | response B …]`: the one layout in which every trained and scored token passes the trunk.

A prompt is laid once and its branches behind it. Each branch attends to the prompt and to itself, and its positions
go on from the prompt's end, so that every number equals that of a separate row [prompt + branch]. On a GPU several
groups share a long row, each for itself.
R rows, L row length, N branches, T response tokens over all branches, D width.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

BLOCK = 128  # tokens of a FlexAttention block
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
    """Groups laid as padded rows, with integer places; nothing is ever inferred from token ids.

    Branches are numbered 0…N-1 in the order of groups; their tokens 0…T-1 in the order of branches. Places are flat
    indices into R·L. `before_T` is the place of the token that predicts response token t: the one ahead of it in its
    branch, and for the first token of *every* branch the last of the prompt.
    """

    ids_RL: Tensor
    positions_RL: Tensor
    segments_RL: Tensor
    groups_RL: Tensor
    at_T: Tensor
    before_T: Tensor
    targets_T: Tensor
    lengths_N: Tensor

    @property
    def last_N(self) -> Tensor:
        """Number of the last token of each branch."""
        return self.lengths_N.cumsum(0) - 1

    def mask_R1LL(self) -> Tensor:
        """True where a query (third axis) may look at a key (fourth): causal, in its group, at the prompt or its own
        branch."""
        places = torch.arange(self.ids_RL.shape[1], device=self.ids_RL.device)
        rows = torch.arange(self.ids_RL.shape[0], device=self.ids_RL.device)
        return self._may_look(rows[:, None, None, None], places[:, None], places)

    def block_mask(self) -> BlockMask:
        """The same for FlexAttention, which passes over blocks of the row in which nothing may look at anything."""

        def may_look(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return self._may_look(row, query, key)

        R, L = self.ids_RL.shape
        return create_block_mask(may_look, R, None, L, L, device=self.ids_RL.device.type)

    def _may_look(self, row: Tensor, query: Tensor, key: Tensor) -> Tensor:
        segment, own = self.segments_RL[row, key], self.segments_RL[row, query]
        same_group = self.groups_RL[row, key] == self.groups_RL[row, query]
        return (query >= key) & same_group & ((segment == PROMPT) | (segment == own))


def lay(groups: Sequence[Group], device: torch.device | None = None, packed: bool = False) -> Rows:
    """Groups as rows: one a row, padded on the right to the longest; `packed`: all in one, padded to whole blocks."""
    longest, total = max(group.length for group in groups), sum(group.length for group in groups)
    shape = (1, -(-total // BLOCK) * BLOCK) if packed else (len(groups), longest)
    ids = np.zeros(shape, np.int64)
    positions, owners, segments = np.zeros_like(ids), np.full_like(ids, PAD), np.full_like(ids, PAD)
    at, before, targets, lengths = [], [], [], []
    first = 0
    for number, group in enumerate(groups):
        first = first if packed else number * shape[1]
        split, end = first + len(group.prompt), first + group.length
        owners.flat[first:end] = number
        ids.flat[first:split], segments.flat[first:split] = group.prompt, PROMPT
        positions.flat[first:split] = np.arange(len(group.prompt))
        start = split
        for segment, branch in enumerate(group.branches, start=1):
            places = np.arange(start, start + len(branch))
            ids.flat[places], segments.flat[places] = branch, segment
            positions.flat[places] = len(group.prompt) + np.arange(len(branch))
            at.append(places)
            before.append(np.concatenate([[split - 1], places[:-1]]))
            targets.append(np.array(branch))
            lengths.append(len(branch))
            start += len(branch)
        first = end
    arrays = ids, positions, segments, owners, *map(np.concatenate, (at, before, targets)), np.array(lengths)
    return Rows(*(torch.from_numpy(array).to(device) for array in arrays))


def packed_batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices in order, cut so that the tokens of a batch, packed in one row, stay within `budget`."""
    batch: list[int] = []
    for index, length in enumerate(lengths):
        if batch and sum(lengths[other] for other in batch) + length > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


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


def shared_beginning(texts: Sequence[tuple[int, ...]], at_most: int) -> tuple[int, ...]:
    """What all of the texts begin with, but no more than so many tokens."""
    first, last = min(texts), max(texts)  # what these two share, all do
    same = [one == other for one, other in zip(first, last, strict=False)]
    return first[: min([*same, False].index(False), at_most)]

"""Keys and values of the texts in the making, in buffers that grow with them, and how prompts get into them.

A running text has a slot, and the key of its token t lies in column t: nothing is padded, so that a slot can be filled
anew at any time. The models of `transformers` call `update` for each layer.
B slots in use, P prompts, S tokens of the longest of them, K key/value heads, D head width, L columns.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tutelage.modeling.rows import shared_beginning, token_batches
from tutelage.modeling.trunk import Trunk

PREFILL_TOKENS = 2048  # prompt tokens that pass the trunk at once
GROWTH = 32  # columns that the buffers grow by


class SlotCache:
    """The slots of the running batch, those in use first.

    The buffers are as wide as the longest text needs, in steps of a few columns: of keys and values that do not lie
    side by side, as part of wider buffers', a matrix product makes copies at every step.
    """

    def __init__(self, slots: int, columns: int) -> None:
        self.slots, self.columns = slots, columns
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}  # keys and values (slots, K, columns, D) of each
        self._slots_B = self._columns_B = torch.empty(0, dtype=torch.long)
        self._end = 0

    def at(self, columns_B: Tensor, end: int) -> int:
        """From now on `update` writes these columns of the slots 0…B-1. Returns how many columns it will show: those
        below `end`, and some more."""
        self._slots_B = torch.arange(len(columns_B), device=columns_B.device)
        self._columns_B, self._end = columns_B, _whole_steps(end)
        return self._end

    def update(self, key_BK1D: Tensor, value_BK1D: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Store the new column of each slot; returns all columns so far, some of which lie behind a slot's own text."""
        keys, values = self._at_least(layer, self._end, key_BK1D)
        keys[self._slots_B, :, self._columns_B] = key_BK1D[:, :, 0]
        values[self._slots_B, :, self._columns_B] = value_BK1D[:, :, 0]
        B = len(key_BK1D)
        return keys[:B, :, : self._end], values[:B, :, : self._end]

    def put(self, slots_P: Tensor, prompts: "PromptCache") -> None:
        """Prompts that passed the trunk, into a slot each. Behind a shorter one lies what its text will write over."""
        for layer, new in prompts.layers.items():
            S = new[0].shape[2]
            for buffer, part in zip(self._at_least(layer, S, new[0]), new, strict=True):
                buffer[slots_P, :, :S] = part

    def _at_least(self, layer: int, columns: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """The buffers of a layer, widened where they have fewer columns."""
        if layer not in self._layers:
            nothing = like.new_empty(self.slots, like.shape[1], 0, like.shape[3])
            self._layers[layer] = nothing, nothing
        keys, values = self._layers[layer]
        missing = _whole_steps(columns) - keys.shape[2]
        if missing > 0:
            # Zeros: a column that is not shown has the weight 0, and 0 times what memory happens to hold may be NaN.
            self._layers[layer] = F.pad(keys, (0, 0, 0, missing)), F.pad(values, (0, 0, 0, missing))
        return self._layers[layer]

    @torch.inference_mode()
    def copy(self, pairs: Sequence[tuple[int, int]], columns: int) -> None:
        """The first columns of slots into others, by pairs (from, to); no slot is in two pairs' ends."""
        if not pairs:
            return
        for buffers in self._layers.values():
            sources, targets = torch.tensor(pairs, device=buffers[0].device).T
            for buffer in buffers:
                buffer[targets, :, :columns] = buffer[sources, :, :columns]


def _whole_steps(columns: int) -> int:
    return -(-columns // GROWTH) * GROWTH


class PromptCache:
    """Keys and values (P, K, S, D) by layer that a pass over texts leaves, those of what stands before all in front."""

    def __init__(self, before: "PromptCache | None" = None) -> None:
        self._before = before
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}

    def update(self, key: Tensor, value: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Store a layer's columns; returns them."""
        if self._before is not None:
            first_key, first_value = (part.expand(len(key), -1, -1, -1) for part in self._before.layers[layer])
            key, value = torch.cat([first_key, key], 2), torch.cat([first_value, value], 2)
        self.layers[layer] = key, value
        return key, value


def prefill(trunk: Trunk, prompts: Sequence[tuple[int, ...]]) -> Iterator[tuple[list[int], PromptCache, Tensor]]:
    """Each prompt through the trunk once, what all begin with only once, a few prompts at a time.

    Yields which prompts passed, their keys and values, and the states at their last tokens (P, width).
    """
    shared = _shared(prompts)
    before = PromptCache() if shared else None
    if before is not None:
        hidden_PSD(trunk, before, 0, [prompts[0][:shared]])
    for places in token_batches([len(prompt) - shared for prompt in prompts], PREFILL_TOKENS):
        cache = PromptCache(before)
        texts = [prompts[place][shared:] for place in places]
        both = zip(hidden_PSD(trunk, cache, shared, texts), texts, strict=True)
        yield places, cache, torch.stack([states_SD[len(text) - 1] for states_SD, text in both])


def _shared(prompts: Sequence[tuple[int, ...]]) -> int:
    """How many tokens all prompts begin with; at least one of each is left over, which the first answer token needs."""
    if len(prompts) < 2:
        return 0
    return len(shared_beginning(prompts, min(map(len, prompts)) - 1))


def hidden_PSD(trunk: Trunk, cache: PromptCache, before: int, texts: Sequence[tuple[int, ...]]) -> Tensor:
    """Texts behind `before` tokens that the cache has; the last hidden states of all their tokens.

    They are padded behind their ends, where no token of theirs looks.
    """
    S = max(map(len, texts))
    ids_PS = torch.tensor([[*text, *[0] * (S - len(text))] for text in texts], device=trunk.device)
    positions_PS = torch.arange(before, before + S, device=trunk.device).expand(len(texts), -1)
    behind_SL = torch.ones(S, before + S, dtype=torch.bool, device=trunk.device).triu(before + 1)
    mask_SL = unseen(behind_SL, trunk.dtype)
    return trunk.decode_BQD(ids_PS, positions_PS, mask_SL.expand(len(texts), 1, -1, -1), cache)


def unseen(which: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to attention's scores so that they do not count where `which` says so."""
    return torch.zeros(which.shape, dtype=dtype, device=which.device).masked_fill_(which, float("-inf"))

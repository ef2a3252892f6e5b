"""The key/value cache of decoding, and how prompts get into it.

B rows (samples), P prompts, S tokens behind the shared beginning of the prompts (padded on the left), L columns.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tutelage.modeling.rows import shared_beginning, token_batches
from tutelage.modeling.trunk import Trunk

PREFILL_TOKENS = 2048  # prompt tokens that pass the trunk at once


class KeyValueCache:
    """Keys and values of all layers in buffers that are sized once; the models of `transformers` call `update`.

    Keys lie with their columns last, as the product with a query reads them: otherwise that product copies them all at
    every step.
    """

    def __init__(self, capacity: int, shown_BL: Tensor) -> None:
        self.capacity = capacity
        self.length = 0  # columns filled by finished passes
        self.shown_BL = shown_BL  # which columns a row may look at
        self._keys: dict[int, Tensor] = {}
        self._values: dict[int, Tensor] = {}

    def update(self, key: Tensor, value: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Store the new columns of a layer; returns all its columns so far."""
        end = self.length + key.shape[2]
        if layer not in self._keys:
            self._make(layer, key.shape[1], key.shape[3], key)
        self._keys[layer][..., self.length : end] = key.transpose(2, 3)
        self._values[layer][:, :, self.length : end] = value
        return self._keys[layer][..., :end].transpose(2, 3), self._values[layer][:, :, :end]

    def _make(self, layer: int, K: int, D: int, like: Tensor) -> None:
        # Zeros: a column that is not shown has the weight 0, and 0 times what memory happens to hold may be NaN.
        B = len(self.shown_BL)
        self._keys[layer] = like.new_zeros(B, K, D, self.capacity)
        self._values[layer] = like.new_zeros(B, K, self.capacity, D)

    def put(self, rows: Tensor | slice, part: "KeyValueCache", columns: slice, at: int) -> None:
        """Write columns of another cache, of as many rows or of one for all, into these rows from column `at` on."""
        end = at + columns.stop - columns.start
        for layer, keys in part._keys.items():
            if layer not in self._keys:
                self._make(layer, keys.shape[1], keys.shape[2], keys)
            self._keys[layer][rows, :, :, at:end] = keys[..., columns]
            self._values[layer][rows, :, at:end] = part._values[layer][:, :, columns]

    def keep(self, rows: Tensor) -> None:
        """Keep these rows (an index may occur several times)."""
        self._map(lambda buffer: buffer.index_select(0, rows))

    def _map(self, change: Callable[[Tensor], Tensor]) -> None:
        self.shown_BL = change(self.shown_BL)
        for buffers in (self._keys, self._values):
            for layer, buffer in buffers.items():
                buffers[layer] = change(buffer)


def prefill(
    trunk: Trunk, prompts: Sequence[tuple[int, ...]], n: int, max_tokens: int
) -> tuple[KeyValueCache, Tensor, Tensor]:
    """Each prompt through the trunk once, what all begin with only once; then its row n times.

    Prompts end in the same column, so that all rows write the next one together. Returns the cache, the states at the
    last tokens (B, D) and the prompts' lengths (B,).
    """
    longest, shared = max(map(len, prompts)), _shared(prompts)
    beginning = KeyValueCache(shared, torch.ones(1, shared, dtype=torch.bool, device=trunk.device))
    if shared:
        _pass(trunk, beginning, [prompts[0][:shared]])
    lengths_P = torch.tensor([len(prompt) for prompt in prompts], device=trunk.device)
    columns_L = torch.arange(longest + max_tokens, device=trunk.device)
    shown_PL = (columns_L < shared) | (columns_L >= longest - (lengths_P[:, None] - shared))
    cache = KeyValueCache(longest + max_tokens, shown_PL)
    last_states: list[Tensor] = [torch.empty(0)] * len(prompts)
    for places in token_batches([len(prompt) - shared for prompt in prompts], PREFILL_TOKENS):
        rests = [prompts[place][shared:] for place in places]
        width = max(map(len, rests))
        rows = torch.tensor(places, device=trunk.device)
        part = KeyValueCache(
            shared + width, torch.cat([shown_PL[rows, :shared], shown_PL[rows, longest - width : longest]], 1)
        )
        part.put(slice(None), beginning, slice(0, shared), 0)
        part.length = shared
        for place, state_D in zip(places, _pass(trunk, part, rests), strict=True):
            last_states[place] = state_D
        cache.put(rows, part, slice(0, shared), 0)
        cache.put(rows, part, slice(shared, shared + width), longest - width)
    cache.length = longest
    repeated = torch.arange(len(prompts), device=trunk.device).repeat_interleave(n)
    cache.keep(repeated)
    return cache, torch.stack(last_states)[repeated], lengths_P[repeated]


def _shared(prompts: Sequence[tuple[int, ...]]) -> int:
    """How many tokens all prompts begin with; at least one of each is left over, which the first answer token needs."""
    if len(prompts) == 1:
        return 0
    return len(shared_beginning(prompts, min(map(len, prompts)) - 1))


def _pass(trunk: Trunk, cache: KeyValueCache, texts: Sequence[tuple[int, ...]]) -> Tensor:
    """Texts, padded on the left, behind what the cache holds; returns the states at their last tokens (P, D)."""
    before, width = cache.length, max(map(len, texts))
    ids_PS = torch.tensor([[0] * (width - len(text)) + list(text) for text in texts], device=trunk.device)
    shown_PL = cache.shown_BL[:, : before + width]
    positions_PS = (shown_PL.cumsum(-1)[:, before:] - 1).clamp(min=0)
    causal_SL = torch.ones(width, before + width, dtype=torch.bool, device=trunk.device).tril(before)
    # A padding query looks at itself, so that its softmax is not over nothing.
    mask_P1SL = (causal_SL & shown_PL[:, None] | causal_SL.triu(before))[:, None]
    hidden_PSD = trunk.decode_BQD(ids_PS, positions_PS, mask_P1SL, cache)
    cache.length += width
    return hidden_PSD[:, -1]

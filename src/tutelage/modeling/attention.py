"""The attention that rows and decoding use, plugged into `transformers` models through its attention interface.

B batch, H query heads, K key/value heads, G = H / K, Q queries, L keys, D head width.
"""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from transformers import AttentionInterface

from tutelage.plumbing.errors import InputError

NAME = "tutelage"
FEW_ROWS = 8  # that are decoded at once; of more, plain products are faster than scaled_dot_product_attention


def attention(
    module: torch.nn.Module,
    query_BHQD: Tensor,
    key_BKLD: Tensor,
    value_BKLD: Tensor,
    attention_mask: Tensor | BlockMask | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **unused: Any,
) -> tuple[Tensor, None]:
    """Masked attention; returns (B, Q, H, D). True in `attention_mask` (B, 1, Q, L) means "may look"; a block mask says
    so by blocks; numbers are added to the scores.

    Raises:
        InputError: the model asks for what would change its numbers if it were left out: dropout, soft caps, biases,
            sinks, or a window that is shorter than the row.
    """
    if dropout or any(unused.get(name) is not None for name in ("softcap", "position_bias", "s_aux")):
        raise InputError(
            "the base's attention has dropout, soft caps, biases or sinks, which rows lack; choose another"
        )
    window = unused.get("sliding_window")
    if window is not None and window < key_BKLD.shape[2]:
        raise InputError(
            f"the base attends to {window} tokens at a time, but a row has {key_BKLD.shape[2]}; "
            "lower max_tokens, or choose a base without a sliding window"
        )
    if isinstance(attention_mask, BlockMask):
        attend: Any = _blockwise
    else:
        attend = _decode if query_BHQD.shape[2] == 1 else _masked
    out_BHQD = attend(query_BHQD, key_BKLD, value_BKLD, attention_mask, scaling or query_BHQD.shape[-1] ** -0.5)
    return out_BHQD.transpose(1, 2).contiguous(), None


def _masked(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=scale, is_causal=mask is None, enable_gqa=key.shape[1] < query.shape[1]
    )


def _blockwise(query: Tensor, key: Tensor, value: Tensor, mask: BlockMask, scale: float) -> Tensor:
    """FlexAttention, which passes over blocks that the mask leaves empty; compiled where that can be done."""
    attend = _compiled_flex() if query.is_cuda else flex_attention
    out: Tensor = attend(query, key, value, block_mask=mask, scale=scale, enable_gqa=key.shape[1] < query.shape[1])
    return out


@cache
def _compiled_flex() -> Any:
    return torch.compile(flex_attention, dynamic=True)


def _decode(query_BH1D: Tensor, key_BKLD: Tensor, value_BKLD: Tensor, mask_B11L: Tensor | None, scale: float) -> Tensor:
    """One query a row. The G query heads that share a key head are laid as several queries of one head: on CPU this is
    some times faster than grouped scaled_dot_product_attention, which repeats the keys. Of many rows plain products are
    faster still."""
    B, H, _, D = query_BH1D.shape
    folded_BKGD = query_BH1D.view(B, key_BKLD.shape[1], -1, D)
    if B <= FEW_ROWS:
        out_BKGD = F.scaled_dot_product_attention(folded_BKGD, key_BKLD, value_BKLD, attn_mask=mask_B11L, scale=scale)
        return out_BKGD.view(B, H, 1, D)
    scores_BKGL = (folded_BKGD * scale) @ key_BKLD.transpose(2, 3)
    if mask_B11L is not None and mask_B11L.is_floating_point():
        scores_BKGL += mask_B11L
    elif mask_B11L is not None:
        scores_BKGL = scores_BKGL.masked_fill(~mask_B11L, float("-inf"))
    return (scores_BKGL.softmax(-1) @ value_BKLD).view(B, H, 1, D)


AttentionInterface.register(NAME, attention)

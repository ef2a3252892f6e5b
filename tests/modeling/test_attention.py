"""Attention of one query a row, as decoding has it, is plain attention, of few rows and of many."""

import math

import pytest
import torch
from torch import Tensor, nn

from tutelage.modeling.attention import FEW_ROWS, attention

from .toys import assert_same

H, K, L, D = 6, 2, 10, 8


def plain(query: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> Tensor:
    """Row by row, head by head; (B, 1, H, D)."""
    out = torch.zeros(len(query), 1, H, D)
    for row in range(len(query)):
        for head in range(H):
            keys, values = (part[row, head * K // H, seen[row]] for part in (key, value))
            out[row, 0, head] = (keys @ query[row, head, 0] / math.sqrt(D)).softmax(0) @ values
    return out


@pytest.mark.parametrize("rows", [1, FEW_ROWS, FEW_ROWS + 1, 40])
@pytest.mark.parametrize("mask", ["none", "truth", "numbers"])
def test_one_query_a_row_is_plain_attention(rows: int, mask: str) -> None:
    generator = torch.Generator().manual_seed(rows)
    query, key, value = (torch.randn(rows, *shape, D, generator=generator) for shape in ((H, 1), (K, L), (K, L)))
    seen = torch.ones(rows, L, dtype=torch.bool)
    if mask != "none":
        seen = torch.arange(L) <= torch.arange(rows)[:, None] % L
    masks = {
        "none": None,
        "truth": seen[:, None, None],
        "numbers": torch.zeros(rows, 1, 1, L).masked_fill(~seen[:, None, None], float("-inf")),
    }
    out, _ = attention(nn.Module(), query, key, value, masks[mask])
    assert_same(out, plain(query, key, value, seen))

"""A trunk's linear maps as decoding wants them: the adapter folded into the weights, for many products of few rows.

On a CPU the library of matrix products (oneDNN) lays a weight out anew at each product, which takes as long as the
product itself where it has few rows; here that is done once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

Product = Callable[[Tensor], Tensor]
ROWS = 32  # of a typical product: what the weight is laid out for


@dataclass(frozen=True)
class Folded:
    """The maps of a trunk's layers, in their order, and of its output layer. The trunk's own weights are untouched."""

    layers: list[Product]
    head: Product


def product(weight_OI: Tensor, bias_O: Tensor | None) -> Product:
    """x ↦ x Wᵀ + b of a weight that stays as it is, over the last axis."""
    if not _can_be_laid_out(weight_OI):
        return partial(F.linear, weight=weight_OI, bias=bias_O)
    laid = torch.ops.mkldnn._reorder_linear_weight(weight_OI, ROWS)
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, laid, bias_O, "none", [], "")


def _can_be_laid_out(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    bf16 = weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return weight.dtype == torch.float32 or bool(bf16)

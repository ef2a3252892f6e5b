"""Linear maps whose weights stay as they are: those of a frozen base, and a trunk's with the adapter folded in, for the
many products of few rows that decoding makes.

On a CPU the library of matrix products (oneDNN) lays a weight out anew at each product, which takes as long as the
product itself where it has few rows, and a twentieth of a long one's time; here that is done once. Maps that are given
the same input (a layer's queries, keys and values) are one product there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from torch import Tensor

Product = Callable[[Tensor], Tensor]
ROWS = 32  # what a weight is laid out for; products of thousands of rows were no slower with it


@dataclass(frozen=True)
class Folded:
    """The maps of a trunk's layers, in their order. The trunk's own weights keep their values.

    Of maps that are one product in the trunk's own pass, the first is that product and the others are None.
    """

    layers: list[Product | None]


def products(weights: Sequence[Tensor], biases: Sequence[Tensor | None]) -> list[Product]:
    """The maps of several weights (O, I) that are given one and the same input, one after the other."""
    given = [bias for bias in biases if bias is not None]
    if len(weights) == 1 or not _can_be_laid_out(weights[0]) or len(given) not in (0, len(biases)):
        return [product(weight, bias) for weight, bias in zip(weights, biases, strict=True)]
    joint = _Joint(joint_product(weights, biases), list(map(len, weights)))
    return [partial(joint, place) for place in range(len(weights))]


def joint_product(weights: Sequence[Tensor], biases: Sequence[Tensor | None]) -> Product:
    """The outputs of several weights (O, I) for one input, next to each other; all have a bias or none has."""
    return product(torch.cat(list(weights)), joint_bias(biases))


def joint_bias(biases: Sequence[Tensor | None]) -> Tensor | None:
    given = [bias for bias in biases if bias is not None]
    return torch.cat(given) if given else None


class _Joint:
    """Several maps as one product, made when the first of them is given a new input."""

    def __init__(self, whole: Product, widths: list[int]) -> None:
        self._whole, self._widths = whole, widths
        self._input: Tensor | None = None  # held, so that no other tensor can take its identity
        self._outputs: Sequence[Tensor] = ()

    def __call__(self, place: int, x: Tensor) -> Tensor:
        if x is not self._input:
            self._input, self._outputs = x, self._whole(x).split(self._widths, -1)
        output = self._outputs[place]
        if place == len(self._widths) - 1:  # the last of them; of a long prompt's states none should stay
            self._input, self._outputs = None, ()
        return output


class FrozenMap:
    """x ↦ x Wᵀ + b of a weight that never changes, and g ↦ g W, its gradient.

    On a CPU each takes as much memory as the weight from when it is first asked for. Autograd does not see into them.
    """

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None) -> None:
        self.weight_OI, self._bias_O = weight_OI, bias_O

    def __deepcopy__(self, memo: object) -> "FrozenMap":
        return self  # of a copied model it is made anew: it holds the weights of this one

    def holds(self, *weights: Tensor) -> bool:
        """Whether it was made of these, one below the other. What was written into them since is not seen."""
        rows = sum(map(len, weights))
        return self.weight_OI.data_ptr() == weights[0].data_ptr() and len(self.weight_OI) == rows

    @cached_property
    def forward(self) -> Product:
        return product(self.weight_OI, self._bias_O)

    @cached_property
    def backward(self) -> Product:
        return product(self.weight_OI.T, None)


def product(weight_OI: Tensor, bias_O: Tensor | None) -> Product:
    """x ↦ x Wᵀ + b of a weight that stays as it is, over the last axis."""
    if not _can_be_laid_out(weight_OI):
        return partial(F.linear, weight=weight_OI, bias=bias_O)
    laid = torch.ops.mkldnn._reorder_linear_weight(weight_OI.contiguous(), ROWS)
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, laid, bias_O, "none", [], "")


def _can_be_laid_out(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    bf16 = weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return weight.dtype == torch.float32 or bool(bf16)

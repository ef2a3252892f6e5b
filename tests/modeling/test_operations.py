"""What a layer computes between its products: values by plain formulas, gradients by finite differences."""

import math

import pytest
import torch
from torch import Tensor

from tutelage.modeling import operations
from tutelage.modeling.folding import FrozenMap
from tutelage.modeling.operations import AdaptedProduct, Attention, GatedSiLU, RMSNorm

R, L, H, K, D = 2, 7, 4, 2, 6


def drawn(*shape: int, seed: int = 0, learns: bool = True) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_(learns)


def test_rms_norm() -> None:
    x, weight = drawn(3, 5, 8), drawn(8, seed=1, learns=False)
    plain = weight * x / (x.square().mean(-1, keepdim=True) + 0.1).sqrt()
    torch.testing.assert_close(RMSNorm.apply(x, weight, 0.1), plain)
    assert torch.autograd.gradcheck(lambda x: RMSNorm.apply(x, weight, 0.1), (x,))


def test_gated_silu() -> None:
    both = drawn(3, 5, 8)
    torch.testing.assert_close(GatedSiLU.apply(both), both[..., :4] * both[..., :4].sigmoid() * both[..., 4:])
    assert torch.autograd.gradcheck(GatedSiLU.apply, (both,))


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("input_learns", [False, True])
def test_adapted_products_of_one_input(biased: bool, input_learns: bool) -> None:
    x, weight = drawn(5, 8, learns=input_learns), drawn(6, 8, seed=1, learns=False)
    bias = drawn(6, seed=2, learns=False) if biased else None
    factors = [drawn(3, 8, seed=3), drawn(4, 3, seed=4), drawn(2, 8, seed=5), drawn(2, 2, seed=6)]  # of 4 and 2 outputs
    updates = torch.cat([x @ a.T @ b.T for a, b in zip(factors[::2], factors[1::2], strict=True)], 1)
    plain = x @ weight.T + (0 if bias is None else bias) + 2.0 * updates
    inputs = x, FrozenMap(weight, bias), 2.0, *factors
    torch.testing.assert_close(AdaptedProduct.apply(*inputs), plain)
    assert torch.autograd.gradcheck(AdaptedProduct.apply, inputs)


def test_adapted_products_in_bf16_are_those_in_fp32_but_for_rounding() -> None:
    shapes = ((5, 8), (6, 8), (3, 8), (4, 3), (2, 8), (2, 2), (5, 6))  # x, W, two pairs of factors, the gradient of y
    exact = [drawn(*shape, seed=seed, learns=False) for seed, shape in enumerate(shapes)]
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        x, weight, *factors, slope = (tensor.to(dtype) for tensor in exact)  # fp64 itself is never laid out
        learning = [tensor.requires_grad_() for tensor in (x, *factors)]
        out = AdaptedProduct.apply(x, FrozenMap(weight, None), 2.0, *factors)
        found.append([out.detach(), *torch.autograd.grad(out, learning, slope)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other.float(), one, rtol=0.03, atol=0.03 * float(one.abs().max()))


def angles() -> tuple[Tensor, Tensor]:
    """As the layers give them: of each pair of coordinates, the first one's sine negated."""
    turns = drawn(R, L, 1, D // 2, seed=5, learns=False)
    return torch.cat([turns.cos()] * 2, -1), torch.cat([-turns.sin(), turns.sin()], -1)


def plain_attention(joint: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Row by row, head by head, place by place."""
    vectors = joint.view(R, L, H + 2 * K, D)
    first, second = vectors.chunk(2, -1)
    turned = vectors * cos + torch.cat([second, first], -1) * sin
    out = []
    for row in range(R):
        for place in range(L):
            for head in range(H):
                shared = head * K // H
                scores = scale * turned[row, :, H + shared] @ turned[row, place, head] + mask[row, 0, place]
                out.append(scores.softmax(0) @ vectors[row, :, H + K + shared])
    return torch.stack(out).view(R, L, H * D)


@pytest.mark.parametrize("block", [3, 128])
def test_attention(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "BLOCK", block)
    looks = torch.ones(R, 1, L, L, dtype=torch.bool).tril()
    looks[1, 0, 5:, 2:5] = False  # a second branch, which does not see the first
    mask = torch.zeros(looks.shape, dtype=torch.float64).masked_fill(~looks, -math.inf)
    joint = drawn(R, L, (H + 2 * K) * D)

    def ours(joint: Tensor) -> Tensor:
        seen: Tensor = Attention.apply(joint, *angles(), mask, (H, K), 0.4)
        return seen

    torch.testing.assert_close(ours(joint), plain_attention(joint, *angles(), mask, 0.4))
    assert torch.autograd.gradcheck(ours, (joint,))

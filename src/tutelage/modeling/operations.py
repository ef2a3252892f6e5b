"""What a layer computes between its products, forward and backward written out for few passes over memory on a CPU.

Autograd's own derivations make and keep an intermediate for every elementary operation; on a CPU those passes take as
long as the products do. R rows, L row length, H query heads, K key/value heads, G = H / K, D width of a vector.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tutelage.modeling.folding import FrozenMap

BLOCK = 128  # queries whose scores are made at once: those of earlier ones do not look at later keys


def wide(x: Tensor) -> Tensor:
    """A copy in at least single precision."""
    return x.to(wide_type(x), copy=True)


def wide_type(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def rms_norm(x: Tensor, weight_D: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """weight · x / √(mean x² + ε) over the last axis (Zhang and Sennrich 2019), and 1 / √(mean x² + ε)."""
    scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=wide_type(x))
    scale = scale.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
    return wide(x).mul_(scale).to(x.dtype).mul_(weight_D), scale


def gated_silu(both: Tensor) -> Tensor:
    """silu(gate) · up of [gate, up] along the last axis (Shazeer 2020)."""
    gate, up = both.chunk(2, -1)
    return F.silu(gate).mul_(up)


class RMSNorm(torch.autograd.Function):
    """`rms_norm` with its gradient; the weight is frozen."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_D: Tensor, epsilon: float) -> Tensor:
        out, scale = rms_norm(x, weight_D, epsilon)
        ctx.save_for_backward(x, weight_D, scale)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, weight_D, scale = ctx.saved_tensors
        direction, slope = wide(x).mul_(scale), wide(grads[0]).mul_(weight_D)
        along = torch.linalg.vecdot(direction, slope)[..., None].div_(-x.shape[-1])
        return slope.addcmul_(direction, along).mul_(scale).to(x.dtype), None, None


class GatedSiLU(torch.autograd.Function):
    """`gated_silu` with its gradient."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        ctx.save_for_backward(both)
        return gated_silu(both)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (both,) = ctx.saved_tensors
        gate, up = both.chunk(2, -1)
        slope = torch.empty_like(both)
        of_gate, of_up = slope.chunk(2, -1)
        torch.ops.aten.silu_backward.grad_input(grads[0] * up, gate, grad_input=of_gate)
        torch.ops.aten.silu.out(gate, out=of_up).mul_(grads[0])
        return slope


class AdaptedProduct(torch.autograd.Function):
    """Maps with the same input next to each other, each x Wᵀ + b + scale · (x Aᵀ) Bᵀ with a frozen W: the low-rank
    updates are added in place, forward and backward. `frozen`: the maps joined; `factors`: A and B of each in the same
    order, of any ranks. N inputs, R sum of the ranks."""

    @staticmethod
    def forward(ctx: Any, x_NI: Tensor, frozen: FrozenMap, scale: float, *factors: Tensor) -> Tensor:
        a_RI, ups = torch.cat(factors[::2]), factors[1::2]
        low_NR, out_NO = F.linear(x_NI, a_RI), frozen.forward(x_NI)
        for out, low, b in zip(*_by_map(out_NO, low_NR, ups), ups, strict=True):
            out.addmm_(low, b.T, alpha=scale)
        ctx.save_for_backward(x_NI, a_RI, low_NR, *ups)
        ctx.frozen, ctx.scale = frozen, scale
        return out_NO

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x_NI, a_RI, low_NR, *ups = ctx.saved_tensors
        of_out, low = _by_map(grads[0], low_NR, ups)
        slope_NR = torch.cat([grad @ b for grad, b in zip(of_out, ups, strict=True)], 1).mul_(ctx.scale)
        of_x = ctx.frozen.backward(grads[0]).addmm_(slope_NR, a_RI) if ctx.needs_input_grad[0] else None
        of_a = (slope_NR.T @ x_NI).split([b.shape[1] for b in ups])
        # Few rows by many columns: a fifth faster on a CPU than the other way round.
        of_b = [(part.T @ grad).mul_(ctx.scale).T for part, grad in zip(low, of_out, strict=True)]
        return of_x, None, None, *(part for pair in zip(of_a, of_b, strict=True) for part in pair)


def _by_map(out_NO: Tensor, low_NR: Tensor, ups: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """The columns of each map."""
    return out_NO.split([len(b) for b in ups], 1), low_NR.split([b.shape[1] for b in ups], 1)


class Attention(torch.autograd.Function):
    """Masked grouped-query attention with rotary positions (Su et al. 2021) of rows [queries, keys, values].

    `mask_R1LL` is added to the scores; what lies behind a query must be masked. The query heads that share a key head
    are laid as several queries of one head, and the scores are plain products: on a CPU this is twice as fast as
    scaled_dot_product_attention, and its gradient three times.
    """

    @staticmethod
    def forward(
        ctx: Any, joint: Tensor, cos: Tensor, sin: Tensor, mask_R1LL: Tensor, heads: tuple[int, int], scale: float
    ) -> Tensor:
        (R, L, _), (H, K) = joint.shape, heads
        vectors = joint.view(R, L, H + 2 * K, -1)
        turned = rotated(vectors[:, :, : H + K], cos, sin)
        query = by_key_head(turned[:, :, :H] * scale, K)
        key, value = by_key_head(turned[:, :, H:], K), by_key_head(vectors[:, :, H + K :], K)
        G, out, shares = H // K, torch.empty_like(query), []
        for start, end in blocks(L):
            scores = query[:, start * G : end * G] @ key[:, :end].mT
            scores.view(R, K, end - start, G, end).add_(mask_R1LL[:, :, start:end, None, :end])
            shares.append(scores.softmax(-1))
            out[:, start * G : end * G] = shares[-1] @ value[:, :end]
        ctx.save_for_backward(query, key, value, cos, sin, *shares)
        ctx.heads, ctx.scale = heads, scale
        return by_place(out, R, L).flatten(2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        query, key, value, cos, sin, *shares = ctx.saved_tensors
        (R, L, _), (H, K) = grads[0].shape, ctx.heads
        grad, of_query = by_key_head(grads[0].view(R, L, H, -1), K), torch.empty_like(query)
        of_key, of_value = (torch.zeros(key.shape, dtype=wide_type(key)) for _ in range(2))
        G = H // K
        for (start, end), share in zip(blocks(L), shares, strict=True):
            own = slice(start * G, end * G)
            of_value[:, :end] += share.mT @ grad[:, own]
            slope = torch.ops.aten._softmax_backward_data(grad[:, own] @ value[:, :end].mT, share, -1, share.dtype)
            of_query[:, own] = slope @ key[:, :end]
            of_key[:, :end] += slope.mT @ query[:, own]
        joint = grads[0].new_empty(R, L, H + 2 * K, query.shape[-1])
        joint[:, :, :H] = by_place(of_query, R, L).mul_(ctx.scale)
        joint[:, :, H : H + K], joint[:, :, H + K :] = by_place(of_key, R, L), by_place(of_value, R, L)
        joint[:, :, : H + K] = rotated_back(joint[:, :, : H + K], cos, sin)
        return joint.flatten(2), None, None, None, None, None


def blocks(length: int) -> list[tuple[int, int]]:
    return [(start, min(start + BLOCK, length)) for start in range(0, length, BLOCK)]


def by_key_head(vectors_RLHD: Tensor, heads: int) -> Tensor:
    """(R·K, L·G, D), next to each other what shares a key head."""
    R, L, H, D = vectors_RLHD.shape
    return vectors_RLHD.reshape(R, L, heads, H // heads, D).transpose(1, 2).reshape(R * heads, -1, D)


def by_place(vectors: Tensor, R: int, L: int) -> Tensor:
    """(R, L, H, D) of the above."""
    D = vectors.shape[-1]
    return vectors.view(R, -1, L, vectors.shape[1] // L, D).transpose(1, 2).reshape(R, L, -1, D)


def rotated(vectors_RLHD: Tensor, cos_RL1D: Tensor, sin_RL1D: Tensor) -> Tensor:
    """Each pair of coordinates (i, i + D/2) turned by its place's angle; the first half of the sine is negated."""
    half = vectors_RLHD.shape[-1] // 2
    return torch.addcmul(vectors_RLHD * cos_RL1D, vectors_RLHD.roll(half, -1), sin_RL1D)


def rotated_back(vectors_RLHD: Tensor, cos_RL1D: Tensor, sin_RL1D: Tensor) -> Tensor:
    """The transpose of that map, as its gradient has it."""
    return rotated(vectors_RLHD, cos_RL1D, -sin_RL1D)

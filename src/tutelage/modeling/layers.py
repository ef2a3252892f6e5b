"""The layers of Llama and its like as a few large operations each, for a CPU.

The modules are those of `transformers`; only the way through them is written out here. When a base is loaded, what it
gives is checked against the model's own pass. Models of another build take that one.
R rows, L row length, B texts, Q new tokens, D width, H query heads, K key/value heads, O outputs, I inputs.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaModel, MistralModel, Qwen2Model

from tutelage.modeling.adapters import SCALE, AdaptedLinear
from tutelage.modeling.attention import attention
from tutelage.modeling.folding import FrozenMap, joint_bias
from tutelage.modeling.operations import AdaptedProduct, Attention, GatedSiLU, RMSNorm, gated_silu, rms_norm, rotated
from tutelage.modeling.rows import Rows


def can_be_written_out(decoder: nn.Module) -> bool:
    """Whether the ways below compute what this decoder does."""
    config: Any = decoder.config
    alike = type(decoder) in (LlamaModel, MistralModel, Qwen2Model) and config.hidden_act == "silu"
    return alike and getattr(config, "sliding_window", None) is None and not config.attention_dropout


def rows_RLD(decoder: Any, rows: Rows) -> Tensor:
    """Hidden states of all tokens of the rows, after all layers and the norm."""
    states: Tensor = decoder.embed_tokens(rows.ids_RL)
    angles = _angles(decoder, states, rows.positions_RL)
    looks_R1LL = rows.mask_R1LL()
    mask_R1LL = torch.zeros_like(looks_R1LL, dtype=states.dtype).masked_fill_(~looks_R1LL, float("-inf"))

    def attend(layer: Any, joint: Tensor) -> Tensor:
        seen: Tensor = Attention.apply(joint, *angles, mask_R1LL, _heads(decoder), layer.scaling)  # type: ignore[no-untyped-call]
        return seen

    return _through(decoder, states, attend)


def cached_BQD(decoder: Any, ids_BQ: Tensor, positions_BQ: Tensor, mask_B1QL: Tensor, cache: Any) -> Tensor:
    """Hidden states of new tokens over a key/value cache, without gradients."""
    states: Tensor = decoder.embed_tokens(ids_BQ)
    angles, (H, K) = _angles(decoder, states, positions_BQ), _heads(decoder)

    def attend(layer: Any, joint: Tensor) -> Tensor:
        vectors = joint.unflatten(-1, (H + 2 * K, -1))
        turned = rotated(vectors[:, :, : H + K], *angles)
        new = turned[:, :, H:].transpose(1, 2), vectors[:, :, H + K :].transpose(1, 2)
        keys, values = cache.update(*new, layer.layer_idx)
        seen, _ = attention(layer, turned[:, :, :H].transpose(1, 2), keys, values, mask_B1QL, layer.scaling)
        return seen.flatten(2)

    return _through(decoder, states, attend)


def _through(decoder: Any, states: Tensor, attend: Callable[[Any, Tensor], Tensor]) -> Tensor:
    """The layers and the norm; `attend` gives what a layer sees of the joint queries, keys and values."""
    for layer in decoder.layers:
        its, mlp = layer.self_attn, layer.mlp
        joint = product(_normed(layer.input_layernorm, states), its.q_proj, its.k_proj, its.v_proj)
        states = states + product(attend(its, joint), its.o_proj)
        joint = product(_normed(layer.post_attention_layernorm, states), mlp.gate_proj, mlp.up_proj)
        states = states + product(_gated(joint), mlp.down_proj)
    return _normed(decoder.norm, states)


def _heads(decoder: Any) -> tuple[int, int]:
    return decoder.config.num_attention_heads, decoder.config.num_key_value_heads


def _normed(norm: Any, states: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return rms_norm(states, norm.weight, norm.variance_epsilon)[0]
    normed: Tensor = RMSNorm.apply(states, norm.weight, norm.variance_epsilon)  # type: ignore[no-untyped-call]
    return normed


def _gated(joint: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return gated_silu(joint)
    gated: Tensor = GatedSiLU.apply(joint)  # type: ignore[no-untyped-call]
    return gated


def _angles(decoder: Any, states: Tensor, positions_RL: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines (R, L, 1, D) as `rotated` takes them."""
    cos, sin = decoder.rotary_emb(states, position_ids=positions_RL)
    first, second = sin.chunk(2, -1)
    return cos[:, :, None], torch.cat([-first, second], -1)[:, :, None]


def product(x: Tensor, *maps: AdaptedLinear) -> Tensor:
    """The outputs of maps with the same input, next to each other, from one product with their weights."""
    if (folded := maps[0].folded) is not None:
        return folded(x)
    name = maps[0].active
    if name is not None and name in maps[0].whole:
        return F.linear(x, torch.cat([one.whole[name] for one in maps]), joint_bias([one.base.bias for one in maps]))
    frozen = frozen_map(*maps)
    if name is None:
        return frozen.forward(x)
    factors = (factor for one in maps for factor in (one.lora_A[name], one.lora_B[name]))
    out: Tensor = AdaptedProduct.apply(x.flatten(0, -2), frozen, SCALE, *factors)  # type: ignore[no-untyped-call]
    return out.view(*x.shape[:-1], -1)


def frozen_map(*maps: AdaptedLinear) -> FrozenMap:
    """Maps without their adapters as one; made once, and again if the model has been given other weights."""
    first = maps[0]
    if first.frozen is None or not first.frozen.holds(*(one.base.weight for one in maps)):
        first.frozen = FrozenMap(joint_weight(*maps), joint_bias([one.base.bias for one in maps]))
    return first.frozen


def joint_weight(*maps: AdaptedLinear) -> Tensor:
    """The frozen weights of maps one below the other; from then on the maps' own are parts of it."""
    weights = [one.base.weight for one in maps]
    storage = weights[0].untyped_storage().data_ptr()
    place = weights[0].data_ptr()
    for weight in weights:
        if weight.data_ptr() != place or weight.untyped_storage().data_ptr() != storage:
            break
        place += weight.numel() * weight.itemsize
    else:
        rows = sum(map(len, weights))
        return weights[0].data.as_strided((rows, weights[0].shape[1]), weights[0].stride())
    joint_OI = torch.cat([weight.data for weight in weights])
    for weight, part_OI in zip(weights, joint_OI.split([len(weight) for weight in weights]), strict=True):
        weight.data = part_OI
    return joint_OI

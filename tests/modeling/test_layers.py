"""The way through the layers that is written out gives what the model's own modules give, and their gradients."""

import pytest
import torch
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from tutelage.modeling import attention
from tutelage.modeling.encoding import DialogueFormat, Encoder
from tutelage.modeling.layers import can_be_written_out, frozen_map, joint_weight
from tutelage.modeling.rows import lay
from tutelage.modeling.tiny import tiny_tokenizer
from tutelage.modeling.trunk import Trunk

from .toys import add_random_adapter, assert_same, random_groups

ROWS = lay(random_groups(0, 4, longest=90))
SIZES = {
    "vocab_size": 261, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "pad_token_id": None,
}  # fmt: skip
KINDS = {
    "llama": (LlamaConfig, LlamaForCausalLM, {"attention_bias": True, "mlp_bias": True}),
    "mistral": (MistralConfig, MistralForCausalLM, {"sliding_window": None, "head_dim": 16}),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, {}),
}


def trunk_of(kind: str, dtype: torch.dtype = torch.float32) -> Trunk:
    config, model, options = KINDS[kind]
    torch.manual_seed(0)
    made = model(config(**SIZES, **options))
    for name, parameter in made.named_parameters():
        if name.endswith("bias"):
            parameter.data.normal_()
    made.set_attn_implementation(attention.NAME)
    return Trunk(made.to(dtype), Encoder(tiny_tokenizer(), DialogueFormat()), kind, "")


def gradients(trunk: Trunk, by_modules: bool) -> tuple[Tensor, Tensor]:
    """Hidden states, and the adapter's gradient of a sum of them."""
    weights_RLD = torch.randn(*ROWS.ids_RL.shape, trunk.width, generator=torch.Generator().manual_seed(1))
    parameters = trunk.adapter_parameters("a").values()
    with trunk.using("a", trained=True):
        hidden_RLD = trunk.hidden_RLD(ROWS, by_modules=by_modules)
        found = torch.autograd.grad((weights_RLD * hidden_RLD).sum(), list(parameters))
    return hidden_RLD.detach(), torch.cat([part.flatten() for part in found])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rank", [4, 0])
def test_states_and_gradients_are_those_of_the_modules(kind: str, rank: int) -> None:
    trunk = trunk_of(kind)
    assert can_be_written_out(trunk.model.get_decoder())
    add_random_adapter(trunk, "a", rank=rank)
    for ours, theirs in zip(gradients(trunk, False), gradients(trunk, True), strict=True):
        assert_same(ours, theirs)
    with trunk.using(None):
        assert_same(trunk.hidden_RLD(ROWS), trunk.hidden_RLD(ROWS, by_modules=True))


@pytest.mark.parametrize("rank", [4, 0])
def test_with_and_without_gradients_the_states_are_the_same_bits(rank: int) -> None:
    trunk = trunk_of("llama", torch.bfloat16)
    trunk.add_adapter("a", rank, seed=0)
    with trunk.using("a", trained=True):
        learning = trunk.hidden_RLD(ROWS)
    with trunk.using("a"):
        assert torch.equal(trunk.hidden_RLD(ROWS), learning.detach())
    with trunk.using(None):  # a fresh adapter changes nothing
        assert torch.equal(trunk.hidden_RLD(ROWS), learning.detach())


def test_models_of_another_build_take_their_own_way() -> None:
    for model in (
        Qwen3ForCausalLM(Qwen3Config(**SIZES)),
        MistralForCausalLM(MistralConfig(**SIZES, sliding_window=20)),
        LlamaForCausalLM(LlamaConfig(**SIZES, hidden_act="gelu")),
        LlamaForCausalLM(LlamaConfig(**SIZES, attention_dropout=0.1)),
    ):
        assert not can_be_written_out(model.get_decoder())


def test_joint_weights_are_held_once_and_follow_the_model() -> None:
    trunk = trunk_of("llama")
    its = trunk.model.get_decoder().layers[0].self_attn
    maps = its.q_proj, its.k_proj, its.v_proj
    before = [one.base.weight.clone() for one in maps]
    joint_OI = joint_weight(*maps)
    assert torch.equal(joint_OI, torch.cat(before))
    assert joint_weight(*maps).data_ptr() == joint_OI.data_ptr() == maps[0].base.weight.data_ptr()
    assert all(torch.equal(one.base.weight, weight) for one, weight in zip(maps, before, strict=True))
    frozen = frozen_map(*maps)
    assert frozen_map(*maps) is frozen
    trunk.model.to(torch.bfloat16)
    assert torch.equal(joint_weight(*maps), torch.cat(before).bfloat16())
    assert torch.equal(frozen_map(*maps).weight_OI, torch.cat(before).bfloat16())

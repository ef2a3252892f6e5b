"""Folded maps: the same numbers in fewer products, and the trunk's weights keep their values."""

import copy

import pytest
import torch
import torch.nn.functional as F

from tutelage.modeling import folding
from tutelage.modeling.folding import FrozenMap, Product, product, products
from tutelage.modeling.rows import Group
from tutelage.modeling.trunk import Trunk

from .toys import add_random_adapter, assert_same


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 24), (5, 1, 24), (2, 3, 24), (300, 24)])
@pytest.mark.parametrize("biased", [False, True])
def test_a_product_is_the_linear_map(dtype: torch.dtype, shape: tuple[int, ...], biased: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(40, 24, generator=generator).to(dtype), torch.randn(40, generator=generator).to(dtype)
    x = torch.randn(shape, generator=generator).to(dtype)
    with torch.no_grad():
        ours = product(weight, bias if biased else None)(x)
    assert ours.dtype == dtype
    assert_same(
        ours.float(), F.linear(x, weight, bias if biased else None).float(), 1e-5 if dtype.itemsize == 4 else 1e-2
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_frozen_map_and_its_gradient(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias, x, gradient = (torch.randn(shape, generator=generator) for shape in ((40, 24), 40, (9, 24), (9, 40)))
    frozen = FrozenMap(weight.to(dtype), bias.to(dtype))
    bound = 1e-2 if dtype == torch.bfloat16 else 1e-5
    assert_same(frozen.forward(x.to(dtype)).float(), F.linear(x, weight, bias), bound)
    assert_same(frozen.backward(gradient.to(dtype)).float(), gradient @ weight, bound)


def test_maps_without_adapter_are_laid_out_once_and_follow_the_model(tiny: Trunk) -> None:
    one, other = tiny.fold(None), tiny.fold(None)
    assert one.layers == other.layers
    head = tiny.frozen_head
    assert tiny.frozen_head is head
    copied = copy.deepcopy(tiny.model.get_decoder().layers[0].self_attn.q_proj)
    assert copied.frozen is tiny.adapted_layers[0].frozen
    assert not copied.frozen.holds(copied.base.weight)
    tiny.model.to(torch.bfloat16)
    assert tiny.frozen_head is not head
    assert tiny.frozen_head.weight_OI.dtype == torch.bfloat16


@pytest.mark.parametrize("biased", [(), (0, 1), (1,)], ids=str)
def test_maps_that_are_given_the_same_input_are_the_linear_maps(biased: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(width, 24, generator=generator) for width in (40, 8)]
    biases = [torch.randn(len(w), generator=generator) if place in biased else None for place, w in enumerate(weights)]
    maps = products(weights, biases)
    inputs = [torch.randn(2, 3, 24, generator=generator) for _ in range(2)]
    with torch.no_grad():
        for place, which in ((0, 0), (1, 0), (0, 1), (1, 1), (1, 0), (0, 1)):  # in turn, and out of it
            expected = F.linear(inputs[which], weights[place], biases[place])
            assert_same(maps[place](inputs[which]), expected)


def test_a_layers_queries_keys_and_values_are_one_product(tiny: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(weight_OI: torch.Tensor, bias_O: torch.Tensor | None) -> Product:
        its = product(weight_OI, bias_O)

        def call(x: torch.Tensor) -> torch.Tensor:
            made.append(len(weight_OI))
            return its(x)

        return call

    monkeypatch.setattr(folding, "product", counted)
    with tiny.holding(tiny.fold(None)):
        tiny.hidden_RLD(tiny.lay([Group((20,), ((30,),))]))
    width, layers = tiny.width, tiny.model.config.num_hidden_layers
    assert made == [2 * width, width, 2 * 2 * width, width] * layers  # half as many key heads; an MLP twice as wide


@pytest.mark.parametrize("rank", [4, 0])
def test_a_trunk_that_holds_folded_maps_computes_as_with_the_adapter(tiny: Trunk, rank: int) -> None:
    add_random_adapter(tiny, "policy", rank=rank)
    rows = tiny.lay([Group((20, 21, 22), ((30, 31), (32,)))])
    with tiny.using("policy"):
        expected = tiny.hidden_RLD(rows)
        with tiny.holding(tiny.fold(tiny.active)):
            held = tiny.hidden_RLD(rows)
            logits = tiny.logits(held, 1.0)
        again = tiny.hidden_RLD(rows)
        assert_same(logits, tiny.logits(expected, 1.0))
    assert_same(held, expected)
    assert again.equal(expected)
    with tiny.using(None):
        assert not torch.allclose(tiny.hidden_RLD(rows), expected, atol=1e-3)


def test_folded_maps_are_the_adapter_as_it_was(tiny: Trunk) -> None:
    add_random_adapter(tiny, "policy")
    rows = tiny.lay([Group((20, 21, 22), ((30, 31), (32,)))])
    folded = tiny.fold("policy")
    with tiny.using("policy"):
        expected = tiny.hidden_RLD(rows)
    tiny.drop_adapter("policy")
    with tiny.holding(folded):
        assert_same(tiny.hidden_RLD(rows), expected)
        assert not torch.is_grad_enabled()


def test_an_error_within_lets_go_of_them(tiny: Trunk) -> None:
    add_random_adapter(tiny, "policy")
    with pytest.raises(KeyError), tiny.holding(tiny.fold("policy")):
        raise KeyError
    rows = tiny.lay([Group((20, 21, 22), ((30, 31),))])
    with tiny.using("policy"):
        adapted = tiny.hidden_RLD(rows)
    with tiny.using(None):
        assert not adapted.equal(tiny.hidden_RLD(rows))

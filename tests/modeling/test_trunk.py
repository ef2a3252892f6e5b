"""One trunk, several adapters, and the log-probs of its frozen output layer."""

import pytest
import torch
from torch import Tensor

from tutelage.modeling import trunk as trunk_module
from tutelage.modeling.folding import FrozenMap
from tutelage.modeling.rows import Rows, lay
from tutelage.modeling.trunk import FrozenHeadLogProbs, Trunk
from tutelage.plumbing.errors import InputError

from .toys import add_random_adapter, assert_same, random_groups

ROWS = lay(random_groups(0, 3))


def hidden(trunk: Trunk, adapter: str | None, rows: Rows = ROWS) -> Tensor:
    with trunk.using(adapter):
        return trunk.hidden_RLD(rows)


# Adapters


def test_a_fresh_adapter_changes_nothing_and_a_trained_one_leaves_the_base_as_it_was(tiny: Trunk) -> None:
    base = hidden(tiny, None)
    tiny.add_adapter("a", 4, seed=0)
    assert torch.equal(hidden(tiny, "a"), base)
    add_random_adapter(tiny, "b")
    assert not torch.allclose(hidden(tiny, "b"), base)
    assert torch.equal(hidden(tiny, None), base)
    assert torch.equal(hidden(tiny, "a"), base)


def test_adapters_do_not_disturb_each_other(tiny: Trunk) -> None:
    add_random_adapter(tiny, "a", seed=1)
    alone = hidden(tiny, "a")
    add_random_adapter(tiny, "b", seed=2, rank=2)
    b = hidden(tiny, "b")
    assert torch.equal(hidden(tiny, "a"), alone)
    tiny.drop_adapter("a")
    assert torch.equal(hidden(tiny, "b"), b)
    assert not tiny.adapter_parameters("a")
    add_random_adapter(tiny, "a", seed=1)
    assert torch.equal(hidden(tiny, "a"), alone)


def test_an_adapter_of_the_same_name_is_replaced(tiny: Trunk) -> None:
    base = hidden(tiny, None)
    add_random_adapter(tiny, "a", rank=4)
    tiny.add_adapter("a", 2, seed=0)
    assert torch.equal(hidden(tiny, "a"), base)
    assert {min(parameter.shape) for parameter in tiny.adapter_parameters("a").values()} == {2}


def test_adapters_sit_on_every_linear_layer_whatever_was_added_before(tiny: Trunk) -> None:
    tiny.add_adapter("a", 2, seed=0)
    tiny.add_adapter("layers", 2, seed=0)  # a name that parts of the model have
    counts = [len(tiny.adapter_parameters(name)) for name in ("a", "layers")]
    assert counts == [2 * 2 * 7] * 2  # two matrices, two layers, seven maps a layer
    assert not any("lm_head" in key for key in tiny.adapter_parameters("a"))


def test_the_seed_alone_decides_a_fresh_adapter(tiny: Trunk) -> None:
    state = torch.random.get_rng_state()
    tiny.add_adapter("a", 2, seed=7)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(123)
    tiny.add_adapter("b", 2, seed=7)
    tiny.add_adapter("c", 2, seed=8)
    a, b, c = (tiny.adapter_tensors(name) for name in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert any(not torch.equal(a[key], c[key]) for key in a)


def test_only_the_adapter_that_is_trained_gets_a_gradient(tiny: Trunk) -> None:
    add_random_adapter(tiny, "a")
    add_random_adapter(tiny, "b")
    with tiny.using("a", trained=True):
        with tiny.using("b"):
            assert not tiny.hidden_RLD(ROWS).requires_grad
        tiny.hidden_RLD(ROWS).square().sum().backward()
    with_gradient = {id(value) for value in tiny.model.parameters() if value.grad is not None}
    assert with_gradient == {id(value) for value in tiny.adapter_parameters("a").values()}
    with tiny.using("a"):
        assert not tiny.hidden_RLD(ROWS).requires_grad
    with tiny.using(None):
        assert not tiny.hidden_RLD(ROWS).requires_grad


def test_after_an_error_the_adapter_used_before_is_back(tiny: Trunk) -> None:
    add_random_adapter(tiny, "a")
    with tiny.using("a"):
        before = tiny.hidden_RLD(ROWS)
        with pytest.raises(RuntimeError), tiny.using(None):
            raise RuntimeError
        assert torch.equal(tiny.hidden_RLD(ROWS), before)


def test_an_adapter_loaded_from_its_tensors_is_the_same(tiny: Trunk) -> None:
    add_random_adapter(tiny, "a")
    tiny.load_adapter("b", tiny.adapter_tensors("a"), rank=4)
    assert torch.equal(hidden(tiny, "b"), hidden(tiny, "a"))
    tiny.add_adapter("c", 2, seed=0)
    tiny.load_adapter("c", tiny.adapter_tensors("a"), rank=4)  # one of another rank is replaced
    assert torch.equal(hidden(tiny, "c"), hidden(tiny, "a"))


# Layers


def test_cut_after_some_layers_the_trunk_is_the_model_with_these_layers(tiny: Trunk) -> None:
    whole, cut = hidden(tiny, None), None
    with tiny.using(None):
        cut = tiny.hidden_RLD(ROWS, layers=1)
        assert torch.equal(tiny.hidden_RLD(ROWS, layers=2), whole)
    assert torch.equal(hidden(tiny, None), whole)
    tiny.model.model.layers = tiny.model.model.layers[:1]
    assert torch.equal(hidden(tiny, None), cut)
    assert not torch.allclose(cut, whole)


@pytest.mark.parametrize("layers", [-1, 0, 3])
def test_layers_that_the_base_does_not_have_are_refused(tiny: Trunk, layers: int) -> None:
    with pytest.raises(InputError, match=f"layers = {layers}, but the base 'tiny-random' has 2"):
        tiny.hidden_RLD(ROWS, layers=layers)
    assert torch.equal(hidden(tiny, None), hidden(tiny, None))


# Log-probs


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trunk_module, "HEAD_CHUNK", 4)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_log_probs_entropy_and_gradient_are_those_of_log_softmax(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(11, 8, generator=generator, requires_grad=True)
    weight = torch.randn(30, 8, generator=generator)
    targets = torch.randint(30, (11,), generator=generator)
    upstream = torch.randn(11, generator=generator)

    ours, entropy = FrozenHeadLogProbs.apply(states, FrozenMap(weight, None), targets, temperature)
    (gradient,) = torch.autograd.grad((ours * upstream).sum(), states)

    full = (states @ weight.T / temperature).log_softmax(-1)
    naive = full[range(11), targets]
    (naive_gradient,) = torch.autograd.grad((naive * upstream).sum(), states)
    torch.testing.assert_close(ours, naive)
    torch.testing.assert_close(entropy, -(full.exp() * full).sum(-1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient, naive_gradient, rtol=1e-5, atol=1e-6)
    assert not entropy.requires_grad


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_the_entropys_gradient_is_that_of_finite_differences_where_it_learns(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(11, 8, generator=generator, requires_grad=True)
    weight = torch.randn(30, 8, generator=generator)
    targets = torch.randint(30, (11,), generator=generator)
    upstream, direction = torch.randn(11, generator=generator), torch.randn(11, 8, generator=generator)

    def both(at: Tensor) -> Tensor:
        logprobs, entropy = FrozenHeadLogProbs.apply(at, FrozenMap(weight, None), targets, temperature, True)
        total: Tensor = logprobs.sum() + (entropy * upstream).sum()
        return total

    (gradient,) = torch.autograd.grad(both(states), states)
    step = 1e-2
    ahead, behind = (float(both((states + sign * step * direction).detach())) for sign in (1, -1))
    assert float((gradient * direction).sum()) == pytest.approx((ahead - behind) / (2 * step), rel=1e-2)


def test_the_temperature_of_logits_and_log_probs_is_the_same(tiny: Trunk) -> None:
    with tiny.using(None):
        states = tiny.hidden_RLD(ROWS)
        logprobs, _ = tiny.logprobs_T(states, ROWS, temperature=0.6)
        logits = tiny.logits(states.flatten(0, 1)[ROWS.before_T], temperature=0.6)
    assert_same(logprobs, logits.log_softmax(-1).gather(1, ROWS.targets_T[:, None])[:, 0])

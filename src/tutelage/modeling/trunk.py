"""One trunk for four models: policy, reference, preference model and critic of one base differ by adapter and head."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import repeat
from typing import Any, cast

import torch
from torch import Tensor, nn

from tutelage.modeling.adapters import AdaptedLinear
from tutelage.modeling.encoding import Encoder
from tutelage.modeling.folding import Folded, FrozenMap, Product, joint_product, products
from tutelage.modeling.layers import cached_BQD, can_be_written_out, frozen_map, rows_RLD
from tutelage.modeling.rows import Group, Rows, lay, packed_batches, token_batches
from tutelage.plumbing.errors import InputError

# Response tokens that pass the LM head at once: 128 x 49k vocabulary x 4 bytes = 25 MB of logits. On a CPU more are no
# faster; on a GPU not measured.
HEAD_CHUNK = 128


class Trunk:
    """A decoder of `transformers` with named adapters, one of them (or none) in use at a time.

    The base is frozen in the compute dtype; adapters have the same dtype, their fp32 masters live in the optimizer.
    """

    def __init__(self, model: Any, encoder: Encoder, name: str, weights_hash: str) -> None:
        self.model = model.eval().requires_grad_(False)
        self.encoder = encoder
        self.name = name
        self.weights_hash = weights_hash
        self._decoder = _plain_stack(model)
        self._written_out = self.device.type == "cpu" and can_be_written_out(self._decoder)
        self._lm_head = _plain_head(model)
        self._head: Product = self._lm_head
        self._frozen_head: FrozenMap | None = None
        self._adapted_paths = _make_adaptable(self._decoder)
        self._active: str | None = None

    @property
    def packs(self) -> bool:
        """Whether groups share a row: where attention can pass over what may not be looked at."""
        return self.device.type == "cuda"

    @property
    def device(self) -> torch.device:
        return cast(torch.device, self.model.device)

    @property
    def width(self) -> int:
        return int(self.model.config.hidden_size)

    @property
    def dtype(self) -> torch.dtype:
        return cast(torch.dtype, self.model.dtype)

    @property
    def context(self) -> int | None:
        """Tokens that the base was made for, where it says so."""
        context: int | None = getattr(self.model.config, "max_position_embeddings", None)
        return context

    # Adapters

    def add_adapter(self, name: str, rank: int, seed: int) -> None:
        """A fresh adapter on all linear layers of the trunk, which changes nothing until it is trained.

        `rank` is that of a LoRA adapter; 0 gives every layer a whole weight of its own (embeddings and norms stay the
        base's). One of the same name is replaced.
        """
        self.drop_adapter(name)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for layer in self.adapted_layers:
                layer.add(name, rank)

    def copy_adapter(self, name: str, of: str) -> None:
        """An adapter with the weights of another; one of the same name is replaced."""
        self.load_adapter(name, self.adapter_tensors(of), self.adapted_layers[0].rank(of))

    def copy_whole(self, name: str, of: str | None) -> None:
        """Whole weights that do what an adapter does (None: the bare trunk), but for rounding; an adapter of the same
        name is replaced."""
        weights = [layer.merged(of).clone() for layer in self.adapted_layers]
        self.add_adapter(name, 0, seed=0)
        for layer, weight_OI in zip(self.adapted_layers, weights, strict=True):
            layer.parts(name)["whole"].data.copy_(weight_OI)

    def drop_adapter(self, name: str) -> None:
        for layer in self.adapted_layers:
            layer.drop(name)

    @contextmanager
    def using(self, adapter: str | None, trained: bool = False) -> Iterator[None]:
        """Within, the trunk is the base with this adapter; None is the bare base (the reference policy).

        `trained`: its weights take part in gradients; otherwise nothing of the trunk does.
        """
        previous = self._active
        parameters = [] if adapter is None else list(self.adapter_parameters(adapter).values())
        learning = [parameter.requires_grad for parameter in parameters]  # within a training there may be a measurement
        self._select(adapter)
        for parameter in parameters:
            parameter.requires_grad_(trained)
        try:
            with torch.set_grad_enabled(trained):
                yield
        finally:
            self._select(previous)
            for parameter, before in zip(parameters, learning, strict=True):
                parameter.requires_grad_(before)

    @property
    def active(self) -> str | None:
        """The adapter in use."""
        return self._active

    def fold(self, adapter: str | None) -> Folded:
        """The linear maps with this adapter, as its weights are now, for the many small passes of decoding: the same
        numbers but for rounding. They take as much memory as the base's own weights; on a CPU those without adapter are
        kept, as the trunk's own passes go by them, too."""
        layers = self.adapted_layers
        maps: dict[int, Product] = {}
        for places in self._siblings:
            group = [layers[place] for place in places]
            if self._written_out and adapter is None:
                maps[places[0]] = frozen_map(*group).forward
                continue
            weights, biases = [layer.merged(adapter) for layer in group], [layer.base.bias for layer in group]
            made = [joint_product(weights, biases)] if self._written_out else products(weights, biases)
            maps |= zip(places, made, strict=False)
        return Folded([maps.get(place) for place in range(len(layers))])

    @property
    def frozen_head(self) -> FrozenMap:
        """The output layer, laid out at first use."""
        weight_VD = self._lm_head.weight.data
        if self._frozen_head is None or not self._frozen_head.holds(weight_VD):
            self._frozen_head = FrozenMap(weight_VD, None)
        return self._frozen_head

    @cached_property
    def _siblings(self) -> list[list[int]]:
        """The places of the adapted layers, those together that a pass gives one and the same input."""
        if self.device.type != "cpu":
            return [[place] for place in range(len(self.adapted_layers))]  # where they are no single product
        given: list[tuple[int, Tensor]] = []
        hooks = [
            layer.register_forward_pre_hook(lambda _, inputs, place=place: given.append((place, inputs[0])))
            for place, layer in enumerate(self.adapted_layers)
        ]
        with torch.no_grad():
            self.hidden_RLD(self.lay([Group((0,), ((0,),))]), by_modules=True)
        for hook in hooks:
            hook.remove()
        together: dict[int, list[int]] = {}
        for place, x in given:
            together.setdefault(id(x), []).append(place)
        passed = {place for place, _ in given}
        return [*together.values(), *([place] for place in range(len(hooks)) if place not in passed)]

    @contextmanager
    def holding(self, folded: Folded) -> Iterator[None]:
        """Within, the trunk computes by folded maps; no tensor made there can ever take part in gradients."""
        self._hold(folded)
        try:
            with torch.inference_mode():
                yield
        finally:
            self._hold(None)

    def _hold(self, folded: Folded | None) -> None:
        for layer, its in zip(self.adapted_layers, folded.layers if folded else repeat(None), strict=False):
            object.__setattr__(layer, "folded", its)  # the checks of a module's own setattr would take 5% of a step
        self._head = self.frozen_head.forward if folded else self._lm_head

    def adapter_parameters(self, name: str) -> dict[str, nn.Parameter]:
        """The adapter's parameters by the path of their layer."""
        return {
            f"{path}.{part}": parameter
            for path, layer in self._adapted_paths.items()
            for part, parameter in layer.parts(name).items()
        }

    def adapter_tensors(self, name: str) -> dict[str, Tensor]:
        """Copies of the adapter's weights, for a file."""
        return {key: parameter.data.clone() for key, parameter in self.adapter_parameters(name).items()}

    def load_adapter(self, name: str, tensors: Mapping[str, Tensor], rank: int) -> None:
        """An adapter with these weights; one of the same name is replaced."""
        self.add_adapter(name, rank, seed=0)
        parameters = self.adapter_parameters(name)
        if parameters.keys() != tensors.keys():
            raise InputError(
                f"its weights are not those of a rank-{rank} adapter of {self.name!r} as this version has it"
            )
        for key, parameter in parameters.items():
            parameter.data.copy_(tensors[key])

    @property
    def adapted_layers(self) -> list[AdaptedLinear]:
        return list(self._adapted_paths.values())

    def _select(self, adapter: str | None) -> None:
        for layer in self.adapted_layers:
            layer.active = adapter
        self._active = adapter

    # Numbers

    def hidden_RLD(self, rows: Rows, layers: int | None = None, by_modules: bool = False) -> Tensor:
        """Hidden states of all tokens of the rows, after all layers or the first `layers` of them (and the norm).

        `by_modules`: by the passes of the model's own modules, also where faster ones are written out.
        """
        with self._cut_to(layers):
            if self._written_out and not (by_modules or self.packs):
                return rows_RLD(self._decoder, rows)
            out = self._decoder(
                input_ids=rows.ids_RL,
                attention_mask=rows.block_mask() if self.packs else rows.mask_R1LL(),
                position_ids=rows.positions_RL,
                use_cache=False,
            )
        return cast(Tensor, out.last_hidden_state)

    @contextmanager
    def _cut_to(self, layers: int | None) -> Iterator[None]:
        whole = self._decoder.layers
        if layers is not None:
            if not 0 < layers <= len(whole):
                raise InputError(f"layers = {layers}, but the base {self.name!r} has {len(whole)}")
            self._decoder.layers = whole[:layers]
        try:
            yield
        finally:
            self._decoder.layers = whole

    def cut(self, layers: int) -> None:
        """From now on the trunk is but its first layers, and the norm."""
        self._decoder.layers = self._decoder.layers[:layers]

    def decode_BQD(self, ids_BQ: Tensor, positions_BQ: Tensor, mask_B1QL: Tensor, cache: Any) -> Tensor:
        """Last hidden states of new tokens over a key/value cache that `cache.update` keeps."""
        if self._written_out and not self.packs:
            return cached_BQD(self._decoder, ids_BQ, positions_BQ, mask_B1QL, cache)
        out = self._decoder(
            input_ids=ids_BQ, attention_mask=mask_B1QL, position_ids=positions_BQ, past_key_values=cache,
            use_cache=False,
        )  # fmt: skip
        return cast(Tensor, out.last_hidden_state)

    def lay(self, groups: Sequence[Group]) -> Rows:
        """Groups as rows on the trunk's device."""
        return lay(groups, self.device, self.packs)

    def batches(self, lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
        """Indices of groups of these lengths, in batches of at most `budget` row tokens."""
        return packed_batches(lengths, budget) if self.packs else token_batches(lengths, budget)

    def logits(self, states: Tensor, temperature: float) -> Tensor:
        """fp32 logits of the policy."""
        return _tempered(self._head(states), temperature)

    def logits_by_parts(self, states: Tensor, temperature: float, rows: int) -> Iterator[Tensor]:
        """`logits` of so many rows after the other: one product for all, and in fp32 only what is looked at."""
        for part in self._head(states).split(rows):
            yield _tempered(part, temperature)

    def logprobs_T(
        self, hidden_RLD: Tensor, rows: Rows, temperature: float, entropy_learns: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Log-probability of each response token, and the entropy (nats) where it was drawn, which has a gradient only
        if it learns.

        The head is applied to response positions only: the prompt's tokens need no logits.
        """
        states_TD = hidden_RLD.flatten(0, 1)[rows.before_T]
        logprobs_T, entropy_T = FrozenHeadLogProbs.apply(  # type: ignore[no-untyped-call]
            states_TD, self.frozen_head, rows.targets_T, temperature, entropy_learns
        )
        return logprobs_T, entropy_T


def _tempered(product: Tensor, temperature: float) -> Tensor:
    """The temperature is part of the policy. The product is not used again."""
    return product.float().div_(temperature)


def _make_adaptable(decoder: nn.Module) -> dict[str, AdaptedLinear]:
    """Put every linear layer of the decoder's stack into one that can hold adapters; returns them by path."""
    layers = {}
    for path, module in list(decoder.named_modules()):
        if isinstance(module, nn.Linear):
            parent, _, name = path.rpartition(".")
            layers[path] = AdaptedLinear(module)
            setattr(decoder.get_submodule(parent), name, layers[path])
    return layers


def _plain_stack(model: Any) -> Any:
    """The decoder below the output layer."""
    decoder = model.get_decoder()
    layers = getattr(decoder, "layers", None)
    linear = isinstance(layers, nn.ModuleList) and any(isinstance(part, nn.Linear) for part in layers.modules())
    if not linear or not model.is_backend_compatible():
        raise InputError(
            f"a {type(model).__name__} is no stack of attention layers with linear maps, as adapters and rows need it; "
            "choose another base (Llama, Qwen, Mistral, OLMo, … have one)"
        )
    return decoder


def _plain_head(model: Any) -> nn.Linear:
    """The output layer."""
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear) or [name for name, _ in head.named_parameters()] != ["weight"]:
        raise InputError(
            f"a {type(model).__name__} has no plain linear output layer; rows cannot compute its log-probs"
        )
    return head


class FrozenHeadLogProbs(torch.autograd.Function):
    """log softmax(W h / temperature) at the targets and its entropy, chunk by chunk: no T x V matrix ever exists.

    Of one log-probability the gradient to h is (W[target] - p W) / temperature, of the entropy H it is
    -((p log p) W + H p W) / temperature; they are made in the forward pass, where p is at hand, so that the backward
    pass is one product. Nothing flows to W, which is frozen. The entropy's is made only where it is asked for.
    """

    @staticmethod
    def forward(
        ctx: Any,
        states_TD: Tensor,
        head: FrozenMap,
        targets_T: Tensor,
        temperature: float,
        entropy_learns: bool = False,
    ) -> Any:
        wanted = states_TD.requires_grad
        logprobs, entropies, slopes, entropy_slopes = [], [], [], []
        for states, targets in zip(states_TD.split(HEAD_CHUNK), targets_T.split(HEAD_CHUNK), strict=True):
            # Below the greatest; with one exponential and few passes over memory.
            logits_CV = head.forward(states).float().div_(temperature)
            logits_CV.sub_(logits_CV.amax(-1, keepdim=True))
            probabilities_CV = logits_CV.exp()
            sums_C1 = probabilities_CV.sum(-1, keepdim=True)
            probabilities_CV.div_(sums_C1)
            log_sums_C1 = sums_C1.log_()
            logprobs.append((logits_CV.gather(1, targets[:, None]) - log_sums_C1)[:, 0])
            entropies.append(log_sums_C1[:, 0] - torch.linalg.vecdot(probabilities_CV, logits_CV))
            if wanted:
                expected = head.backward(probabilities_CV.to(states.dtype))
                slopes.append((head.weight_OI[targets] - expected) / temperature)
            if wanted and entropy_learns:
                surprise_CV = probabilities_CV.mul_(logits_CV.add_(entropies[-1][:, None] - log_sums_C1))
                entropy_slopes.append(head.backward(surprise_CV.to(states.dtype)) / -temperature)
        entropy_T = torch.cat(entropies)
        if wanted:
            ctx.save_for_backward(*map(torch.cat, [slopes, entropy_slopes] if entropy_learns else [slopes]))
        if not entropy_learns:
            ctx.mark_non_differentiable(entropy_T)
        return torch.cat(logprobs), entropy_T

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        both = zip(ctx.saved_tensors, grads, strict=False)
        gradient_TD = sum(slopes_TD * grad_T[:, None].to(slopes_TD.dtype) for slopes_TD, grad_T in both)
        return gradient_TD, None, None, None, None

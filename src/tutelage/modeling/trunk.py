"""One trunk for four models: policy, reference, preference model and critic of one base differ by adapter and head."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from tutelage.modeling.encoding import Encoder
from tutelage.modeling.rows import Rows
from tutelage.plumbing.errors import InputError

HEAD_CHUNK = 512  # response tokens that pass the LM head at once: 512 x 49k vocabulary x 4 bytes = 100 MB of logits


class Trunk:
    """A decoder of `transformers` with named adapters, one of them (or none) in use at a time.

    The base is frozen in the compute dtype; adapters have the same dtype, their fp32 masters live in the optimizer.
    """

    def __init__(self, model: Any, encoder: Encoder, name: str, weights_hash: str) -> None:
        self.model = model.eval().requires_grad_(False)
        self.encoder = encoder
        self.name = name
        self.weights_hash = weights_hash
        self._decoder: nn.Module = model.get_decoder()
        self._lm_head: nn.Linear = _plain_head(model)
        self._active: str | None = None

    @property
    def width(self) -> int:
        return int(self.model.config.hidden_size)

    @property
    def dtype(self) -> torch.dtype:
        return cast(torch.dtype, self.model.dtype)

    # Adapters

    def add_adapter(self, name: str, rank: int, seed: int) -> None:
        """A fresh LoRA adapter on all linear layers of the trunk; its output is exactly zero until it is trained.

        One of the same name is replaced.
        """
        if self.adapter_parameters(name):
            self.drop_adapter(name)
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=self._linear_names(), lora_dropout=0.0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            inject_adapter_in_model(config, self.model, adapter_name=name)
        for parameter in self.adapter_parameters(name).values():
            parameter.data = parameter.data.to(self.dtype)
        self._select(self._active)

    def drop_adapter(self, name: str) -> None:
        for layer in self._adapted_layers():
            layer.delete_adapter(name)

    @contextmanager
    def using(self, adapter: str | None, trained: bool = False) -> Iterator[None]:
        """Within, the trunk is the base with this adapter; None is the bare base (the reference policy).

        `trained`: its weights take part in gradients; otherwise nothing of the trunk does.
        """
        previous = self._active
        self._select(adapter)
        if adapter is not None:
            self.model.requires_grad_(False)  # peft unfreezes whatever it selects
            for parameter in self.adapter_parameters(adapter).values():
                parameter.requires_grad_(trained)
        try:
            with torch.set_grad_enabled(trained):
                yield
        finally:
            self._select(previous)

    def adapter_parameters(self, name: str) -> dict[str, nn.Parameter]:
        return {key: value for key, value in self.model.named_parameters() if f".{name}." in key}

    def adapter_tensors(self, name: str) -> dict[str, Tensor]:
        """The adapter's weights for a file: its own name taken out of the keys."""
        return {key.replace(f".{name}.", "."): p.data.clone() for key, p in self.adapter_parameters(name).items()}

    def load_adapter(self, name: str, tensors: Mapping[str, Tensor], rank: int) -> None:
        """An adapter with these weights, made or overwritten."""
        if not self.adapter_parameters(name):
            self.add_adapter(name, rank, seed=0)
        for key, parameter in self.adapter_parameters(name).items():
            parameter.data.copy_(tensors[key.replace(f".{name}.", ".")])

    def _adapted_layers(self) -> list[LoraLayer]:
        return [module for module in self.model.modules() if isinstance(module, LoraLayer)]

    def _select(self, adapter: str | None) -> None:
        for layer in self._adapted_layers():
            layer.enable_adapters(adapter is not None)
            if adapter is not None:
                layer.set_adapter(adapter)
        self._active = adapter

    def _linear_names(self) -> list[str]:
        names = [name for name, module in self._decoder.named_modules() if isinstance(module, nn.Linear)]
        plain = [name.removesuffix(".base_layer") for name in names if ".lora_" not in name]
        return sorted({name.split(".")[-1] for name in plain})

    # Numbers

    def hidden_RLD(self, rows: Rows, layers: int | None = None) -> Tensor:
        """Hidden states of all tokens of the rows, after the last layer or the first `layers` of them (and the norm)."""
        with self._cut_to(layers):
            out = self._decoder(
                input_ids=rows.ids_RL, attention_mask=rows.mask_R1LL(), position_ids=rows.positions_RL, use_cache=False
            )
        return cast(Tensor, out.last_hidden_state)

    @contextmanager
    def _cut_to(self, layers: int | None) -> Iterator[None]:
        whole = self._decoder.layers
        self._decoder.layers = whole if layers is None else nn.ModuleList(list(whole)[:layers])  # type: ignore[arg-type]
        try:
            yield
        finally:
            self._decoder.layers = whole

    def decode_BQD(self, ids_BQ: Tensor, positions_BQ: Tensor, mask_B1QL: Tensor, cache: Any) -> Tensor:
        """Last hidden states of new tokens over a key/value cache that `cache.update` keeps."""
        out = self._decoder(
            input_ids=ids_BQ, attention_mask=mask_B1QL, position_ids=positions_BQ, past_key_values=cache, use_cache=False
        )
        return cast(Tensor, out.last_hidden_state)

    def logits(self, states: Tensor, temperature: float) -> Tensor:
        """fp32 logits of the policy: the temperature is part of it, here and nowhere else."""
        return cast(Tensor, self._lm_head(states)).float() / temperature

    def logprobs_T(self, hidden_RLD: Tensor, rows: Rows, temperature: float) -> tuple[Tensor, Tensor]:
        """Log-probability of each response token, and the entropy (nats, no gradient) where it was drawn.

        The head is applied to response positions only: the prompt's tokens need no logits.
        """
        states_TD = hidden_RLD.flatten(0, 1)[rows.before_T]
        logprobs_T, entropy_T = FrozenHeadLogProbs.apply(states_TD, self._lm_head.weight, rows.targets_T, temperature)  # type: ignore[no-untyped-call]
        return logprobs_T, entropy_T


def _plain_head(model: Any) -> nn.Linear:
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear) or head.bias is not None:
        raise InputError(f"a {type(model).__name__} has no plain linear output layer; rows cannot compute its log-probs")
    return head


class FrozenHeadLogProbs(torch.autograd.Function):
    """log softmax(W h / temperature) at the targets and its entropy, chunk by chunk: no T x V matrix ever exists.

    Of one log-probability the gradient to h is (W[target] - p W) / temperature; it is made in the forward pass, where
    p is at hand, so that the backward pass is one product. Nothing flows to W, which is frozen.
    """

    @staticmethod
    def forward(ctx: Any, states_TD: Tensor, weight_VD: Tensor, targets_T: Tensor, temperature: float) -> Any:
        wanted = states_TD.requires_grad
        logprobs, entropies, slopes = [], [], []
        for states, targets in zip(states_TD.split(HEAD_CHUNK), targets_T.split(HEAD_CHUNK), strict=True):
            logits_CV = (states @ weight_VD.T).float().div_(temperature)
            at_target = logits_CV.gather(1, targets[:, None])[:, 0]
            normaliser = logits_CV.logsumexp(-1)
            probabilities_CV = (logits_CV - normaliser[:, None]).exp_()
            logprobs.append(at_target - normaliser)
            entropies.append(normaliser - torch.linalg.vecdot(probabilities_CV, logits_CV))
            if wanted:
                expected = probabilities_CV.to(weight_VD.dtype) @ weight_VD
                slopes.append((weight_VD[targets] - expected) / temperature)
        if wanted:
            ctx.save_for_backward(torch.cat(slopes))
        entropy_T = torch.cat(entropies)
        ctx.mark_non_differentiable(entropy_T)
        return torch.cat(logprobs), entropy_T

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (slopes_TD,) = ctx.saved_tensors
        return slopes_TD * grads[0][:, None].to(slopes_TD.dtype), None, None, None

"""AdamW on fp32 masters of whatever is trained; the model itself stays in its compute dtype."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class MasterAdamW:
    """Gradients of micro-batches are summed in fp32; `step` divides them once, clips, and writes the weights back."""

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float, clip_norm: float) -> None:
        self._parameters = list(parameters)
        self._masters = [parameter.detach().float().clone() for parameter in self._parameters]
        for master in self._masters:
            master.grad = torch.zeros_like(master)
        self._adam = torch.optim.AdamW(self._masters, lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
        self._rate = learning_rate
        self._clip_norm = clip_norm

    def accumulate(self, loss: Tensor) -> None:
        """Add the gradient of a summed loss."""
        loss.backward()  # type: ignore[no-untyped-call]
        for master, parameter in zip(self._masters, self._parameters, strict=True):
            if parameter.grad is not None and master.grad is not None:
                master.grad += parameter.grad
                parameter.grad = None

    def step(self, count: int, rate_factor: float = 1.0) -> float:
        """One update by the gradient sums over `count` items; returns the gradient's norm before clipping."""
        for master in self._masters:
            if master.grad is not None:
                master.grad /= count
        norm = float(nn.utils.clip_grad_norm_(self._masters, self._clip_norm))
        for group in self._adam.param_groups:
            group["lr"] = self._rate * rate_factor
        self._adam.step()
        for master, parameter in zip(self._masters, self._parameters, strict=True):
            parameter.data.copy_(master)
            if master.grad is not None:
                master.grad.zero_()
        return norm

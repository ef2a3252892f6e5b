"""AdamW on fp32 masters of whatever is trained; the model itself stays in its compute dtype."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from tutelage.plumbing.errors import CheckFailed


class MasterAdamW:
    """Gradients of micro-batches are summed in fp32; `step` divides them once, clips, and writes the weights back."""

    def __init__(self, *groups: tuple[Iterable[nn.Parameter], float], clip_norm: float) -> None:
        """`groups`: parameters with their learning rate; `clip_norm`: the largest norm of all their gradients."""
        self._pairs: list[tuple[nn.Parameter, Tensor]] = []
        adam_groups, self._rates = [], []
        for parameters, rate in groups:
            pairs = [(parameter, _master(parameter)) for parameter in parameters]
            self._pairs += pairs
            self._rates.append(rate)
            adam_groups.append({"params": [master for _, master in pairs], "lr": rate})
        self._adam = torch.optim.AdamW(adam_groups, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
        self._clip_norm = clip_norm

    def accumulate(self, loss: Tensor) -> None:
        """Add the gradient of a summed loss."""
        torch.autograd.backward(loss)
        for parameter, master in self._pairs:
            if parameter.grad is not None:
                _gradient(master).add_(parameter.grad)
                parameter.grad = None

    def step(self, count: float, rate_factor: float = 1.0) -> float:
        """One update by the gradient sums divided by `count`; returns the gradient's norm before clipping.

        Raises:
            CheckFailed: the gradient is not a number; the weights stay as they were.
        """
        masters = [master for _, master in self._pairs]
        for master in masters:
            _gradient(master).div_(count)
        norm = float(nn.utils.clip_grad_norm_(masters, self._clip_norm))
        if not math.isfinite(norm):
            raise CheckFailed(f"the gradient's norm is {norm}; lower the learning rate")
        for group, rate in zip(self._adam.param_groups, self._rates, strict=True):
            group["lr"] = rate * rate_factor
        self._adam.step()
        for parameter, master in self._pairs:
            parameter.data.copy_(master)
            _gradient(master).zero_()
        return norm

    def state_tensors(self) -> dict[str, Tensor]:
        """All that the next step depends on besides its gradient, for a checkpoint."""
        state = {f"{index}.master": master.detach() for index, (_, master) in enumerate(self._pairs)}
        for index, (_, master) in enumerate(self._pairs):
            state |= {f"{index}.{key}": value for key, value in self._adam.state[master].items()}
        return state

    def load_state_tensors(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state_tensors` gave."""
        for index, (parameter, master) in enumerate(self._pairs):
            own = {key.split(".", 1)[1]: value for key, value in state.items() if key.startswith(f"{index}.")}
            master.data.copy_(own.pop("master"))
            parameter.data.copy_(master)
            self._adam.state[master] = {key: value.to(master.device, copy=True) for key, value in own.items()}


def _master(parameter: nn.Parameter) -> Tensor:
    master = parameter.detach().float().clone()
    master.grad = torch.zeros_like(master)
    return master


def _gradient(master: Tensor) -> Tensor:
    assert master.grad is not None
    return master.grad

"""Adapters of a linear map: low-rank updates (LoRA, Hu et al. 2021: y = W x + 2 · B A x, B zero at first), or whole
weights of their own (full fine-tuning).

A frozen map may have several, by name, of which at most one is in use: policy, preference model and reference share a
trunk. A low-rank update is added to the product's own output, so that no other pass over it is made.
R rank, I inputs, O outputs.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutelage.modeling.folding import FrozenMap, Product

SCALE = 2.0  # of a low-rank update: alpha = 2·rank in the terms of the LoRA paper


class AdaptedLinear(nn.Module):
    """A frozen linear map with named adapters."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.lora_A = nn.ParameterDict()
        self.lora_B = nn.ParameterDict()
        self.whole = nn.ParameterDict()
        self.active: str | None = None
        self.folded: Product | None = None  # used in place of weight and adapter where it is given
        self.frozen: FrozenMap | None = None  # the base's map and those of others with the same input, once it was used

    def add(self, name: str, rank: int) -> None:
        """An adapter that changes nothing yet; `rank` 0: a whole weight. A is drawn from torch's global generator, as
        wide as `nn.Linear`'s own weights."""
        weight_OI = self.base.weight
        if rank == 0:
            self.whole[name] = nn.Parameter(weight_OI.detach().clone())
            return
        a_RI = torch.empty(rank, weight_OI.shape[1], dtype=torch.float32)
        nn.init.kaiming_uniform_(a_RI, a=math.sqrt(5))
        self.lora_A[name] = nn.Parameter(a_RI.to(weight_OI))
        self.lora_B[name] = nn.Parameter(weight_OI.new_zeros(weight_OI.shape[0], rank))

    def parts(self, name: str) -> dict[str, nn.Parameter]:
        """The parameters of an adapter by what they are; none if there is no such adapter."""
        kinds = {"lora_A": self.lora_A, "lora_B": self.lora_B, "whole": self.whole}
        return {kind: parameters[name] for kind, parameters in kinds.items() if name in parameters}

    def rank(self, name: str) -> int:
        return 0 if name in self.whole else len(self.lora_A[name])

    def drop(self, name: str) -> None:
        for kind in self.parts(name):
            del getattr(self, kind)[name]

    def merged(self, name: str | None) -> Tensor:
        """The weight of one plain linear map that does the same, in the dtype of the base's."""
        if name is None:
            return self.base.weight.data
        if name in self.whole:
            whole_OI: Tensor = self.whole[name].data
            return whole_OI
        factors = self.lora_B[name].data.float(), self.lora_A[name].data.float()
        return torch.addmm(self.base.weight.float(), *factors, alpha=SCALE).to(self.base.weight)

    def forward(self, x: Tensor) -> Tensor:
        if self.folded is not None:
            return self.folded(x)
        if self.active is None:
            return self.base(x)  # type: ignore[no-any-return]
        if self.active in self.whole:
            return F.linear(x, self.whole[self.active], self.base.bias)
        flat_NI = x.flatten(0, -2)
        low_NR = F.linear(flat_NI, self.lora_A[self.active])
        out_NO = self.base(flat_NI).addmm_(low_NR, self.lora_B[self.active].T, alpha=SCALE)
        return out_NO.view(*x.shape[:-1], -1)  # type: ignore[no-any-return]

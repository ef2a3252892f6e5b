"""Low-rank adapters (LoRA, Hu et al. 2021): y = W x + 2 · B A x with W frozen and B zero at first.

One linear map may have several named adapters, of which at most one is in use: policy, preference model and reference
share a trunk. The update is added to the product's own output, so that no other pass over it is made.
R rank, I inputs, O outputs.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALE = 2.0  # of the update: alpha = 2·rank in the terms of the LoRA paper


class LoRALinear(nn.Module):
    """A frozen linear map with named low-rank updates."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.lora_A = nn.ParameterDict()
        self.lora_B = nn.ParameterDict()
        self.active: str | None = None

    def add(self, name: str, rank: int) -> None:
        """An update of exactly zero; its A is drawn from torch's global generator, as wide as `nn.Linear`'s weights."""
        weight_OI = self.base.weight
        a_RI = torch.empty(rank, weight_OI.shape[1], dtype=torch.float32)
        nn.init.kaiming_uniform_(a_RI, a=math.sqrt(5))
        self.lora_A[name] = nn.Parameter(a_RI.to(weight_OI))
        self.lora_B[name] = nn.Parameter(weight_OI.new_zeros(weight_OI.shape[0], rank))

    def drop(self, name: str) -> None:
        del self.lora_A[name], self.lora_B[name]

    def merged(self, name: str) -> Tensor:
        """W + 2·B A in the dtype of W: the weight of one plain linear map that does the same."""
        update_OI = self.lora_B[name].float() @ self.lora_A[name].float()
        return torch.add(self.base.weight.float(), update_OI, alpha=SCALE).to(self.base.weight)

    def forward(self, x: Tensor) -> Tensor:
        if self.active is None:
            return self.base(x)  # type: ignore[no-any-return]
        flat_NI = x.flatten(0, -2)
        low_NR = F.linear(flat_NI, self.lora_A[self.active])
        out_NO = self.base(flat_NI).addmm_(low_NR, self.lora_B[self.active].T, alpha=SCALE)
        return out_NO.view(*x.shape[:-1], -1)  # type: ignore[no-any-return]

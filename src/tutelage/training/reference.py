"""A reference that follows the policy: an exponential moving average of its weights."""

from collections.abc import Mapping

from torch import Tensor

from tutelage.modeling.trunk import Trunk

ADAPTER = "reference"


class MovingReference:
    """weights ← decay · weights + (1 - decay) · policy after every step, kept in fp32. Begins as the policy.

    Of a low-rank policy it is the factors that are averaged, not their product.
    """

    def __init__(self, trunk: Trunk, policy: str, decay: float) -> None:
        self._trunk, self._policy, self._decay = trunk, policy, decay
        trunk.copy_adapter(ADAPTER, of=policy)
        self._mean = {key: weight.float() for key, weight in trunk.adapter_tensors(policy).items()}

    def follow(self) -> None:
        """One step towards the policy."""
        for key, weight in self._trunk.adapter_tensors(self._policy).items():
            self._mean[key].lerp_(weight.float(), 1 - self._decay)
        self._place()

    def state_tensors(self) -> dict[str, Tensor]:
        return self._mean

    def load_state_tensors(self, state: Mapping[str, Tensor]) -> None:
        for key, weight in state.items():
            self._mean[key].copy_(weight)
        self._place()

    def _place(self) -> None:
        for key, parameter in self._trunk.adapter_parameters(ADAPTER).items():
            parameter.data.copy_(self._mean[key])

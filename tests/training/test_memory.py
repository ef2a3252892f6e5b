"""What training on rewards must never hold in memory."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tutelage.dialogue import SamplingParameters
from tutelage.modeling import trunk as trunks
from tutelage.modeling.rows import Group
from tutelage.modeling.trunk import Trunk
from tutelage.training.learner import Learner
from tutelage.training.policy_settings import PPOSettings

from .planted import random_preference_model


class Largest(TorchDispatchMode):
    """The most rows of a tensor made within that is as wide as the vocabulary; the weight itself is none."""

    def __init__(self, weight_VD: torch.Tensor) -> None:
        super().__init__()
        self.weight_VD, self.rows = weight_VD, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        plain = isinstance(out, torch.Tensor) and not out.is_mkldnn  # a layer's laid-out weight has no data_ptr
        if plain and out.data_ptr() != self.weight_VD.data_ptr() and out.ndim and out.shape[-1] == len(self.weight_VD):
            self.rows = max(self.rows, out.numel() // out.shape[-1])
        return out


def test_no_matrix_of_all_tokens_by_vocabulary_is_made(talker: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trunks, "HEAD_CHUNK", 16)
    talker.add_adapter("policy", 4, seed=0)
    ids = np.random.default_rng(0).integers(5, 250, (4, 40))
    rows = talker.lay([Group((7, 8), tuple(tuple(branch.tolist()) for branch in ids))])
    weight_VD = talker.model.get_output_embeddings().weight
    _ = talker.frozen_head.forward, talker.frozen_head.backward  # laid out beforehand: its copy is V wide
    with talker.using("policy", trained=True):
        hidden = talker.hidden_RLD(rows)
        with Largest(weight_VD) as largest:
            logprobs, _ = talker.logprobs_T(hidden, rows, 0.7)
            logprobs.sum().backward()
    assert len(logprobs) == 160
    assert largest.rows == 16


def test_policy_reference_and_critic_share_the_base(talker: Trunk) -> None:
    """Beside the base and the preference model, training adds adapters and a head, and no second base."""
    judge = random_preference_model(talker, "judge", seed=1)
    before = sum(parameter.numel() for parameter in talker.model.parameters())
    settings = PPOSettings(rank=4, critic="policy", reference_decay=0.9)
    Learner(talker, "policy", None, judge, None, SamplingParameters(), settings, seed=0)
    adapter = sum(weight.numel() for weight in talker.adapter_tensors("policy").values())
    after = sum(parameter.numel() for parameter in talker.model.parameters())
    assert after - before == 3 * adapter  # policy, reference, critic
    assert 3 * adapter < 0.5 * before

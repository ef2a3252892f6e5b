"""Small things to measure on: groups of random tokens, adapters that are not zero, and the naive way to the numbers."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tutelage.modeling.heads import Pooling, ScoreHead
from tutelage.modeling.rows import Group, Rows
from tutelage.modeling.trunk import Trunk

VOCABULARY = 256


def random_groups(seed: int, count: int, branches: int = 3, longest: int = 20) -> list[Group]:
    rng = np.random.default_rng(seed)

    def text() -> tuple[int, ...]:
        return tuple(rng.integers(5, VOCABULARY, rng.integers(1, longest + 1)).tolist())

    return [Group(text(), tuple(text() for _ in range(rng.integers(1, branches + 1)))) for _ in range(count)]


def apart(groups: Sequence[Group]) -> list[Group]:
    """Every branch with the prompt in a row of its own."""
    return [Group(group.prompt, (branch,)) for group in groups for branch in group.branches]


def add_random_adapter(trunk: Trunk, name: str, seed: int = 0, rank: int = 4) -> None:
    """An adapter whose output is not zero."""
    trunk.add_adapter(name, rank, seed)
    generator = torch.Generator().manual_seed(seed)
    for parameter in trunk.adapter_parameters(name).values():
        parameter.data.normal_(0, 0.1, generator=generator)


def random_head(trunk: Trunk, pooling: Pooling, seed: int = 0, layers: int | None = None) -> ScoreHead:
    head = ScoreHead(trunk.width, pooling, layers)
    generator = torch.Generator().manual_seed(seed)
    head.weight.data.normal_(generator=generator)
    head.scale.uniform_(0.5, 2.0, generator=generator)
    head.offset.fill_(0.3)
    return head


@dataclass
class Numbers:
    """All that training reads of rows: scores (N,), log-probs (T,), and the adapter's gradient of a sum of both."""

    scores: Tensor
    logprobs: Tensor
    gradient: Tensor


def numbers(trunk: Trunk, adapter: str, head: ScoreHead, many: Sequence[Rows], temperature: float = 0.8) -> Numbers:
    """Of several batches of rows one after the other, gradients added up."""
    parameters = trunk.adapter_parameters(adapter).values()
    scores, logprobs = [], []
    with trunk.using(adapter, trained=True):
        for rows in many:
            hidden = trunk.hidden_RLD(rows)
            scores.append(head(hidden, rows))
            logprobs.append(trunk.logprobs_T(hidden, rows, temperature)[0])
            (scores[-1].square().sum() + logprobs[-1].square().sum()).backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in parameters if parameter.grad is not None])
    for parameter in parameters:
        parameter.grad = None
    return Numbers(torch.cat(scores).detach(), torch.cat(logprobs).detach(), gradient)


def assert_same(one: Tensor, other: Tensor, relative: float = 1e-5) -> None:
    assert one.shape == other.shape
    assert float(other.abs().max()) > 1e-3  # what is all but zero is no evidence
    assert float((one - other).abs().max()) <= relative * float(other.abs().max())


def naive_logits(trunk: Trunk, ids: Sequence[int]) -> Tensor:
    """(L, V) by the model's own forward pass with the plain attention of `transformers`, one sequence at a time."""
    model = copy.deepcopy(trunk.model)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        logits: Tensor = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].float()
    return logits

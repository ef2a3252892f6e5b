"""A policy whose tokens have unequal chances."""

from collections.abc import Iterator

import pytest
import torch

from tutelage.modeling.trunk import Trunk


@pytest.fixture
def policy(tiny: Trunk) -> Iterator[Trunk]:
    """The tiny base with an adapter, in use, that gives its tokens unequal chances."""
    tiny.add_adapter("policy", 4, seed=0)
    generator = torch.Generator().manual_seed(0)
    for parameter in tiny.adapter_parameters("policy").values():
        parameter.data.normal_(0, 0.3, generator=generator)
    with tiny.using("policy"):
        yield tiny

"""AdamW on fp32 masters: one division a step, whatever the micro-batches."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from tutelage.modeling.rows import lay, token_batches
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed
from tutelage.training.losses import preference_loss
from tutelage.training.optimizer import MasterAdamW
from tutelage.training.pairs import paired_groups

from .planted import planted, random_preference_model


def adam_by_hand(gradients: Sequence[Tensor], start: Tensor, rate: float, clip_norm: float) -> Tensor:
    """The textbook (Kingma & Ba 2015, algorithm 1; betas 0.9 and 0.95) after clipping by norm."""
    weights, first, second = start.double().clone(), torch.zeros_like(start).double(), torch.zeros_like(start).double()
    for t, gradient in enumerate(gradients, start=1):
        clipped = gradient.double() * min(1.0, clip_norm / float(gradient.norm()))
        first = 0.9 * first + 0.1 * clipped
        second = 0.95 * second + 0.05 * clipped**2
        weights -= rate * (first / (1 - 0.9**t)) / ((second / (1 - 0.95**t)).sqrt() + 1e-8)
    return weights.float()


def test_a_step_is_adam_on_the_mean_gradient_clipped_by_norm() -> None:
    start = torch.tensor([1.0, -2.0, 0.5])
    parameter = nn.Parameter(start.clone())
    optimizer = MasterAdamW(([parameter], 0.1), clip_norm=1.0)
    sums = [[torch.tensor([3.0, 0.0, 4.0]), torch.tensor([1.0, 2.0, 0.0])], [torch.tensor([0.1, 0.2, -0.3])]]
    norms = []
    for parts in sums:
        for part in parts:
            optimizer.accumulate((parameter * part).sum())
        norms.append(optimizer.step(count=4))
    gradients = [torch.stack(parts).sum(0) / 4 for parts in sums]
    assert norms == pytest.approx([float(gradient.norm()) for gradient in gradients])
    torch.testing.assert_close(parameter.data, adam_by_hand(gradients, start, 0.1, clip_norm=1.0))


def test_every_group_has_its_rate_and_the_warm_up_scales_them_all() -> None:
    parameters = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = MasterAdamW(([parameters[0]], 0.1), ([parameters[1]], 0.01), clip_norm=1e9)
    optimizer.accumulate(parameters[0].sum() + parameters[1].sum())
    optimizer.step(1, rate_factor=0.5)
    assert [p.item() for p in parameters] == pytest.approx([-0.05, -0.005], rel=1e-5)


def test_steps_too_small_for_bf16_add_up_in_the_masters() -> None:
    parameter = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    optimizer = MasterAdamW(([parameter], 1e-4), clip_norm=1.0)
    for _ in range(200):
        optimizer.accumulate(parameter.sum())
        optimizer.step(1)
    assert parameter.dtype == torch.bfloat16
    assert parameter.item() == pytest.approx(0.98, abs=0.004)  # a bf16 weight of 1 would never have moved


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_no_number_stops_and_leaves_the_weights(bad: float) -> None:
    parameter = nn.Parameter(torch.ones(2))
    optimizer = MasterAdamW(([parameter], 0.1), clip_norm=1.0)
    optimizer.accumulate((parameter * torch.tensor([1.0, bad])).sum())
    with pytest.raises(CheckFailed, match="lower the learning rate"):
        optimizer.step(1)
    assert parameter.tolist() == [1, 1]


@pytest.mark.parametrize("budget", [1, 100, 300])
def test_the_number_of_micro_batches_changes_no_update(tiny: Trunk, budget: int) -> None:
    def update(token_budget: int) -> tuple[float, Tensor]:
        model = random_preference_model(tiny, "pm")
        groups, _ = paired_groups(planted(12, 0), tiny.encoder, 64)
        parameters = list(tiny.adapter_parameters("pm").values())
        with tiny.using("pm", trained=True):
            before = torch.cat([p.detach().flatten() for p in parameters]).clone()
            optimizer = MasterAdamW((parameters, 1e-3), clip_norm=1e9)
            pairs = 0
            for places in token_batches([paired.group.length for paired in groups], token_budget):
                rows = lay([groups[place].group for place in places])
                scores = model.head(tiny.hidden_RLD(rows), rows)
                loss = preference_loss(scores[0::2], scores[1::2])
                optimizer.accumulate(loss.total)
                pairs += loss.count
            norm = optimizer.step(pairs)
        return norm, torch.cat([p.detach().flatten() for p in parameters]) - before

    (norm, moved), (norm_at_once, moved_at_once) = update(budget), update(10_000)
    assert norm == pytest.approx(norm_at_once, rel=1e-5)
    # Adam's first step divides a gradient by its own size: noise of 1e-7 shows where a gradient is all but zero.
    assert float((moved - moved_at_once).norm()) < 1e-3 * float(moved_at_once.norm())

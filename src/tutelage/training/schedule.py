"""How the learning rate goes over the steps of a run."""

import math
from typing import Literal

Schedule = Literal["constant", "linear", "cosine"]


def rate_factor(step: int, steps: int, warmup: int, schedule: Schedule) -> float:
    """What the learning rate is multiplied by at a step (from 0) of `steps`.

    It rises over the first `warmup` steps to 1; then it stays there, or falls towards 0, reached behind the last step,
    on a line or on half a cosine.
    """
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    if schedule == "linear":
        return 1 - done
    if schedule == "cosine":
        return (1 + math.cos(math.pi * done)) / 2
    return 1.0


def linear_to_0(step: int, steps: int, warmup: int) -> float:
    """The factor of the learning rate: up to 1 over `warmup` steps, and from the first step on linearly down to 0."""
    return min(1.0, (step + 1) / warmup) * (1 - step / steps)


def halved(responses: int, every: int | None) -> float:
    """The factor after so many responses where it is halved after each `every` of them (Bai et al. 2022, section 4.5);
    1 where None."""
    return 1.0 if every is None else 0.5 ** (responses // every)

"""How the learning rate goes over the steps of a run."""

import math
from typing import Literal

Schedule = Literal["constant", "linear", "cosine"]


def rate_factor(step: int, steps: int, warmup: int, schedule: Schedule) -> float:
    """What the learning rate is multiplied by at a step (from 0) of `steps`.

    `constant` is 1; `linear` and `cosine` fall from 1 at the first step towards 0, reached behind the last one, on a
    line or on half a cosine. Over the first `warmup` steps the factor is that times a rise from 1 / warmup to 1.
    """
    done = step / steps
    falling = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
    return min(1.0, (step + 1) / warmup) * falling[schedule]


def halved(responses: int, every: int | None) -> float:
    """The factor after so many responses where it is halved after each `every` of them (Bai et al. 2022, section 4.5);
    1 where None."""
    return 1.0 if every is None else 0.5 ** (responses // every)

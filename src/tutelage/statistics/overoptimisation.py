"""What one run of reinforcement learning shows: what distance buys, and from where on the reward is no longer believed.

S steps. Rewards are mean scores of preference models in nats; √KL is the root of the mean KL from the initial policy.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from tutelage.statistics.intervals import Floats, Interval

FEWEST_STEPS = 8  # with fewer, a hinge is no more than a guess
DRAWS = 999  # of noise alone, for the p-value: it cannot be below 1 / 1000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line through points by least squares."""

    slope: Interval
    intercept: float
    r_squared: float


@dataclass(frozen=True, slots=True)
class Parting:
    """From where on one reward rises away from the other."""

    step: Interval
    """the hinge, in steps; the interval by profile likelihood"""
    growth: float
    """what the gap grows by from there on, nats a step"""
    p_value: float
    """how often noise without any hinge, of the same number of steps, looks as much like one"""


def fitted_line(x: ArrayLike, y: ArrayLike) -> Line | None:
    """The least-squares line y = intercept + slope · x with R²; None for fewer than three points or an x that is one.

    For reward over √KL this is the law of Bai et al. 2022, section 4.3. The slope's interval is Student's on S - 2
    degrees: the points are taken to be independent, as the prompts of every step are drawn anew. Points of which a
    coordinate is not finite are left out.
    """
    across, up = _finite(x, y)
    if len(across) < 3 or np.ptp(across) == 0:
        return None
    about = across - across.mean()
    slope = float(about @ up / (about @ about))
    left = up - up.mean() - slope * about
    spread, total = float(left @ left), float(np.square(up - up.mean()).sum())
    half = stats.t.ppf((1 + LEVEL) / 2, len(up) - 2) * np.sqrt(spread / (len(up) - 2) / (about @ about))
    interval = Interval(slope, slope - float(half), slope + float(half))
    return Line(interval, float(up.mean() - slope * across.mean()), 1 - spread / total if total > 0 else 0.0)


def parting(reward: ArrayLike, heldout: ArrayLike, seed: int = 0) -> Parting | None:
    """From which step on the train-PM's reward leaves the held-out PM's behind; None where that is not shown.

    The rule: the gap reward - heldout of step t is level up to a hinge τ and grows on a line from there,
    gap = a + growth · max(0, t - τ) + noise. τ is the step that fits best. The 95% interval holds all τ whose
    residual sum of squares is within 1 + F(1, S - 3)/(S - 3) of the least. The hinge counts as shown where noise alone
    fits a hinge as well in fewer than 5% of `DRAWS` draws. A gap that grows from the beginning has its hinge at step 0.

    Args:
        reward, heldout: (S,) by step, in order; steps that lack one of them are left out.
        seed: of the noise.
    """
    first, second = np.asarray(reward, dtype=np.float64), np.asarray(heldout, dtype=np.float64)
    steps = np.flatnonzero(np.isfinite(first) & np.isfinite(second))
    if len(steps) < FEWEST_STEPS:
        return None
    gap = (first - second)[steps]
    about = gap - gap.mean()
    if not about.any():
        return None
    hinges, shapes_HS, scales = _hinges(steps.astype(np.float64))
    fits = shapes_HS @ about / np.linalg.norm(about)
    best = int(np.argmax(fits))
    noise_SD = np.random.default_rng(seed).normal(size=(len(steps), DRAWS))
    noise_SD -= noise_SD.mean(axis=0)
    by_chance = (shapes_HS @ noise_SD / np.linalg.norm(noise_SD, axis=0)).max(axis=0)
    p_value = float((1 + (by_chance >= fits[best]).sum()) / (1 + DRAWS))
    if p_value >= 1 - LEVEL:
        return None
    free = len(steps) - 3
    # Of a perfect fit rounding would leave less than nothing.
    left = np.clip(1 - np.square(np.maximum(fits, 0)), 0, None)
    within = hinges[left <= left[best] * (1 + stats.f.ppf(LEVEL, 1, free) / free)]
    growth = float(shapes_HS[best] @ about / scales[best])
    return Parting(Interval(float(hinges[best]), float(within.min()), float(within.max())), growth, p_value)


def _hinges(steps: Floats) -> tuple[Floats, Floats, Floats]:
    """The hinges that are tried (all steps but the last two), max(0, t - τ) over the steps for each, centred and of
    length 1, and the lengths that they had."""
    hinges = steps[:-2]
    shapes_HS = np.maximum(0.0, steps - hinges[:, None])
    shapes_HS -= shapes_HS.mean(axis=1, keepdims=True)
    scales: NDArray[np.float64] = np.linalg.norm(shapes_HS, axis=1)
    return hinges, shapes_HS / scales[:, None], scales


def _finite(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    across, up = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    there = np.isfinite(across) & np.isfinite(up)
    return across[there], up[there]


def early_mean(values: ArrayLike) -> float:
    """Mean over the first tenth of the steps (at least two): the policy has hardly moved."""
    column = np.asarray(values, dtype=np.float64)
    return float(np.mean(column[: max(2, len(column) // 10)]))


def late_mean(values: ArrayLike) -> float:
    """Mean over the last fifth of the steps."""
    column = np.asarray(values, dtype=np.float64)
    return float(np.mean(column[-max(1, len(column) // 5) :]))


def gain(values: ArrayLike) -> float:
    """What was gained from the early steps to the late ones."""
    return late_mean(values) - early_mean(values)

"""What the points of several seeds say together. The pairs that models are tried on are the same for all points: each
pair's outcome is averaged over the seeds first, and the interval is over first human turns.

P comparisons that models are tried on, those of the stated kinds one after the other.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tutelage.dialogue import Kind
from tutelage.statistics.calibration import right
from tutelage.statistics.intervals import Interval, mean_interval, share_interval
from tutelage.studies.material import Material
from tutelage.studies.points import Point


def accuracy_over(points: Sequence[Point], material: Material, kinds: Sequence[Kind]) -> Interval:
    """How often the models of the points prefer the chosen response, on the comparisons of these kinds."""
    return share_interval(_right(points, kinds), _prompts(material, kinds))


def gain_over(points: Sequence[Point], others: Sequence[Point], material: Material, kinds: Sequence[Kind]) -> Interval:
    """By how much the points are more often right than the others, on the same comparisons of these kinds."""
    return mean_interval(_right(points, kinds) - _right(others, kinds), _prompts(material, kinds))


def _right(points: Sequence[Point], kinds: Sequence[Kind]) -> NDArray[np.float64]:
    """(P,) how often each pair was judged rightly."""
    outcomes = [np.concatenate([right(point[kind]["differences"]) for kind in kinds]) for point in points]
    return np.asarray(np.mean(outcomes, axis=0), dtype=np.float64)


def _prompts(material: Material, kinds: Sequence[Kind]) -> list[str]:
    """The pairs' first human turns."""
    return [prompt for kind in kinds for prompt in material.prompts([kind])]

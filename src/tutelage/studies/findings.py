"""What the points of a study say together. The pairs that models are tried on are the same for all points: each pair's
outcome is averaged over the seeds first, and intervals are over first human turns.

P comparisons that models are tried on, those of the stated kinds one after the other.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage.dialogue import Kind
from tutelage.evaluation.preference import response_lengths
from tutelage.modeling.trunk import Trunk
from tutelage.statistics.calibration import right
from tutelage.statistics.intervals import Interval, mean_interval, share_interval
from tutelage.studies.material import Material
from tutelage.studies.points import Point
from tutelage.studies.preference import Study, parameters_below
from tutelage.training.preference import PreferenceSettings

Layers = int | None

VARIED: dict[Study, str] = {"size": "size", "pmp": "size", "mixture": "share", "weight": "weight"}


@dataclass(frozen=True)
class Findings:
    """A study's points, and what they were measured with."""

    study: Study
    points: Sequence[Point]
    material: Material
    trunk: Trunk
    settings: PreferenceSettings

    @property
    def depths(self) -> list[Layers]:
        """The depths that models have: layers below the score head."""
        return list(dict.fromkeys(point.get("layers", self.settings.layers) for point in self.points))

    def parameters(self, layers: Layers) -> int:
        """Of the layers below the score head."""
        return parameters_below(self.trunk, layers)

    @property
    def penalties(self) -> Counter[float]:
        """Those that the probes have, and how many of them each."""
        return Counter(sorted(point["penalty"] for point in self.points if "penalty" in point))

    @property
    def seconds(self) -> float:
        """What making and trying all the models took, and the features of probes, of each depth once."""
        features = dict(point["features"] for point in self.points if "features" in point)
        return float(sum(point["seconds"] for point in self.points) + sum(features.values()))

    @property
    def values(self) -> list[float]:
        """The values that were varied, in order."""
        return sorted({point[VARIED[self.study]] for point in self.points})

    def at(self, value: float, **also: Any) -> list[Point]:
        """The points of a value, one a seed."""
        wanted = {VARIED[self.study]: value, **also}
        return [point for point in self.points if all(point[key] == said for key, said in wanted.items())]

    def accuracy(self, points: Sequence[Point], kinds: Sequence[Kind]) -> Interval:
        """How often the models of these points prefer the chosen response, on the comparisons of these kinds."""
        return share_interval(_right(points, kinds), self._prompts(kinds))

    def gain(self, points: Sequence[Point], others: Sequence[Point], kinds: Sequence[Kind]) -> Interval:
        """By how much the points are more often right than the others, on the same comparisons of these kinds."""
        return mean_interval(_right(points, kinds) - _right(others, kinds), self._prompts(kinds))

    def by_length(self, kinds: Sequence[Kind]) -> Interval:
        """How often the response with more tokens is the chosen one, a tie counting half: what length alone tells."""
        return share_interval(self._longer(kinds), self._prompts(kinds))

    def prefers_longer(self, points: Sequence[Point], kinds: Sequence[Kind]) -> Interval:
        """How often the models of these points prefer the response with more tokens; a tie counts half."""
        right_P, longer_P = _right(points, kinds), self._longer(kinds)
        return share_interval(right_P * longer_P + (1 - right_P) * (1 - longer_P), self._prompts(kinds))

    def _longer(self, kinds: Sequence[Kind]) -> NDArray[np.float64]:
        """(P,) whether the chosen response is the longer one; 0.5 at a tie."""
        tried = [one for kind in kinds for one in self.material.tried if one.kind == kind]
        lengths_P2 = response_lengths(tried, self.trunk.encoder)
        return right(lengths_P2[:, 0] - lengths_P2[:, 1])

    def _prompts(self, kinds: Sequence[Kind]) -> list[str]:
        """The pairs' first human turns."""
        return [prompt for kind in kinds for prompt in self.material.prompts([kind])]


def _right(points: Sequence[Point], kinds: Sequence[Kind]) -> NDArray[np.float64]:
    """(P,) how often each pair was judged rightly."""
    outcomes = [np.concatenate([right(point[kind]["differences"]) for kind in kinds]) for point in points]
    return np.asarray(np.mean(outcomes, axis=0), dtype=np.float64)

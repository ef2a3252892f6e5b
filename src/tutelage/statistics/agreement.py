"""How far workers agree, and what that allows a preference model to reach."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from tutelage.statistics.intervals import Floats, Interval, Labels, proportion_interval

Scale = Literal["nominal", "ordinal", "interval"]


@dataclass(frozen=True, slots=True)
class Agreement(Interval):
    """The probability that two workers pick the same response of a pair, and how many pairs tell."""

    pairs: int


def raw_agreement(pairs: Labels, workers: Labels, picks: Labels) -> Agreement:
    """How often two workers who judged the same pair picked the same response, every two workers counting once.

    Of a worker who judged a pair twice, the last judgment counts. Pairs judged by one worker say nothing and are left
    out. The interval is over pairs (clustered by pair), not over workers. Picks name the response, not the side shown.

    Raises:
        ValueError: the sequences differ in length, or fewer than two pairs were judged by two workers.
    """
    judged: dict[Hashable, dict[Hashable, Hashable]] = defaultdict(dict)
    for pair, worker, pick in zip(pairs, workers, picks, strict=True):
        judged[pair][worker] = pick
    met = [(pair, same) for pair, by_worker in judged.items() for same in _meetings(by_worker.values())]
    shared = [pair for pair, _ in met]
    if len(set(shared)) < 2:
        raise ValueError("agreement needs at least two pairs that two workers judged")
    rate = proportion_interval([same for _, same in met], shared)
    return Agreement(rate.value, rate.low, rate.high, len(set(shared)))


def _meetings(picks: Iterable[Hashable]) -> list[float]:
    """1 for every two judgments that agree, 0 for every two that do not."""
    counts = Counter(picks)
    judgments = counts.total()
    agreeing = sum(count * (count - 1) // 2 for count in counts.values())
    return [1.0] * agreeing + [0.0] * (judgments * (judgments - 1) // 2 - agreeing)


def accuracy_ceiling(probabilities: ArrayLike) -> float:
    """The best accuracy on noisy labels: always naming what most workers prefer, mean of max(p, 1 - p).

    Args:
        probabilities: (N,) for each pair, the probability that a random worker prefers the first response.
    """
    preferring = np.asarray(probabilities, dtype=np.float64)
    if not preferring.size or np.any((preferring < 0) | (preferring > 1)):
        raise ValueError("expected at least one probability in [0, 1]")
    return float(np.maximum(preferring, 1 - preferring).mean())


def accuracy_ceiling_bounds(agreement: float) -> tuple[float, float]:
    """Between which values `accuracy_ceiling` lies, if all that is known is how often two random workers agree.

    With d = |2p - 1| of a pair, agreement is (1 + E[d^2]) / 2 and the ceiling (1 + E[d]) / 2. As d^2 <= d and
    E[d]^2 <= E[d^2], the ceiling is at least the agreement a itself (pairs that all or half of the workers settle) and
    at most (1 + sqrt(2a - 1)) / 2 (pairs all equally hard: p^2 + (1 - p)^2 = a). Below a = 0.5, which only chance
    gives, both are 0.5.

    Raises:
        ValueError: not in [0, 1].
    """
    if not 0 <= agreement <= 1:
        raise ValueError(f"agreement must lie in [0, 1], not {agreement}")
    settled = max(agreement, 0.5)
    return settled, (1 + (2 * settled - 1) ** 0.5) / 2


def krippendorff_alpha(units: Labels, workers: Labels, values: ArrayLike, scale: Scale = "nominal") -> float:
    """Krippendorff's alpha: 1 where workers agree on every unit, 0 where they agree as if by chance (2011, section C).

    Units that one worker judged alone say nothing and are left out; of a worker who judged a unit twice, the last value
    counts.

    Args:
        units: (N,) what was judged.
        workers: (N,) by whom.
        values: (N,) numbers; on a nominal scale they are names only.
        scale: how far apart two values are. nominal: equal or not; ordinal: by how many judgments lie between them;
            interval: by their difference.

    Raises:
        ValueError: the sequences differ in length, no unit was judged twice, or all values are the same.
    """
    judged: dict[Hashable, dict[Hashable, float]] = defaultdict(dict)
    for unit, worker, value in zip(units, workers, np.asarray(values, dtype=np.float64).tolist(), strict=True):
        judged[unit][worker] = value
    shared = [list(by_worker.values()) for by_worker in judged.values() if len(by_worker) > 1]
    names = sorted({value for unit in shared for value in unit})
    if len(names) < 2:
        raise ValueError("alpha needs units that two workers judged, and two different values")
    coincidences_VV = _coincidences(shared, names)
    totals_V = coincidences_VV.sum(axis=1)
    distances_VV = _distances(np.array(names), totals_V, scale)
    observed = (coincidences_VV * distances_VV).sum()
    expected = (np.outer(totals_V, totals_V) * distances_VV).sum() / (totals_V.sum() - 1)
    return float(1 - observed / expected)


def _coincidences(shared: Sequence[Sequence[float]], names: Sequence[float]) -> Floats:
    """(V, V) How often two values met in a unit, each unit weighing as many as its values."""
    place = {name: index for index, name in enumerate(names)}
    counts_UV = np.zeros((len(shared), len(names)))
    for row, unit in enumerate(shared):
        for value in unit:
            counts_UV[row, place[value]] += 1
    weighed_UV = counts_UV / (counts_UV.sum(axis=1, keepdims=True) - 1)
    return np.asarray(weighed_UV.T @ counts_UV - np.diag(weighed_UV.sum(axis=0)))


def _distances(names_V: Floats, totals_V: Floats, scale: Scale) -> Floats:
    """(V, V) Squared distances of the values."""
    if scale == "nominal":
        return np.asarray(1.0 - np.eye(len(names_V)))
    place_V = np.cumsum(totals_V) - totals_V / 2 if scale == "ordinal" else names_V
    return np.asarray((place_V[:, None] - place_V[None, :]) ** 2)

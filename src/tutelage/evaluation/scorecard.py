"""What a preference model is worth, part by part: by turn, length, strength and worker, above thresholds, calibrated.

P pairs; the last axis of scores and lengths is [chosen, rejected]. Every interval is over first human turns.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tutelage.corpus.splits import first_turn
from tutelage.dialogue import STRENGTHS, Comparison
from tutelage.statistics.calibration import (
    Above,
    Bin,
    Slice,
    accuracy_above,
    accuracy_by,
    brier,
    ece,
    log_loss,
    reliability,
    right,
)
from tutelage.statistics.concordance import Concordance, concordance
from tutelage.statistics.intervals import Floats, Interval, marked, share_interval
from tutelage.statistics.lengths import LengthBias, length_bias

LAST_TURN = 7  # prompts with this many human turns or more are taken together
LENGTH_EDGES = (-80, -40, -20, -5, 6, 21, 41, 81)  # tokens; each begins a bin, symmetric about 0
WORKER_PAIRS = 20  # workers with fewer pairs are taken together
BIN_PAIRS = 30  # pairs that a bin of the reliability curve holds at least, if there are so many
MOST_BINS = 10
TURNS = (*map(str, range(1, LAST_TURN)), f"{LAST_TURN}+")


@dataclass(frozen=True)
class ScoredPairs:
    """Comparisons, none of them dropped, with the scores and the lengths in tokens of their responses (P, 2)."""

    comparisons: Sequence[Comparison]
    scores_P2: Floats
    lengths_P2: NDArray[np.int64]
    files: Sequence[str]
    """where each comparison was read"""

    @cached_property
    def prompts(self) -> list[str]:
        """The first human turns, normalised: what intervals are over."""
        return [first_turn(comparison.prompt) for comparison in self.comparisons]

    @property
    def differences(self) -> Floats:
        return self.scores_P2[:, 0] - self.scores_P2[:, 1]

    def where(self, inside: NDArray[np.bool_]) -> "ScoredPairs":
        """The pairs that a mask (P,) marks."""
        return ScoredPairs(
            marked(self.comparisons, inside),
            self.scores_P2[inside],
            self.lengths_P2[inside],
            marked(self.files, inside),
        )


def scored_pairs(
    comparisons: Sequence[Comparison], scores_P2: Floats, lengths_P2: NDArray[np.int64], files: Sequence[str]
) -> ScoredPairs:
    """The comparisons that were not dropped: those whose scores are not NaN."""
    return ScoredPairs(comparisons, scores_P2, lengths_P2, files).where(_scored(scores_P2))


def by_file(scored: ScoredPairs) -> dict[str, ScoredPairs]:
    """The pairs of each file, in the order of the files; one of which no pair was scored is not there."""
    return {file: scored.where(np.array([own == file for own in scored.files])) for file in dict.fromkeys(scored.files)}


@dataclass(frozen=True, slots=True)
class PooledWorkers:
    """The workers with too few pairs for a row of their own, taken together."""

    workers: int
    pairs: int
    accuracy: Interval


@dataclass(frozen=True, slots=True)
class Scorecard:
    """What the scores of one set of pairs are worth."""

    pairs: int
    accuracy: Interval
    """how often the chosen response has the higher score; a tie counts half"""
    brier: float
    ece: float
    log_loss: float
    """in nats"""
    reliability: list[Bin]
    by_kind: list[Slice]
    by_turn: list[Slice]
    """by the number of human turns in the prompt"""
    by_length_difference: list[Slice]
    """by the chosen response's length minus the rejected one's, in tokens"""
    by_strength: list[Slice]
    """of the pairs whose strength is known"""
    above_threshold: list[Above]
    length: LengthBias
    by_worker: list[Slice]
    """how often each worker's choice was the model's, the busiest first; only workers with `WORKER_PAIRS` pairs"""
    pooled_workers: PooledWorkers | None


def scorecard(scored: ScoredPairs) -> Scorecard:
    """Everything that the scores and the comparisons tell, of at least one pair."""
    differences, prompts = scored.differences, scored.prompts
    workers, pooled = _by_worker(scored)
    return Scorecard(
        pairs=len(differences),
        accuracy=share_interval(right(differences), prompts),
        brier=brier(differences),
        ece=ece(differences),
        log_loss=log_loss(differences),
        reliability=reliability(differences, prompts, bins=max(1, min(MOST_BINS, len(differences) // BIN_PAIRS))),
        by_kind=accuracy_by(differences, [c.kind for c in scored.comparisons], ("helpful", "harmless"), prompts),
        by_turn=accuracy_by(differences, [_turn(c) for c in scored.comparisons], TURNS, prompts),
        by_length_difference=_by_length_difference(scored),
        by_strength=_by_strength(scored),
        above_threshold=accuracy_above(scored.scores_P2, prompts),
        length=length_bias(scored.scores_P2, scored.lengths_P2, prompts),
        by_worker=workers,
        pooled_workers=pooled,
    )


def _turn(comparison: Comparison) -> str:
    return TURNS[min((len(comparison.prompt.messages) + 1) // 2, LAST_TURN) - 1]


def _by_length_difference(scored: ScoredPairs) -> list[Slice]:
    names = range_names(LENGTH_EDGES)
    places = np.digitize(scored.lengths_P2[:, 0] - scored.lengths_P2[:, 1], LENGTH_EDGES)
    return accuracy_by(scored.differences, [names[place] for place in places], names, scored.prompts)


def range_names(edges: Sequence[int]) -> list[str]:
    """The names of the ranges of whole numbers that begin at these edges, with the one below the first."""
    between = [f"{low} to {following - 1}" for low, following in pairwise(edges)]
    return [f"below {edges[0]}", *between, f"{edges[-1]} and more"]


def _by_strength(scored: ScoredPairs) -> list[Slice]:
    labels = [None if c.strength is None else str(c.strength) for c in scored.comparisons]
    return accuracy_by(scored.differences, labels, [str(strength) for strength in STRENGTHS], scored.prompts)


def _by_worker(scored: ScoredPairs) -> tuple[list[Slice], PooledWorkers | None]:
    workers = [comparison.worker for comparison in scored.comparisons]
    counts = Counter(worker for worker in workers if worker is not None)
    busy = [worker for worker, pairs in counts.most_common() if pairs >= WORKER_PAIRS]
    slices = accuracy_by(scored.differences, workers, busy, scored.prompts)
    rest = np.array([worker is not None and counts[worker] < WORKER_PAIRS for worker in workers])
    if not rest.any():
        return slices, None
    hits = right(scored.differences)[rest]
    agreement = share_interval(hits, marked(scored.prompts, rest))
    return slices, PooledWorkers(len(counts) - len(busy), len(hits), agreement)


def agreement(comparisons: Sequence[Comparison], scores_P2: Floats, other_P2: Floats) -> Concordance | None:
    """How far two models agree on the pairs that neither has dropped (NaN); None if there is none."""
    common = _scored(scores_P2) & _scored(other_P2)
    if not common.any():
        return None
    prompts = [first_turn(comparison.prompt) for comparison in comparisons]
    return concordance(scores_P2[common], other_P2[common], marked(prompts, common))


def _scored(scores_P2: Floats) -> NDArray[np.bool_]:
    """Which pairs (P,) were not dropped."""
    return ~np.isnan(scores_P2[:, 0] + scores_P2[:, 1])

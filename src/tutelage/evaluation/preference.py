"""What a preference model is worth on comparisons that it was not trained on: accuracy, Brier score, calibration.

P comparisons.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.corpus.splits import first_turn
from tutelage.dialogue import Comparison
from tutelage.modeling.encoding import Encoder
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed
from tutelage.statistics.calibration import brier, ece, right
from tutelage.statistics.intervals import Interval, share_interval
from tutelage.training.preference import score_comparisons
from tutelage.training.rollouts import PreferenceModel

PART = 128  # comparisons between two reports of progress


@dataclass(frozen=True, slots=True)
class Quality:
    """How well scores tell which response was chosen; the interval of the accuracy is over first human turns."""

    pairs: int
    accuracy: Interval
    brier: float
    ece: float


def score_in_parts(
    trunk: Trunk,
    model: PreferenceModel,
    comparisons: Sequence[Comparison],
    max_tokens: int,
    on_scored: Callable[[int], None] = lambda count: None,
) -> tuple[NDArray[np.float64], Counter[str]]:
    """Scores (P, [chosen, rejected]), NaN where a comparison was dropped, and the drops by reason.

    `on_scored` is called with the number of comparisons done since the last call.

    Raises:
        CheckFailed: the model's score of a pair that was not dropped is not a finite number.
    """
    parts, drops = [np.empty((0, 2))], Counter[str]()
    for start in range(0, len(comparisons), PART):
        part = comparisons[start : start + PART]
        scores, dropped = score_comparisons(trunk, model.adapter, model.head, part, max_tokens)
        parts.append(scores)
        drops.update(dropped)
        on_scored(len(part))
    scores_P2 = np.concatenate(parts)
    lost = int((~np.isfinite(scores_P2).all(axis=1)).sum()) - drops.total()
    if lost:
        raise CheckFailed(f"the preference model's scores of {lost} pairs are not finite numbers; train it anew")
    return scores_P2, drops


def quality(comparisons: Sequence[Comparison], scores_P2: NDArray[np.float64]) -> Quality | None:
    """What the scores are worth on the comparisons that were not dropped; None if all were."""
    differences = scores_P2[:, 0] - scores_P2[:, 1]
    scored = np.isfinite(differences)
    if not scored.any():
        return None
    differences = differences[scored]
    kept = [comparison for comparison, there in zip(comparisons, scored, strict=True) if there]
    prompts = [first_turn(comparison.prompt) for comparison in kept]
    accuracy = share_interval(right(differences), prompts)
    return Quality(len(differences), accuracy, brier(differences), ece(differences))


def response_lengths(comparisons: Sequence[Comparison], encoder: Encoder) -> NDArray[np.int64]:
    """The lengths (P, [chosen, rejected]) of the responses in tokens, the end token of a finished one included."""
    pairs = ((comparison.chosen, comparison.rejected) for comparison in comparisons)
    lengths = [[len(encoder.response_ids(response)) for response in pair] for pair in pairs]
    return np.array(lengths, dtype=np.int64).reshape(-1, 2)

"""What scores are worth: over prompts, and only where there are scores."""

import numpy as np
import pytest

from tutelage.dialogue import Comparison, Prompt, Response
from tutelage.evaluation.preference import quality


def comparison(prompt: str) -> Comparison:
    return Comparison(Prompt.from_turns(prompt), Response("yes"), Response("no"), "helpful")


def test_the_interval_is_over_first_human_turns() -> None:
    """Ten prompts of ten pairs each, all right or all wrong, tell as much as ten pairs do."""
    right = np.array([number % 3 > 0 for number in range(10) for _ in range(10)])
    scores = np.stack([right, ~right], axis=1).astype(float)
    apart = quality([comparison(f"prompt {number}") for number in range(100)], scores)
    together = quality([comparison(f"prompt {number // 10}") for number in range(100)], scores)
    # It is the normalised turn that counts.
    assert together == quality(
        [comparison(f"{'Prompt' if n % 2 else 'prompt?'} {n // 10}") for n in range(100)], scores
    )
    assert apart is not None
    assert together is not None
    assert apart.accuracy.value == together.accuracy.value == 0.6
    widths = [worth.accuracy.high - worth.accuracy.low for worth in (apart, together)]
    assert widths[1] > 2 * widths[0]


def test_dropped_pairs_do_not_count() -> None:
    comparisons = [comparison(f"prompt {number}") for number in range(3)]
    scores = np.array([[1.0, 0.0], [np.nan, np.nan], [0.0, 1.0]])
    worth, same = quality(comparisons, scores), quality([comparisons[0], comparisons[2]], scores[[0, 2]])
    assert worth is not None
    assert worth == same
    assert worth.pairs == 2
    assert quality(comparisons, np.full((3, 2), np.nan)) is None


def test_a_model_that_cannot_tell_has_a_brier_score_of_a_quarter() -> None:
    worth = quality([comparison(f"prompt {number}") for number in range(4)], np.zeros((4, 2)))
    assert worth is not None
    assert (worth.accuracy.value, worth.brier, worth.ece) == (0.5, 0.25, pytest.approx(0))

"""What the simulated crowd is expected to say of two policies: its known choices, without the luck of single clicks."""

from collections.abc import Mapping, Sequence

import numpy as np

from tutelage.corpus.prompts import PromptItem
from tutelage.dialogue import Comparison, Kind, Response
from tutelage.evaluation.tournament import spelt_out
from tutelage.feedback.crowd import Crowd
from tutelage.statistics.intervals import Interval, mean_interval

KIND: dict[str, Kind] = {"helpful": "helpful", "red_team": "harmless"}


def expected_wins(
    items: Sequence[PromptItem],
    ours: Sequence[Sequence[Response]],
    theirs: Sequence[Sequence[Response]],
    crowd: Crowd,
) -> Mapping[str, Interval]:
    """How often a worker would choose ours: on all prompts and by kind of comparison, with 95% intervals over prompts.

    j-th answer meets j-th, every worker counts the same, and equal answers are even. On a red-team prompt the choice is
    of the less harmful answer. A kind with fewer than two prompts is left out.
    """
    wins = np.array([
        np.mean([_win(item, a, b, crowd) for a, b in zip(row, other, strict=True)])
        for item, row, other in zip(items, ours, theirs, strict=True)
    ])  # fmt: skip
    kinds = np.array([KIND[item.kind] for item in items])
    parts = {"all": np.full(len(items), True)} | {kind: kinds == kind for kind in KIND.values()}
    return {name: mean_interval(wins[part], range(part.sum())) for name, part in parts.items() if part.sum() > 1}


def _win(item: PromptItem, ours: Response, theirs: Response, crowd: Crowd) -> float:
    ours, theirs = spelt_out(ours), spelt_out(theirs)
    if (ours.text, ours.finish) == (theirs.text, theirs.finish):
        return 0.5
    return float(crowd.preference([Comparison(item.prompt, ours, theirs, KIND[item.kind])]).mean())

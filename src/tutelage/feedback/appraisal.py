"""What the simulated crowd makes of comparisons from anywhere: a model's pairs, or a published data set."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tutelage.dialogue import Comparison, Judgment, Kind, comparison_from_judgment
from tutelage.feedback.crowd import QUESTION_OF, Crowd
from tutelage.feedback.utility import FEATURES, WEIGHTS, Answer, explained_shares, feature_means
from tutelage.statistics.intervals import Interval, proportion_interval, wilson


@dataclass(frozen=True, slots=True)
class FeatureMeans:
    """A feature's weight in points, and its means over the chosen and the rejected responses, in [0, 1]."""

    weight: float
    chosen: float
    rejected: float


@dataclass(frozen=True, slots=True)
class Appraisal:
    """The comparisons of one kind, as the crowd sees them.

    Attributes:
        pairs: how many.
        utility_chosen: mean utility of the chosen responses, in points from 0 to 10.
        utility_rejected: that of the rejected ones.
        preferred: how often a worker preferred the chosen response; the interval is over workers and prompts.
        agreement: how often two workers would agree.
        ceiling: the expected accuracy of the best predictor of single judgments.
        features: by name.
        explained: the share of the utility's variance over all responses that each single quantity explains.
    """

    pairs: int
    utility_chosen: float
    utility_rejected: float
    preferred: Interval
    agreement: float
    ceiling: float
    features: dict[str, FeatureMeans]
    explained: dict[str, float]


def judge_all(comparisons: Sequence[Comparison], crowd: Crowd, seed: int) -> list[Judgment]:
    """One judgment of each pair, by workers drawn by diligence, who do not see which response was chosen."""
    rng = np.random.default_rng(seed)
    return [crowd.judge(pair.prompt, QUESTION_OF[pair.kind], pair.chosen, pair.rejected, rng) for pair in comparisons]


def appraise(comparisons: Sequence[Comparison], judgments: Sequence[Judgment], crowd: Crowd) -> dict[Kind, Appraisal]:
    """What the crowd thinks of comparisons, by kind; `judgments` are its own of the same pairs, in the same order."""
    judged = list(zip(comparisons, judgments, strict=True))
    kinds = [kind for kind in FEATURES if any(pair.kind == kind for pair in comparisons)]
    return {kind: _appraise(kind, [item for item in judged if item[0].kind == kind], crowd) for kind in kinds}


def _appraise(kind: Kind, judged: Sequence[tuple[Comparison, Judgment]], crowd: Crowd) -> Appraisal:
    comparisons = [pair for pair, _ in judged]
    chosen = [Answer(kind, pair.prompt, pair.chosen) for pair in comparisons]
    rejected = [Answer(kind, pair.prompt, pair.rejected) for pair in comparisons]
    means_chosen, means_rejected = feature_means(kind, chosen), feature_means(kind, rejected)
    return Appraisal(
        pairs=len(comparisons),
        utility_chosen=float(WEIGHTS[kind] @ means_chosen),
        utility_rejected=float(WEIGHTS[kind] @ means_rejected),
        preferred=_preferred(judged),
        agreement=crowd.agreement(comparisons),
        ceiling=crowd.ceiling(comparisons),
        features={
            feature.name: FeatureMeans(feature.weight, float(means_chosen[n]), float(means_rejected[n]))
            for n, feature in enumerate(FEATURES[kind])
        },
        explained=explained_shares(chosen + rejected),
    )


def _preferred(judged: Sequence[tuple[Comparison, Judgment]]) -> Interval:
    won = [float(comparison_from_judgment(judgment).chosen == pair.chosen) for pair, judgment in judged]
    workers = [judgment.worker for _, judgment in judged]
    prompts = [pair.prompt for pair, _ in judged]
    if min(len(set(workers)), len(set(prompts))) < 2:
        return wilson(sum(won), len(won))  # too few clusters to tell how they differ
    return proportion_interval(won, workers, prompts)

"""From the preference model's scores to the rewards that are trained on, and how heavy the KL penalty is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tutelage.plumbing.errors import CheckFailed
from tutelage.training.advantages import Floats
from tutelage.training.policy_settings import PolicySettings
from tutelage.training.rollouts import Rollout, RolloutBatch

MOST_ERROR = 0.2  # of the KL against its target that the controller takes in at once (Ziegler et al. 2019)


@dataclass(frozen=True)
class Spread:
    """Count, mean and summed squares about the mean of all scores so far."""

    count: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    def with_more(self, values: Floats) -> "Spread":
        """With a batch of values beside them (Chan et al. 1979)."""
        count, gap = self.count + len(values), float(values.mean()) - self.mean
        squares = self.squares + float(values.var()) * len(values) + gap**2 * self.count * len(values) / count
        return Spread(count, self.mean + gap * len(values) / count, squares)

    @property
    def deviation(self) -> float:
        """The standard deviation; 1 while nothing varies."""
        return float(np.sqrt(self.squares / (self.count - 1))) if self.count > 1 and self.squares > 0 else 1.0


def plain_score(rollout: Rollout, settings: PolicySettings) -> float:
    """A response's score above its reference response's, if there is one, and with what is said of truncated ones."""
    if rollout.truncated and settings.truncated_score is not None:
        return settings.truncated_score
    penalty = settings.missing_end_penalty if rollout.truncated else 0.0
    return rollout.score - (rollout.reference_score or 0.0) - penalty


def scaled(scores: Floats, spread: Spread, settings: PolicySettings) -> Floats:
    """Scores in standard deviations of all so far, where that is wanted, and cut to ± `score_clip`."""
    divided = scores / spread.deviation if settings.score_scale == "running" else scores
    return divided if settings.score_clip is None else divided.clip(-settings.score_clip, settings.score_clip)


def steered(kl_weight: float, kl: float, settings: PolicySettings) -> float:
    """λ_KL after a batch of this mean KL: proportional control in the logarithm (Ziegler et al. 2019, section 2.2)."""
    if settings.kl_target is None:
        return kl_weight
    error = float(np.clip(kl / settings.kl_target - 1, -MOST_ERROR, MOST_ERROR))
    return kl_weight * (1 + settings.kl_gain * error)


def check_scores(batch: RolloutBatch, step: int) -> None:
    """Stop where scores say nothing.

    Raises:
        CheckFailed: a score is not a finite number, or all are the same; names the cause.
    """
    for prompt, row in enumerate(batch.rollouts, start=1):
        for number, rollout in enumerate(row, start=1):
            _check_score(rollout, f"step {step}, response {number} to prompt {prompt} of the batch")
    if len(batch.flat) > 1 and len({rollout.score for rollout in batch.flat}) == 1:
        raise CheckFailed(f"step {step}: every response was scored {batch.flat[0].score:g}: {_sameness(batch.flat)}")


def _check_score(rollout: Rollout, where: str) -> None:
    scores = {
        "preference model's score": rollout.score, "held-out preference model's score": rollout.heldout_score,
        "preference model's score of the reference response": rollout.reference_score,
    }  # fmt: skip
    for name, score in scores.items():
        if score is not None and not np.isfinite(score):
            raise CheckFailed(
                f"{where}: the {name} is {score}: its weights are damaged or its number format overflows; "
                "train it anew, or run in float32"
            )


def _sameness(rollouts: Sequence[Rollout]) -> str:
    if len({rollout.sample.ids for rollout in rollouts}) == 1:
        return "the policy writes one and the same response; raise kl_weight or lower the learning rate"
    return "the preference model tells no two responses apart (was it trained?); there is nothing to learn"

"""What is watched beside the reward: the ways in which answers please a preference model without being better, and
answers themselves."""

from collections import Counter
from collections.abc import Sequence
from itertools import islice, pairwise
from typing import Any

import numpy as np

from tutelage.feedback.phrases import REFUSES
from tutelage.feedback.reading import words
from tutelage.modeling.encoding import Encoder
from tutelage.training.policy_settings import KLEstimator
from tutelage.training.rollouts import RolloutBatch


def text_measures(texts: Sequence[str]) -> dict[str, float]:
    """Means over at least one answer: `repetition` and `refusals`, both shares."""
    return {
        "repetition": float(np.mean([repetition(text) for text in texts])),
        "refusals": float(np.mean([refuses(text) for text in texts])),
    }


def repetition(text: str) -> float:
    """The share of a text's word triples that stood in it before; 0 for fewer than three words."""
    said = words(text)
    triples = Counter(zip(pairwise(said), said[2:], strict=False))
    return 1 - len(triples) / triples.total() if triples else 0.0


def refuses(text: str) -> bool:
    """Whether it declines in the first person, by its wording."""
    return REFUSES.search(text.lower().replace("’", "'")) is not None


def sample_dialogues(
    batch: RolloutBatch, step: int, prompts: int, encoder: Encoder, estimator: KLEstimator
) -> list[dict[str, Any]]:
    """The responses to the first so many prompts of a step's batch, as samples.jsonl has them."""
    return [
        {
            "step": step, "prompt": encoder.text(prompt), "response": rollout.sample.text,
            "finish": rollout.sample.finish, "reward": rollout.score, "heldout_reward": rollout.heldout_score,
            "kl": float(rollout.kl_t(estimator).sum()), "length": len(rollout.sample.ids),
        }
        for prompt, row in islice(zip(batch.prompts, batch.rollouts, strict=True), prompts)
        for rollout in row
    ]  # fmt: skip

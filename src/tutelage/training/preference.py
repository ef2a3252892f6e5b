"""The preference model: a scalar at an end-of-context token, trained on which response was chosen.

Reads beside section 2 of Bai et al. 2022 and eq. 3.1 of Askell et al. 2021. What is left out here: margins, soft
labels and several epochs; one pass over the comparisons is what the paper makes.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.dialogue import Comparison
from tutelage.modeling.heads import Pooling, ScoreHead
from tutelage.modeling.passes import branch_features, closed, score_branches
from tutelage.modeling.rows import token_batches
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed, InputError, require_positive
from tutelage.training.losses import preference_loss
from tutelage.training.optimizer import MasterAdamW
from tutelage.training.pairs import PairedGroup, drop_weakest, paired_groups

Metrics = dict[str, Any]
REFERENCE_GROUPS = 24  # prompts of the training set whose responses tell the spread of features and the zero of scores


@dataclass(frozen=True)
class PreferenceSettings:
    """How a preference model is trained."""

    learning_rate: float = 5e-4
    """of the LoRA adapter, reached after `warmup` steps and then constant"""
    head_learning_rate: float = 2e-3
    """of the score head, likewise"""
    batch_pairs: int = 16
    """comparisons an optimizer step (at least; a prompt's comparisons stay together)"""
    rank: int = 16
    """rank of the LoRA adapter"""
    pooling: Pooling = "last"
    """`last`: the score is read at the end-of-context token alone; `mean`: there and from the response's mean state"""
    layers: int | None = None
    """layers of the trunk below the score head; None: all"""
    max_tokens: int = 1024
    """longest row; over-long prompts keep their end, responses are never cut"""
    token_budget: int = 2048
    """tokens that pass the trunk at once"""
    min_strength: int = 2
    """comparisons of lower strength are dropped; 1 keeps all"""
    strength_labels: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    """chance that the chosen response is the better one by strength, 1 to 4: the soft labels of the loss; all 1 takes
    every choice for certain, as the paper does"""
    clip_norm: float = 1.0
    """largest norm of a step's gradient"""
    warmup: int = 3
    """steps over which the learning rate rises"""

    def __post_init__(self) -> None:
        require_positive(
            self, "learning_rate", "head_learning_rate", "batch_pairs", "rank", "max_tokens", "token_budget",
            "min_strength", "clip_norm", "warmup", *(["layers"] if self.layers is not None else []),
        )  # fmt: skip
        if len(self.strength_labels) != 4 or not all(0.5 <= label <= 1 for label in self.strength_labels):
            raise ValueError(f"strength_labels must be four chances from 0.5 to 1, not {self.strength_labels}")


@dataclass(frozen=True)
class Trained:
    """A trained head (its adapter is on the trunk), the loss curve, and what was not used, by reason."""

    head: ScoreHead
    metrics: list[Metrics]
    pairs: int
    drops: dict[str, int]


def train_preference_model(
    trunk: Trunk,
    adapter: str,
    comparisons: Sequence[Comparison],
    settings: PreferenceSettings,
    seed: int,
    on_step: Callable[[int, Metrics], None] = lambda pairs, metrics: None,
) -> Trained:
    """One epoch over the comparisons; the adapter is made anew on the trunk.

    Scores are shifted to mean 0 over the responses to the first `REFERENCE_GROUPS` prompts, without rescaling, so that
    ΔElo = 174·Δscore holds.

    Raises:
        InputError: nothing to train on.
        CheckFailed: the untrained loss is not ln 2, or the loss is not a number.
    """
    kept, weak = drop_weakest(comparisons, settings.min_strength)
    groups, drops = paired_groups(kept, trunk.encoder, settings.max_tokens)
    if not groups:
        raise InputError(f"no comparison to train on: {len(comparisons)} read, {weak} too weak, dropped: {dict(drops)}")
    trunk.add_adapter(adapter, settings.rank, seed)
    head = ScoreHead(trunk.width, settings.pooling, settings.layers).to(trunk.device)
    reference = [paired.group for paired in groups[:REFERENCE_GROUPS]]
    head.fit_scale(branch_features(trunk, adapter, head, reference))
    metrics: list[Metrics] = []
    with trunk.using(adapter, trained=True):
        optimizer = MasterAdamW(
            (trunk.adapter_parameters(adapter).values(), settings.learning_rate),
            (head.parameters(), settings.head_learning_rate),
            clip_norm=settings.clip_norm,
        )
        for step, batch in enumerate(step_batches(groups, settings.batch_pairs, np.random.default_rng(seed))):
            measured = _step(trunk, head, optimizer, batch, settings, min(1.0, (step + 1) / settings.warmup))
            _check(step, measured["loss"])
            metrics.append({"step": step, **measured})
            on_step(measured["pairs"], measured)
    head.offset += float(np.mean(np.concatenate(score_branches(trunk, adapter, head, reference))))
    dropped = {"strength below min_strength": weak, **drops}
    return Trained(head, metrics, sum(m["pairs"] for m in metrics), {k: v for k, v in dropped.items() if v})


def step_batches(
    groups: Sequence[PairedGroup], batch_pairs: int, rng: np.random.Generator
) -> Iterator[list[PairedGroup]]:
    """Groups in a random order, cut into steps of at least `batch_pairs` comparisons; a short rest joins the last."""
    batches: list[list[PairedGroup]] = [[]]
    for index in rng.permutation(len(groups)):
        if sum(len(group.pairs) for group in batches[-1]) >= batch_pairs:
            batches.append([])
        batches[-1].append(groups[index])
    if len(batches) > 1 and sum(len(group.pairs) for group in batches[-1]) < batch_pairs / 2:
        rest = batches.pop()
        batches[-1].extend(rest)
    return iter(batches)


def _step(
    trunk: Trunk,
    head: ScoreHead,
    optimizer: MasterAdamW,
    batch: Sequence[PairedGroup],
    settings: PreferenceSettings,
    rate_factor: float,
) -> Metrics:
    """One optimizer step over a batch, in micro-batches; the gradient is that of the mean loss over its pairs."""
    groups = closed([paired.group for paired in batch], trunk.encoder.context_end)
    total, right, pairs = 0.0, 0.0, 0
    for places in token_batches([group.length for group in groups], settings.token_budget):
        rows = trunk.lay([groups[place] for place in places])
        scores_N = head(trunk.hidden_RLD(rows, head.layers), rows)
        chosen, rejected = _numbered([batch[place] for place in places])
        labels_P = _labels([batch[place] for place in places], settings.strength_labels).to(trunk.device)
        loss = preference_loss(scores_N[chosen], scores_N[rejected], labels_P)
        optimizer.accumulate(loss.total)
        total, pairs = total + loss.total.item(), pairs + loss.count
        right += _right(scores_N[chosen].detach(), scores_N[rejected].detach())
    norm = optimizer.step(pairs, rate_factor)
    return {"loss": total / pairs, "accuracy": right / pairs, "pairs": pairs, "gradient_norm": norm}


def _numbered(batch: Sequence[PairedGroup]) -> tuple[Tensor, Tensor]:
    """Branch numbers of chosen and rejected, counted over the whole batch."""
    pairs, first = [], 0
    for paired in batch:
        pairs += [(first + chosen, first + rejected) for chosen, rejected in paired.pairs]
        first += len(paired.branches)
    chosen_rejected = torch.tensor(pairs)
    return chosen_rejected[:, 0], chosen_rejected[:, 1]


def _labels(batch: Sequence[PairedGroup], by_strength: Sequence[float]) -> Tensor:
    """The pairs' soft labels; a choice of unknown strength is taken for certain."""
    strengths = [strength for paired in batch for strength in paired.strengths]
    return torch.tensor([1.0 if strength is None else by_strength[strength - 1] for strength in strengths])


def _right(chosen_P: Tensor, rejected_P: Tensor) -> float:
    return float((chosen_P > rejected_P).sum() + 0.5 * (chosen_P == rejected_P).sum())


def _check(step: int, loss: float) -> None:
    if step == 0 and abs(loss - math.log(2)) > 1e-6:
        raise CheckFailed(f"the untrained preference model's loss is {loss:.6f}, not ln 2: rows or pairs are mislaid")
    if not math.isfinite(loss):
        raise CheckFailed(f"the preference loss at step {step} is {loss}; lower the learning rate")


def score_comparisons(
    trunk: Trunk, adapter: str, head: ScoreHead, comparisons: Sequence[Comparison], max_tokens: int
) -> tuple[NDArray[np.float64], dict[str, int]]:
    """Scores (comparisons x [chosen, rejected]), NaN where a comparison was dropped, and the drops by reason."""
    groups, drops = paired_groups(comparisons, trunk.encoder, max_tokens)
    result = np.full((len(comparisons), 2), np.nan)
    scores = score_branches(trunk, adapter, head, [paired.group for paired in groups])
    for paired, row in zip(groups, scores, strict=True):
        for place, (chosen, rejected) in zip(paired.places, paired.pairs, strict=True):
            result[place] = row[chosen], row[rejected]
    return result, dict(drops)

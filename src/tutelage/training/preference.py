"""The preference model: a scalar at an end-of-context token, trained on which response was chosen.

Reads beside section 2 of Bai et al. 2022 and eq. 3.1 of Askell et al. 2021. The defaults are the paper's: one pass over
the comparisons, a fixed learning rate, every choice taken for certain, helpful and harmless counted alike.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.dialogue import Comparison
from tutelage.modeling.encoding import Encoder
from tutelage.modeling.heads import Pooling, ScoreHead
from tutelage.modeling.passes import branch_features, closed, score_branches
from tutelage.modeling.rows import Group
from tutelage.modeling.snapshot import load_snapshot, read_card
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed, InputError, require_positive
from tutelage.statistics.calibration import accuracy, log_loss
from tutelage.training.checkpoint import Checkpoints, Metrics, Progress
from tutelage.training.losses import Sum, preference_loss
from tutelage.training.optimizer import MasterAdamW
from tutelage.training.pairs import PairedGroup, drop_weakest, numbered, paired_groups
from tutelage.training.probe import fit_probe
from tutelage.training.schedule import Schedule, rate_factor

PROBE_GROUPS = 16  # prompts whose features are taken at once, between two moves of the progress bar
REFERENCE_GROUPS = 24  # prompts of the training set whose responses tell the spread of features and the zero of scores


@dataclass(frozen=True)
class PreferenceSettings:
    """How a preference model is trained."""

    learning_rate: float = 5e-4
    """of the adapter, reached after `warmup` steps"""
    head_learning_rate: float = 2e-3
    """of the score head, likewise"""
    schedule: Schedule = "constant"
    """of both, besides the warm-up: `constant`, or `linear` or `cosine` towards 0"""
    warmup: int = 3
    """steps over which the learning rates rise"""
    epochs: int = 1
    """passes over the comparisons; the paper makes one, for a second one mostly learns them by heart; 0: the head's
    `probe` is all, and the trunk stays as it is"""
    probe: float = 0.0
    """strength of the L2 penalty of the linear probe that the head begins as, on features of their own spread; 0: the
    head begins at zero"""
    batch_pairs: int = 16
    """comparisons an optimizer step (at least; a prompt's comparisons stay together)"""
    rank: int = 16
    """rank of the LoRA adapter; 0 trains whole weights (full fine-tuning)"""
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
    label_smoothing: float = 0.0
    """how likely a judgment is taken to be the wrong way round"""
    harmless_weight: float = 1.0
    """λ of loss = helpful + λ · harmless (Bai et al. 2022, loss weighting)"""
    clip_norm: float = 1.0
    """largest norm of a step's gradient"""
    eval_every: int = 0
    """steps between two measurements on held-out comparisons; 0: none"""
    patience: int = 0
    """measurements without a lower held-out loss after which training stops; 0: never"""

    def __post_init__(self) -> None:
        require_positive(
            self, "learning_rate", "head_learning_rate", "batch_pairs", "max_tokens", "token_budget",
            "min_strength", "clip_norm", "warmup", "harmless_weight", *(["layers"] if self.layers is not None else []),
        )  # fmt: skip
        if not self.epochs and not self.probe:
            raise ValueError("epochs 0 needs a probe: without either nothing is learnt")
        for name in ("rank", "eval_every", "patience", "probe", "epochs"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}")
        if self.eval_every and not self.epochs:
            raise ValueError("eval_every has no steps to stand between: epochs is 0")
        if self.patience and not self.eval_every:
            raise ValueError("patience has no measurements to count: eval_every is 0")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"label_smoothing must lie in [0, 0.5), not {self.label_smoothing}")
        if len(self.strength_labels) != 4 or not all(0.5 <= label <= 1 for label in self.strength_labels):
            raise ValueError(f"strength_labels must be four chances from 0.5 to 1, not {self.strength_labels}")

    @property
    def passes(self) -> int:
        """How often every comparison is read, for the probe or to train on."""
        return self.epochs + (self.probe > 0)


@dataclass(frozen=True)
class Trained:
    """A trained head (its adapter is on the trunk), the loss curve, and what was not used, by reason."""

    head: ScoreHead
    metrics: list[Metrics]
    pairs: int
    """that were passed, each as often as it was"""
    drops: dict[str, int]
    reference: int
    """rows of one prompt each over whose responses the mean score is 0"""


def train_preference_model(
    trunk: Trunk,
    adapter: str,
    comparisons: Sequence[Comparison],
    settings: PreferenceSettings,
    seed: int,
    on_step: Callable[[int, Metrics], None] = lambda pairs, metrics: None,
    held_out: Sequence[Comparison] = (),
    checkpoints: Checkpoints | None = None,
    initial: Path | None = None,
) -> Trained:
    """Train on the comparisons; `held_out` is measured every `eval_every` steps.

    The adapter is made anew on the trunk, or begins as that of `initial`, the snapshot of a preference model of the
    same rank, layers and pooling (one that was pretrained on votes, say), and so does the head; without one the head
    begins at zero, or as a linear probe of the untouched trunk. Training goes on from the last checkpoint if there is
    one: on CPU to the same bits as without a break. Scores are shifted to mean 0 over the responses to the first
    `REFERENCE_GROUPS` prompts, without rescaling, so that ΔElo = 174·Δscore holds.

    Raises:
        InputError: nothing to train on, or a checkpoint of another training.
        CheckFailed: the untrained loss is not ln 2, or a loss or gradient is not a number; the last checkpoint stays.
    """
    if settings.eval_every and not held_out:
        raise InputError(
            f"eval_every = {settings.eval_every}, but no comparisons are held out to measure on; set it to 0"
        )
    groups, dropped = _usable(comparisons, trunk.encoder, settings)
    reference = [paired.group for paired in groups[:REFERENCE_GROUPS]]
    head = _begin(trunk, adapter, settings, seed, initial, reference)
    done = checkpoints.load() if checkpoints is not None else None  # its head has gone on from the probe
    probed = [_probe(trunk, adapter, head, groups, settings, on_step)] if settings.probe and done is None else []
    optimizer = MasterAdamW(
        (trunk.adapter_parameters(adapter).values(), settings.learning_rate),
        (head.parameters(), settings.head_learning_rate),
        clip_norm=settings.clip_norm,
    )
    metrics = [] if done is None else _go_on(done, head, optimizer, on_step, groups if settings.probe else ())
    rng = np.random.default_rng(seed)
    mean_weight = float(_aims(groups, settings)[1].mean())
    batches = [batch for _ in range(settings.epochs) for batch in step_batches(groups, settings.batch_pairs, rng)]
    with trunk.using(adapter, trained=True):
        for step, batch in list(enumerate(batches))[len(metrics) :]:
            if _stalled(metrics, settings.patience):
                break
            rate = rate_factor(step, len(batches), settings.warmup, settings.schedule)
            measured = {"step": step, **_step(trunk, head, optimizer, batch, settings, rate, step, mean_weight)}
            if step == 0 and initial is None and not probed and abs(measured["loss"] - math.log(2)) > 1e-6:
                raise CheckFailed(f"the untrained loss is {measured['loss']:.6f}, not ln 2: rows or pairs are mislaid")
            if settings.eval_every and (step + 1) % settings.eval_every == 0:
                measured |= _held_out(trunk, adapter, head, held_out, settings.max_tokens)
            metrics.append(measured)
            on_step(measured["pairs"], measured)
            if checkpoints is not None and (step + 1) % checkpoints.every == 0:
                checkpoints.save(Progress(metrics, {**optimizer.state_tensors(), "scale": head.scale}))
    head.offset += float(np.mean(np.concatenate(score_branches(trunk, adapter, head, reference))))
    metrics = metrics or probed
    return Trained(head, metrics, sum(m["pairs"] for m in metrics), dropped, len(reference))


def _usable(
    comparisons: Sequence[Comparison], encoder: Encoder, settings: PreferenceSettings
) -> tuple[list[PairedGroup], dict[str, int]]:
    """The comparisons that can be trained on, by prompt; and how many cannot, by reason.

    Raises:
        InputError: none can.
    """
    kept, weak = drop_weakest(comparisons, settings.min_strength)
    groups, drops = paired_groups(kept, encoder, settings.max_tokens)
    if not groups:
        raise InputError(
            f"no comparison to train on: {len(comparisons)} read, {weak} too weak, dropped: {dict(drops)}; "
            f"give others, a higher max_tokens (now {settings.max_tokens}) or a lower min_strength"
        )
    dropped = {"strength below min_strength": weak, **drops}
    return groups, {reason: count for reason, count in dropped.items() if count}


def _begin(
    trunk: Trunk,
    adapter: str,
    settings: PreferenceSettings,
    seed: int,
    initial: Path | None,
    reference: Sequence[Group],
) -> ScoreHead:
    """Adapter and head before the first step, fresh or those of a snapshot."""
    if initial is None:
        trunk.add_adapter(adapter, settings.rank, seed)
        head = ScoreHead(trunk.width, settings.pooling, settings.layers).to(trunk.device)
        head.fit_scale(branch_features(trunk, adapter, head, reference))
        return head
    if settings.probe:
        raise InputError(f"probe = {settings.probe} would begin the head of {initial} anew; set it to 0")
    card, loaded = read_card(initial), load_snapshot(initial, trunk, adapter)
    for name in ("rank", "layers", "pooling"):
        if loaded is None or getattr(card, name) != getattr(settings, name):
            raise InputError(
                f"{initial}: {name} is {getattr(card, name)}, not {getattr(settings, name)}; "
                "give a preference model, and train with its rank, layers and pooling"
            )
    assert loaded is not None
    return loaded


def _probe(
    trunk: Trunk,
    adapter: str,
    head: ScoreHead,
    groups: Sequence[PairedGroup],
    settings: PreferenceSettings,
    on_step: Callable[[int, Metrics], None],
) -> Metrics:
    """Begin the head as the linear probe of all comparisons; returns how well it tells them, as a step's metrics."""
    parts = []
    for start in range(0, len(groups), PROBE_GROUPS):
        part = groups[start : start + PROBE_GROUPS]
        features_NF = branch_features(trunk, adapter, head, [paired.group for paired in part])
        chosen, rejected = numbered(part)
        parts.append((((features_NF[chosen] - features_NF[rejected]) / head.scale).cpu(), *_aims(part, settings)))
        on_step(len(chosen), {})
    gaps_PF, labels_P, weights_P = (torch.cat(columns) for columns in zip(*parts, strict=True))
    weights_F = fit_probe(gaps_PF, labels_P, weights_P, settings.probe)
    head.weight.data = weights_F.to(head.weight)
    gap_P = gaps_PF @ weights_F.float()
    zero_P = torch.zeros_like(gap_P)
    loss = preference_loss(gap_P, zero_P, labels_P, weights_P)
    right = _right(gap_P, zero_P) / len(gap_P)
    return {"step": 0, "loss": float(loss.total) / loss.count, "accuracy": right, "pairs": len(gap_P)}


def _go_on(
    done: Progress,
    head: ScoreHead,
    optimizer: MasterAdamW,
    on_step: Callable[[int, Metrics], None],
    probed: Sequence[PairedGroup],
) -> list[Metrics]:
    """Put a checkpoint's state in place; returns the metrics of the steps that were done, behind the probe."""
    head.scale = done.tensors["scale"].to(head.scale)
    optimizer.load_state_tensors(done.tensors)
    read = sum(len(paired.pairs) for paired in probed) + sum(step["pairs"] for step in done.metrics)
    on_step(read, done.metrics[-1])
    return done.metrics


def _held_out(
    trunk: Trunk, adapter: str, head: ScoreHead, comparisons: Sequence[Comparison], max_tokens: int
) -> Metrics:
    """Loss and accuracy on comparisons that are not trained on.

    Raises:
        InputError: none of them fits into a row.
    """
    scores_P2, _ = score_comparisons(trunk, adapter, head, comparisons, max_tokens)
    differences = (scores_P2[:, 0] - scores_P2[:, 1])[np.isfinite(scores_P2).all(axis=1)]
    if not len(differences):
        raise InputError(
            f"no held-out comparison fits into {max_tokens} tokens; raise max_tokens, or set eval_every to 0"
        )
    return {"held_out_loss": log_loss(differences), "held_out_accuracy": accuracy(differences).value}


def _stalled(metrics: Sequence[Metrics], patience: int) -> bool:
    """Whether none of the last `patience` measurements lies below all earlier ones."""
    losses = [step["held_out_loss"] for step in metrics if "held_out_loss" in step]
    return patience > 0 and len(losses) > patience and min(losses[-patience:]) >= min(losses[:-patience])


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
    rate: float,
    step: int,
    mean_weight: float,
) -> Metrics:
    """One optimizer step over a batch, in micro-batches; the gradient is that of the mean loss over its pairs, in which
    a pair counts its weight over the mean weight of all that is trained on: what weighs more moves more, also where a
    batch has nothing else."""
    groups = closed([paired.group for paired in batch], trunk.encoder.context_end)
    total, weight, right, pairs = 0.0, 0.0, 0.0, 0
    for places in trunk.batches([group.length for group in groups], settings.token_budget):
        rows, part = trunk.lay([groups[place] for place in places]), [batch[place] for place in places]
        scores_N = head(trunk.hidden_RLD(rows, head.layers), rows)
        chosen, rejected = numbered(part)
        labels_P, weights_P = (values.to(trunk.device) for values in _aims(part, settings))
        loss = preference_loss(scores_N[chosen], scores_N[rejected], labels_P, weights_P)
        _check(step, loss, part, scores_N[chosen] - scores_N[rejected])
        optimizer.accumulate(loss.total)
        total, weight, pairs = total + loss.total.item(), weight + loss.count, pairs + len(labels_P)
        right += _right(scores_N[chosen].detach(), scores_N[rejected].detach())
    norm = optimizer.step(pairs * mean_weight, rate)
    return {"loss": total / weight, "accuracy": right / pairs, "pairs": pairs, "gradient_norm": norm, "rate": rate}


def _aims(batch: Sequence[PairedGroup], settings: PreferenceSettings) -> tuple[Tensor, Tensor]:
    return aims([comparison for paired in batch for comparison in paired.comparisons], settings)


def aims(comparisons: Sequence[Comparison], settings: PreferenceSettings) -> tuple[Tensor, Tensor]:
    """The soft label (P,) that each pair is trained towards and what it counts (P,); a choice of unknown strength is
    taken for certain."""
    labels = (1.0 if one.strength is None else settings.strength_labels[one.strength - 1] for one in comparisons)
    labels_P = torch.tensor(list(labels))
    weights_P = torch.tensor([settings.harmless_weight if one.kind == "harmless" else 1.0 for one in comparisons])
    return labels_P + settings.label_smoothing * (1 - 2 * labels_P), weights_P


def _right(chosen_P: Tensor, rejected_P: Tensor) -> float:
    return float((chosen_P > rejected_P).sum() + 0.5 * (chosen_P == rejected_P).sum())


def _check(step: int, loss: Sum, part: Sequence[PairedGroup], differences_P: Tensor) -> None:
    value = loss.total.item() / loss.count
    if not math.isfinite(value):
        bad = int((~differences_P.isfinite()).nonzero()[0]) if not differences_P.isfinite().all() else 0
        asked = [one for paired in part for one in paired.comparisons][bad].prompt.messages[0].text
        raise CheckFailed(
            f"the preference loss at step {step} is {value}, first at the comparison whose first human turn begins "
            f"{asked[:60]!r}; the last checkpoint stays; lower the learning rate and start anew"
        )


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

"""A linear probe: the weights of a score head by penalised logistic regression on features of the frozen base.

Some hundred comparisons teach adapters little that holds beyond them; what the base already says of a text, weighted by
them, holds better, and is a better start for fine-tuning (linear probing, then fine-tuning: Kumar et al. 2022,
arXiv:2202.10054). P pairs, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from tutelage.plumbing.errors import CheckFailed
from tutelage.training.losses import preference_loss

NEWTON_STEPS = 50


@dataclass(frozen=True)
class Judged:
    """Pairs that a probe is fitted to."""

    gaps_PF: Tensor
    """features of the chosen response less those of the rejected one"""
    labels_P: Tensor
    """the chance that the chosen one is the better"""
    weights_P: Tensor
    """what each counts in the loss"""

    def where(self, mask_P: Tensor) -> "Judged":
        return Judged(*(getattr(self, column.name)[mask_P] for column in fields(self)))

    def loss(self, weights_F: Tensor) -> float:
        """Of a probe with these weights, the weighted sum."""
        gap_P = self.gaps_PF @ weights_F
        return float(preference_loss(gap_P, torch.zeros_like(gap_P), self.labels_P, self.weights_P).total)


def fit_chosen_probe(
    pairs: Judged, penalties: Sequence[float], folds_P: Tensor, centre_F: Tensor
) -> tuple[Tensor, float]:
    """The probe of the pairs (F,), and which of the penalties on |w - centre|² it has: the one whose probes of all
    folds but one have the least loss on that one; of a single fold, the strongest."""
    # From the centre, weights move within the span of the gaps only: few pairs need few numbers.
    basis_FK, span_KP = torch.linalg.qr(pairs.gaps_PF.double().T)
    small, centre_K = Judged(span_KP.T, pairs.labels_P.double(), pairs.weights_P.double()), basis_FK.T @ centre_F
    penalty = _least_loss(small, penalties, folds_P, centre_K)
    weights_K = fit_probe(small.gaps_PF, small.labels_P, small.weights_P, penalty, centre_K)
    return centre_F + basis_FK @ (weights_K - centre_K), penalty


def _least_loss(pairs: Judged, penalties: Sequence[float], folds_P: Tensor, centre_F: Tensor) -> float:
    parts = [folds_P == fold for fold in folds_P.unique()]
    if len(parts) == 1 or len(penalties) == 1:
        return max(penalties)

    def loss(penalty: float) -> float:
        fits = (pairs.where(~part) for part in parts)
        probes = (fit_probe(fit.gaps_PF, fit.labels_P, fit.weights_P, penalty, centre_F) for fit in fits)
        return sum(pairs.where(part).loss(weights_F) for part, weights_F in zip(parts, probes, strict=True))

    return min(penalties, key=loss)


def fit_probe(
    gaps_PF: Tensor, labels_P: Tensor, weights_P: Tensor, penalty: float, centre_F: Tensor | None = None
) -> Tensor:
    """The weights w (F,) that minimise the weighted mean preference loss of gaps · w plus penalty / 2 · |w - centre|².

    `gaps_PF`: features of the chosen response less those of the rejected one. `labels_P`: the chance that the chosen
    one is the better. `centre_F`: what the weights are likely to be; None: zero. Newton's method, damped, in double
    precision: the sum is strictly convex.

    Raises:
        CheckFailed: it does not settle, for the features are not finite, say.
    """
    gaps_PF, labels_P = gaps_PF.double(), labels_P.double()
    shares_P = weights_P.double() / weights_P.double().sum()
    ridge_FF = penalty * torch.eye(gaps_PF.shape[1], dtype=torch.double)
    centre_F = torch.zeros(gaps_PF.shape[1], dtype=torch.double) if centre_F is None else centre_F.double()
    weights_F = centre_F

    def objective(weights_F: Tensor) -> Tensor:
        gap_P = gaps_PF @ weights_F
        loss_P = torch.nn.functional.softplus(-gap_P) + (1 - labels_P) * gap_P
        return shares_P @ loss_P + penalty / 2 * (weights_F - centre_F).square().sum()

    for _ in range(NEWTON_STEPS):
        chance_P = torch.sigmoid(gaps_PF @ weights_F)
        gradient_F = gaps_PF.T @ (shares_P * (chance_P - labels_P)) + penalty * (weights_F - centre_F)
        curvature_FF = gaps_PF.T * (shares_P * chance_P * (1 - chance_P)) @ gaps_PF + ridge_FF
        step_F: Tensor = torch.linalg.solve(curvature_FF, gradient_F)
        while objective(weights_F - step_F) > objective(weights_F) + 1e-12:  # it overshot, from where the loss is flat
            step_F = step_F / 2
        weights_F = weights_F - step_F
        if step_F.abs().max() < 1e-9:
            return weights_F
    raise CheckFailed("the score head's linear probe does not settle; raise the penalty `probe`")

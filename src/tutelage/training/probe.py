"""A linear probe: the weights of a score head by penalised logistic regression on features of the frozen base.

Some hundred comparisons teach adapters little that holds beyond them; what the base already says of a text, weighted by
them, holds better, and is a better start for fine-tuning (linear probing, then fine-tuning: Kumar et al. 2022,
arXiv:2202.10054). P pairs, F features.
"""

import torch
from torch import Tensor

from tutelage.plumbing.errors import CheckFailed

NEWTON_STEPS = 50


def fit_probe(gaps_PF: Tensor, labels_P: Tensor, weights_P: Tensor, penalty: float) -> Tensor:
    """The weights w (F,) that minimise the weighted mean preference loss of gaps · w plus penalty / 2 · |w|².

    `gaps_PF`: features of the chosen response less those of the rejected one. `labels_P`: the chance that the chosen
    one is the better. Newton's method, in double precision: the sum is strictly convex.

    Raises:
        CheckFailed: it does not settle, for the features are not finite, say.
    """
    gaps_PF, labels_P = gaps_PF.double(), labels_P.double()
    shares_P = weights_P.double() / weights_P.double().sum()
    ridge_FF = penalty * torch.eye(gaps_PF.shape[1], dtype=torch.double)
    weights_F = torch.zeros(gaps_PF.shape[1], dtype=torch.double)
    for _ in range(NEWTON_STEPS):
        chance_P = torch.sigmoid(gaps_PF @ weights_F)
        gradient_F = gaps_PF.T @ (shares_P * (chance_P - labels_P)) + penalty * weights_F
        curvature_FF = gaps_PF.T * (shares_P * chance_P * (1 - chance_P)) @ gaps_PF + ridge_FF
        step_F: Tensor = torch.linalg.solve(curvature_FF, gradient_F)
        weights_F = weights_F - step_F
        if step_F.abs().max() < 1e-9:
            return weights_F
    raise CheckFailed("the score head's linear probe does not settle; raise the penalty `probe`")

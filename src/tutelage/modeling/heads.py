"""Scalars from hidden states: the preference model's score and the critic's value are one function of a branch.

N branches, T response tokens over all branches, D width, F features.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from tutelage.modeling.rows import Rows

Pooling = Literal["last", "mean"]


def feature_width(width: int, pooling: Pooling) -> int:
    return width if pooling == "last" else 2 * width


def token_features_TF(hidden_RLD: Tensor, places_T: Tensor, rows: Rows, pooling: Pooling) -> Tensor:
    """fp32 features at one place a response token: its state and, for `mean`, the branch's mean state so far.

    `last` is the paper's choice (the score sits at the last token). `mean` adds the running mean over the branch: a
    small model trained on few comparisons otherwise learns little but whether the answer ended.
    """
    states_TD = hidden_RLD.flatten(0, 1)[places_T].float()
    if pooling == "last":
        return states_TD
    return torch.cat([states_TD, _running_mean(states_TD, rows)], dim=1)


def _running_mean(states_TD: Tensor, rows: Rows) -> Tensor:
    """Mean over each branch's tokens up to and with each token."""
    branches = states_TD.split(rows.lengths_N.tolist())
    return torch.cat([
        branch.cumsum(0) / torch.arange(1, len(branch) + 1, device=branch.device)[:, None] for branch in branches
    ])  # fmt: skip


class ScoreHead(nn.Module):
    """A linear scalar on branch features, fp32, zero at first, so that an untrained model's loss is exactly ln 2.

    `layers`: the features are read after that many layers of the trunk (None: all). Some way below the top a small
    base says more about a text as a whole; and the passes are shorter.
    """

    scale: Tensor
    """(F,) spread of each feature, fixed before training: the states of some dimensions are a hundred times those of
    others, and a common learning rate would only ever move those"""
    offset: Tensor
    """subtracted, so that scores have mean 0 on a stated reference set"""

    def __init__(self, width: int, pooling: Pooling, layers: int | None = None) -> None:
        super().__init__()
        self.pooling: Pooling = pooling
        self.layers = layers
        self.weight = nn.Parameter(torch.zeros(feature_width(width, pooling)))
        self.register_buffer("scale", torch.ones_like(self.weight))
        self.register_buffer("offset", torch.zeros(()))

    @property
    def direction(self) -> Tensor:
        """(F,) what a unit of each feature adds to the score."""
        return self.weight / self.scale

    def fit_scale(self, features_NF: Tensor) -> None:
        """Take the spread of each feature from a sample; those that hardly vary count as a tenth of the median."""
        spread_F = features_NF.std(0)
        self.scale = spread_F.clamp(min=float(spread_F.median()) / 10)

    def features_NF(self, hidden_RLD: Tensor, rows: Rows) -> Tensor:
        """Features of each branch, read at its last token, the end-of-context token."""
        return token_features_TF(hidden_RLD, rows.at_T, rows, self.pooling)[rows.last_N]

    def forward(self, hidden_RLD: Tensor, rows: Rows) -> Tensor:
        """Score of each branch (N,)."""
        return self.features_NF(hidden_RLD, rows) @ self.direction - self.offset

    def values_T(self, hidden_RLD: Tensor, rows: Rows) -> Tensor:
        """What a critic expects ahead of each response token: the same function, read at the token before."""
        return token_features_TF(hidden_RLD, rows.before_T, rows, self.pooling) @ self.direction - self.offset

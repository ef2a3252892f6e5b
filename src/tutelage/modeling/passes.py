"""Passes over many groups: scores and log-probs of every branch, in batches that fit, in the order given."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.modeling.heads import ScoreHead, token_features_TF
from tutelage.modeling.rows import Group, Rows
from tutelage.modeling.trunk import Trunk

TOKEN_BUDGET = 2048  # row tokens a pass: enough to keep two cores busy, little enough to stay in their caches
GPU_TOKEN_BUDGET = 32768

Array = NDArray[np.float64]


def score_branches(trunk: Trunk, adapter: str, head: ScoreHead, groups: Sequence[Group]) -> list[list[float]]:
    """The preference model's score of each branch; a branch is a response's ids.

    The end-of-context token is appended here, at the one place where a preference model reads a response.
    """

    def score(rows: Rows) -> list[float]:
        return head(trunk.hidden_RLD(rows, head.layers), rows).tolist()  # type: ignore[no-any-return]

    with trunk.using(adapter):
        return _by_branch(trunk, closed(groups, trunk.encoder.context_end), score)


def branch_features(trunk: Trunk, adapter: str | None, head: ScoreHead, groups: Sequence[Group]) -> Tensor:
    """The features from which the preference model scores each branch (N, F), in the order of the groups."""

    def features(rows: Rows) -> list[Tensor]:
        return list(head.features_NF(trunk.hidden_RLD(rows, head.layers), rows))

    with trunk.using(adapter):
        by_group = _by_branch(trunk, closed(groups, trunk.encoder.context_end), features)
    return torch.stack([features_F for row in by_group for features_F in row])


def score_with_features(
    trunk: Trunk, adapter: str, head: ScoreHead, groups: Sequence[Group]
) -> tuple[list[list[float]], list[list[Array]]]:
    """Scores as above and, from the same pass, the features ahead of each response token (tokens x features)."""

    def score(rows: Rows) -> list[tuple[float, Array]]:
        hidden_RLD = trunk.hidden_RLD(rows, head.layers)
        ahead_TF = token_features_TF(hidden_RLD, rows.before_T, rows, head.pooling)
        ahead = [part[:-1].double().cpu().numpy() for part in ahead_TF.split(rows.lengths_N.tolist())]
        return list(zip(head(hidden_RLD, rows).tolist(), ahead, strict=True))

    with trunk.using(adapter):
        both = _by_branch(trunk, closed(groups, trunk.encoder.context_end), score)
    return [[score for score, _ in row] for row in both], [[features for _, features in row] for row in both]


def branch_logprobs(
    trunk: Trunk, adapter: str | None, groups: Sequence[Group], temperature: float, layers: int | None = None
) -> list[list[Array]]:
    """Log-probs of each branch's tokens under the trunk (or its first `layers` layers) with this adapter."""

    def logprobs(rows: Rows) -> list[Array]:
        logprobs_T, _ = trunk.logprobs_T(trunk.hidden_RLD(rows, layers), rows, temperature)
        return ragged(logprobs_T, rows)

    with trunk.using(adapter):
        return _by_branch(trunk, groups, logprobs)


def branch_values(trunk: Trunk, adapter: str, head: ScoreHead, groups: Sequence[Group]) -> list[list[Array]]:
    """The value that a critic gives ahead of each token of each branch."""

    def values(rows: Rows) -> list[Array]:
        return ragged(head.values_T(trunk.hidden_RLD(rows, head.layers), rows), rows)

    with trunk.using(adapter):
        return _by_branch(trunk, groups, values)


def closed(groups: Sequence[Group], context_end: int) -> list[Group]:
    """The groups with the end-of-context token behind every branch: what a preference model reads."""
    return [Group(group.prompt, tuple((*branch, context_end) for branch in group.branches)) for group in groups]


def ragged(values_T: Tensor, rows: Rows) -> list[Array]:
    """Per-token values as one array a branch."""
    return [part.detach().double().cpu().numpy() for part in values_T.split(rows.lengths_N.tolist())]


def _by_branch(trunk: Trunk, groups: Sequence[Group], measure: Callable[[Rows], list[Any]]) -> list[list[Any]]:
    """`measure` gives one value a branch of its rows; returns them by group, in the order of `groups`."""
    results: list[list[Any]] = [[] for _ in groups]
    with torch.no_grad():
        budget = GPU_TOKEN_BUDGET if trunk.packs else TOKEN_BUDGET
        for batch in trunk.batches([group.length for group in groups], budget):
            values = iter(measure(trunk.lay([groups[index] for index in batch])))
            for index in batch:
                results[index] = [next(values) for _ in groups[index].branches]
    return results

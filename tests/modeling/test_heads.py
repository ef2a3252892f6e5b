"""Scores of branches."""

import pytest
import torch

from tutelage.modeling.heads import Pooling, ScoreHead, token_features_TF
from tutelage.modeling.rows import lay

from .toys import random_groups

WIDTH = 6
ROWS = lay(random_groups(0, 3))
HIDDEN = torch.randn(*ROWS.ids_RL.shape, WIDTH, generator=torch.Generator().manual_seed(0))


def branch_states() -> list[torch.Tensor]:
    """The states of each branch's tokens."""
    states = HIDDEN.flatten(0, 1)[ROWS.at_T]
    return list(states.split(ROWS.lengths_N.tolist()))


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_an_untrained_head_scores_zero_exactly(pooling: Pooling) -> None:
    head = ScoreHead(WIDTH, pooling)
    head.fit_scale(head.features_NF(HIDDEN, ROWS))
    assert torch.equal(head(HIDDEN, ROWS), torch.zeros(len(ROWS.lengths_N)))


def test_last_reads_the_state_of_the_last_token() -> None:
    features = ScoreHead(WIDTH, "last").features_NF(HIDDEN, ROWS)
    assert torch.equal(features, torch.stack([states[-1] for states in branch_states()]))


def test_mean_adds_the_mean_over_the_branch() -> None:
    features = ScoreHead(WIDTH, "mean").features_NF(HIDDEN, ROWS)
    naive = torch.stack([torch.cat([states[-1], states.mean(0)]) for states in branch_states()])
    torch.testing.assert_close(features, naive)


def test_the_mean_at_a_token_is_over_the_branch_so_far() -> None:
    features = token_features_TF(HIDDEN, ROWS.at_T, ROWS, "mean")
    naive = torch.stack([states[: t + 1].mean(0) for states in branch_states() for t in range(len(states))])
    torch.testing.assert_close(features[:, WIDTH:], naive)


def test_the_score_is_linear_in_scaled_features_less_the_offset() -> None:
    head = ScoreHead(WIDTH, "last")
    features = head.features_NF(HIDDEN, ROWS)
    head.fit_scale(features)
    head.weight.data.normal_(generator=torch.Generator().manual_seed(1))
    head.offset.fill_(2.0)
    torch.testing.assert_close(head(HIDDEN, ROWS), (features / head.scale) @ head.weight - 2.0)


def test_a_feature_that_hardly_varies_counts_as_a_tenth_of_the_median() -> None:
    head = ScoreHead(3, "last")
    head.fit_scale(torch.tensor([[0.0, 0.0, 0.0], [2.0, 6.0, 1e-9]]))
    spread = torch.tensor([2.0, 6.0, 0.2]) / 2**0.5
    torch.testing.assert_close(head.scale, spread)

"""Passes over many groups: in the order given, whatever the batches."""

import numpy as np
import pytest

from tutelage.modeling import passes
from tutelage.modeling.heads import Pooling
from tutelage.modeling.passes import branch_logprobs, closed, score_branches, score_with_features
from tutelage.modeling.rows import Group, lay
from tutelage.modeling.trunk import Trunk

from .toys import add_random_adapter, naive_logits, random_groups, random_head

GROUPS = random_groups(5, 7)


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("budget", [1, 100, 10_000])
def test_scores_are_read_behind_the_context_end_and_come_in_order(
    tiny: Trunk, monkeypatch: pytest.MonkeyPatch, pooling: Pooling, budget: int
) -> None:
    monkeypatch.setattr(passes, "TOKEN_BUDGET", budget)
    add_random_adapter(tiny, "pm")
    head = random_head(tiny, pooling, layers=1)
    scores = score_branches(tiny, "pm", head, GROUPS)
    naive = []
    with tiny.using("pm"):
        for group in GROUPS:
            for branch in group.branches:
                rows = lay([Group(group.prompt, ((*branch, tiny.encoder.context_end),))])
                naive.append(head(tiny.hidden_RLD(rows, 1), rows).item())
    assert [len(row) for row in scores] == [len(group.branches) for group in GROUPS]
    np.testing.assert_allclose([score for row in scores for score in row], naive, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_features_come_with_the_scores_and_know_only_what_came_before(tiny: Trunk, pooling: Pooling) -> None:
    add_random_adapter(tiny, "pm")
    head = random_head(tiny, pooling)
    prompt, branch, changed = (65, 66), (70, 71, 72, 73), (70, 71, 99, 98)
    groups = [Group(prompt, (branch, changed))]
    scores, features = score_with_features(tiny, "pm", head, groups)
    assert scores == score_branches(tiny, "pm", head, groups)
    one, other = features[0]
    assert one.shape == (len(branch), len(head.weight))
    np.testing.assert_array_equal(one[:3], other[:3])  # the third token's features stand before the third token
    assert np.abs(one[3] - other[3]).max() > 1e-3
    with tiny.using("pm"):
        state = tiny.hidden_RLD(lay([Group(prompt, ((1,),))]))[0, 1]
    np.testing.assert_allclose(one[0, : tiny.width], state, rtol=1e-4, atol=1e-5)


def test_log_probs_are_those_of_the_plain_model_at_this_temperature(tiny: Trunk) -> None:
    ours = branch_logprobs(tiny, None, GROUPS, temperature=0.5)
    for group, row in zip(GROUPS, ours, strict=True):
        for branch, logprobs in zip(group.branches, row, strict=True):
            logits = naive_logits(tiny, group.prompt + branch)[len(group.prompt) - 1 : -1] / 0.5
            naive = logits.log_softmax(-1)[range(len(branch)), list(branch)]
            np.testing.assert_allclose(logprobs, naive, rtol=1e-4, atol=1e-5)


def test_the_adapter_counts(tiny: Trunk) -> None:
    add_random_adapter(tiny, "a")
    base, adapted = (np.concatenate(branch_logprobs(tiny, name, GROUPS[:1], 1.0)[0]) for name in (None, "a"))
    assert np.abs(base - adapted).max() > 1e-3


def test_closing_leaves_the_ids_as_they_are_even_where_they_hold_the_end_token() -> None:
    group = Group((1, 2), ((3, 1), (1,)))
    assert closed([group], 1) == [Group((1, 2), ((3, 1, 1), (1, 1)))]


def test_no_groups_are_no_scores(tiny: Trunk) -> None:
    add_random_adapter(tiny, "pm")
    assert score_branches(tiny, "pm", random_head(tiny, "last"), []) == []
    assert branch_logprobs(tiny, None, [], 1.0) == []

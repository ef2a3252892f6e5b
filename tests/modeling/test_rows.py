"""Rows: every token laid once, and every number that of a row of its own."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import create_mask

from tutelage.modeling.rows import BLOCK, PAD, PASS_COST, Group, Rows, lay, packed_batches, token_batches
from tutelage.modeling.trunk import Trunk

from .toys import add_random_adapter, apart, assert_same, naive_logits, numbers, random_groups, random_head

TOKENS = st.lists(st.integers(0, 255), min_size=1, max_size=6).map(tuple)
GROUPS = st.lists(st.builds(Group, TOKENS, st.lists(TOKENS, min_size=1, max_size=3).map(tuple)), min_size=1, max_size=4)
A, B = (97, 98, 99, 100), (101, 102, 103)


def owners(group: Group, length: int) -> list[int]:
    """Whose each column of a row is, the slow way: 0 the prompt's, 1, 2, … the branches', -1 padding."""
    named = [0] * len(group.prompt)
    for number, branch in enumerate(group.branches, start=1):
        named += [number] * len(branch)
    return named + [PAD] * (length - len(named))


@settings(max_examples=60, deadline=None)
@given(GROUPS)
def test_every_token_is_laid_once_in_its_place(groups: list[Group]) -> None:
    rows = lay(groups)
    length = max(group.length for group in groups)
    assert rows.ids_RL.shape == (len(groups), length)
    t = branches = 0
    for row, group in enumerate(groups):
        text = [*group.prompt, *(token for branch in group.branches for token in branch)]
        assert rows.ids_RL[row, : len(text)].tolist() == text
        assert rows.segments_RL[row].tolist() == owners(group, length)
        assert rows.positions_RL[row, : len(group.prompt)].tolist() == list(range(len(group.prompt)))
        start = len(group.prompt)
        for branch in group.branches:
            places = list(range(row * length + start, row * length + start + len(branch)))
            mine = slice(t, t + len(branch))
            assert rows.at_T[mine].tolist() == places
            assert rows.before_T[mine].tolist() == [row * length + len(group.prompt) - 1, *places[:-1]]
            assert rows.targets_T[mine].tolist() == list(branch)
            assert rows.positions_RL.flatten()[places].tolist() == list(
                range(len(group.prompt), len(group.prompt) + len(branch))
            )
            assert rows.lengths_N[branches] == len(branch)
            assert rows.last_N[branches] == t + len(branch) - 1
            start, t, branches = start + len(branch), t + len(branch), branches + 1
    assert (t, branches) == (len(rows.at_T), len(rows.lengths_N))


@settings(max_examples=60, deadline=None)
@given(GROUPS)
def test_a_token_looks_back_at_the_prompt_and_its_own_branch_only(groups: list[Group]) -> None:
    mask = lay(groups).mask_R1LL()[:, 0]
    for row, group in enumerate(groups):
        owner = owners(group, mask.shape[-1])
        for query, own in enumerate(owner):
            seen = [
                key <= query and (of == own if PAD in (of, own) else of in (0, own)) for key, of in enumerate(owner)
            ]
            assert mask[row, query].tolist() == seen
            assert any(seen)  # a softmax over nothing would be NaN


@pytest.mark.parametrize(("prompt", "branches"), [((), ((1,),)), ((1,), ()), ((1,), ((2,), ()))])
def test_a_group_without_a_prompt_or_with_an_empty_branch_is_refused(prompt: tuple[int], branches: tuple) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Group(prompt, branches)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 90), max_size=60), st.integers(1, 200))
def test_batches_hold_every_index_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(token_batches(lengths, budget))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget


def test_batches_waste_little_on_padding() -> None:
    lengths = [10, 90, 11, 91]
    assert list(token_batches(lengths, 182)) == [[0, 2], [1, 3]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=8), st.integers(1, 700))
def test_no_other_cut_of_the_sorted_rows_costs_less(lengths: list[int], budget: int) -> None:
    ordered = sorted(lengths)

    def cost(cuts: tuple[bool, ...]) -> float:
        places = [0, *(place for place, cut in enumerate(cuts, start=1) if cut), len(ordered)]
        batches = [ordered[start:end] for start, end in pairwise(places)]
        fits = all(len(batch) == 1 or len(batch) * batch[-1] <= budget for batch in batches)
        return sum(len(batch) * batch[-1] + PASS_COST for batch in batches) if fits else float("inf")

    least = min(cost(cuts) for cuts in product((False, True), repeat=len(ordered) - 1))
    batches = list(token_batches(lengths, budget))
    assert sum(len(batch) * max(lengths[index] for index in batch) + PASS_COST for batch in batches) == least


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 90), max_size=30), st.integers(1, 200))
def test_packed_batches_keep_the_order_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(packed_batches(lengths, budget))
    assert [index for batch in batches for index in batch] == list(range(len(lengths)))
    assert all(len(batch) == 1 or sum(lengths[index] for index in batch) <= budget for batch in batches)


@settings(max_examples=30, deadline=None)
@given(GROUPS)
def test_packed_groups_look_at_nothing_of_one_another(groups: list[Group]) -> None:
    apart_, packed = lay(groups), lay(groups, packed=True)
    assert packed.ids_RL.shape[0] == 1
    assert packed.ids_RL.shape[1] % BLOCK == 0
    mask, start = packed.mask_R1LL()[0, 0], 0
    for row, group in enumerate(groups):
        own = slice(start, start + group.length)
        assert torch.equal(packed.ids_RL[0, own], apart_.ids_RL[row, : group.length])
        assert torch.equal(packed.positions_RL[0, own], apart_.positions_RL[row, : group.length])
        assert torch.equal(mask[own, own], apart_.mask_R1LL()[row, 0, : group.length, : group.length])
        assert not mask[own, :start].any()
        assert not mask[own, own.stop :].any()
        start = own.stop
    assert mask.any(-1).all()


def test_the_block_mask_is_the_dense_mask() -> None:
    rows = lay(random_groups(3, 9), packed=True)
    dense = rows.mask_R1LL()[0, 0]
    places = torch.arange(len(dense))
    blockwise = create_mask(rows.block_mask().mask_mod, 1, 1, len(places), len(places), device="cpu")
    assert torch.equal(blockwise[0, 0], dense)


# The numbers: invariants 1 and 2.


def test_numbers_and_gradients_equal_those_of_separate_rows(tiny: Trunk) -> None:
    add_random_adapter(tiny, "a")
    head, groups = random_head(tiny, "mean"), random_groups(0, 5)
    together = numbers(tiny, "a", head, [lay(groups)])
    separate = numbers(tiny, "a", head, [lay([group]) for group in apart(groups)])
    assert_same(together.scores, separate.scores)
    assert_same(together.logprobs, separate.logprobs)
    assert_same(together.gradient, separate.gradient)
    packed = numbers(tiny, "a", head, [lay(groups, packed=True)])
    assert_same(packed.scores, separate.scores)
    assert_same(packed.logprobs, separate.logprobs)
    assert_same(packed.gradient, separate.gradient)


def test_blockwise_attention_gives_the_numbers_of_the_dense_mask(tiny: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    add_random_adapter(tiny, "a")
    head, rows = random_head(tiny, "mean"), lay(random_groups(0, 5), packed=True)
    with tiny.using("a"):
        dense = head(tiny.hidden_RLD(rows), rows)
        monkeypatch.setattr(Trunk, "packs", True)
        assert_same(head(tiny.hidden_RLD(rows), rows), dense)


@pytest.mark.parametrize("base", ["tiny", "embedded"])
def test_log_probs_are_those_of_a_plain_pass_over_prompt_and_branch(base: str, request: pytest.FixtureRequest) -> None:
    trunk: Trunk = request.getfixturevalue(base)
    groups = random_groups(1, 2)
    rows = lay(groups)
    with trunk.using(None):
        ours, _ = trunk.logprobs_T(trunk.hidden_RLD(rows), rows, temperature=0.7)
    naive = []
    for group in apart(groups):
        ids, split = group.prompt + group.branches[0], len(group.prompt)
        logprobs = (naive_logits(trunk, ids) / 0.7).log_softmax(-1)
        naive += [logprobs[place - 1, ids[place]] for place in range(split, len(ids))]
    assert_same(ours, torch.stack(naive))


def test_the_prompts_last_token_predicts_the_first_of_every_branch(tiny: Trunk) -> None:
    prompt = (65, 66, 67)
    rows = lay([Group(prompt, (A, B))])
    with tiny.using(None):
        logprobs, _ = tiny.logprobs_T(tiny.hidden_RLD(rows), rows, temperature=1.0)
    after_prompt = naive_logits(tiny, prompt)[-1].log_softmax(-1)
    torch.testing.assert_close(logprobs[[0, len(A)]], after_prompt[[A[0], B[0]]])


@pytest.mark.parametrize("other", [(9, 8, 7, 6), (5, 5, 5, 5)])
def test_what_one_branch_says_leaves_the_others_numbers_untouched_bit_for_bit(
    tiny: Trunk, other: tuple[int, ...]
) -> None:
    def of_b(a: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rows = lay([Group((65, 66, 67), (a, B))])
        with tiny.using(None):
            hidden = tiny.hidden_RLD(rows)
            logprobs, entropies = tiny.logprobs_T(hidden, rows, temperature=1.0)
        return hidden[0, -len(B) :], logprobs[-len(B) :], entropies[-len(B) :]

    for one, two in zip(of_b(A), of_b(other), strict=True):
        assert torch.equal(one, two)


def regrouped(rows_of: list[Group], order: list[int], sizes: list[int]) -> list[Rows]:
    """The groups in another order, so many a batch."""
    cuts = np.cumsum(sizes)[:-1]
    return [lay([rows_of[index] for index in part]) for part in np.split(order, cuts)]


@pytest.mark.parametrize(
    ("order", "sizes"),
    [([5, 4, 3, 2, 1, 0], [6]), ([0, 1, 2, 3, 4, 5], [1] * 6), ([2, 0, 5, 1, 4, 3], [4, 2])],
    ids=["order", "batch of one", "both"],
)
def test_padding_batch_size_and_order_change_no_sum(tiny: Trunk, order: list[int], sizes: list[int]) -> None:
    add_random_adapter(tiny, "a")
    head, groups = random_head(tiny, "last"), random_groups(2, 6)
    whole = numbers(tiny, "a", head, [lay(groups)])
    parts = numbers(tiny, "a", head, regrouped(groups, order, sizes))
    assert_same(parts.gradient, whole.gradient)
    branches = np.split(np.arange(len(whole.scores)), np.cumsum([len(group.branches) for group in groups])[:-1])
    assert_same(parts.scores, whole.scores[np.concatenate([branches[index] for index in order])])


def test_longer_padding_changes_no_number(tiny: Trunk) -> None:
    add_random_adapter(tiny, "a")
    head, groups = random_head(tiny, "mean"), random_groups(3, 3)
    long = Group(tuple(range(5, 105)), ((6,),))
    alone = numbers(tiny, "a", head, [lay(groups)])
    padded = numbers(tiny, "a", head, [lay([*groups, long])])
    assert_same(padded.scores[:-1], alone.scores)
    assert_same(padded.logprobs[:-1], alone.logprobs)

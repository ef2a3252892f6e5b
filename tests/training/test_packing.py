"""Packing: every text once, no row over its limit, and steps of like size."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tutelage.modeling.rows import shared_beginning
from tutelage.modeling.trunk import Trunk
from tutelage.training.packing import ROW_TOKENS, equal_steps, pack, packed_rows

IDS = st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple)


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 40))
def test_a_pack_is_full_at_most_and_nothing_is_lost(lengths: list[int], capacity: int) -> None:
    packs = pack(lengths, capacity)
    assert sorted(place for places in packs for place in places) == list(range(len(lengths)))
    sums = [sum(lengths[place] for place in places) for places in packs]
    assert all(total <= capacity or len(places) == 1 for total, places in zip(sums, packs, strict=True))
    # First fit: no two packs could have been one.
    assert all(one + other > capacity for place, one in enumerate(sums) for other in sums[:place])


def test_rows_hold_every_text_behind_the_opening(tiny: Trunk) -> None:
    rng = np.random.default_rng(0)
    texts = [tuple(rng.integers(5, 200, length).tolist()) for length in rng.integers(1, 300, 12)]
    seen = {}
    for rows, places in packed_rows(tiny, (1, 2, 3), texts, token_budget=1024):
        assert rows.ids_RL.numel() <= 1024
        assert rows.ids_RL.shape[1] <= ROW_TOKENS
        seen |= zip(places, rows.targets_T.split(rows.lengths_N.tolist()), strict=True)
    assert {place: tuple(ids.tolist()) for place, ids in seen.items()} == dict(enumerate(texts))


@given(st.lists(IDS, min_size=1, max_size=5), st.integers(0, 6))
def test_the_shared_beginning_is_the_longest_within_bounds(texts: list[tuple[int, ...]], at_most: int) -> None:
    found = shared_beginning(texts, at_most)
    assert len(found) <= at_most
    assert all(text[: len(found)] == found for text in texts)
    longer = len(found) + 1
    assert longer > at_most or len({text[:longer] for text in texts}) > 1 or longer > min(map(len, texts))


def test_steps_are_of_like_size_and_new_in_every_epoch() -> None:
    steps = equal_steps(33, 8, 2, np.random.default_rng(0))
    assert [len(step) for step in steps] == [9, 8, 8, 8] * 2
    first, second = np.concatenate(steps[:4]), np.concatenate(steps[4:])
    assert sorted(first) == sorted(second) == list(range(33))
    assert first.tolist() != second.tolist()

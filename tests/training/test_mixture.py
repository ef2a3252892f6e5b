"""Mixtures of helpful and harmless comparisons."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.plumbing.errors import InputError
from tutelage.training.mixture import mix

from .planted import planted

COMPARISONS = planted(20, 0) + [replace(one, kind="harmless") for one in planted(10, 1)]


@given(st.integers(1, 10), st.floats(0, 1), st.integers(0, 3))
def test_the_share_and_the_size_are_what_was_asked_for(pairs: int, share: float, seed: int) -> None:
    mixed = mix(COMPARISONS, pairs, share, seed)
    assert len(mixed) == pairs == len({id(one) for one in mixed})
    assert sum(one.kind == "harmless" for one in mixed) == round(pairs * share)
    places = [COMPARISONS.index(one) for one in mixed]
    assert places == sorted(places)


@given(st.floats(0, 1))
def test_without_a_size_it_is_the_largest_of_that_share(share: float) -> None:
    size = len(mix(COMPARISONS, None, share, 0))
    assert size >= 10
    with pytest.raises(InputError, match="asks for"):
        mix(COMPARISONS, size + 3, share, 0)


def test_without_a_share_they_are_drawn_as_they_come() -> None:
    assert mix(COMPARISONS, None, None, 0) == COMPARISONS
    drawn = [mix(COMPARISONS, 15, None, seed) for seed in range(40)]
    assert drawn[0] != drawn[1]
    assert 0.2 < sum(one.kind == "harmless" for some in drawn for one in some) / (40 * 15) < 0.47


def test_too_few_of_a_kind_are_refused_with_the_counts() -> None:
    with pytest.raises(InputError, match="asks for 12 harmless comparisons, but there are 10"):
        mix(COMPARISONS, 12, 1.0, 0)
    with pytest.raises(InputError, match="asks for 31 comparisons, but there are 30"):
        mix(COMPARISONS, 31, None, 0)
    for pairs in (0, -5):
        with pytest.raises(InputError, match=f"pairs must be at least 1, not {pairs}"):
            mix(COMPARISONS, pairs, None, 0)

"""Ratings against the textbook, choix and planted worlds; what they refuse; the coverage of their intervals."""

from typing import NamedTuple

import choix
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from tutelage.statistics.bradley_terry import fit_bradley_terry
from tutelage.statistics.ratings import ELO, RatingsRefused, rate, win_rate

# The worked example of Wikipedia's "Bradley–Terry model": row beat column; strengths to the geometric mean 1.
TEXTBOOK_WINS = np.array([[0, 2, 0, 1], [3, 0, 5, 0], [0, 3, 0, 1], [4, 0, 3, 0]], dtype=np.float64)
TEXTBOOK_STRENGTHS = [0.640, 1.043, 0.660, 2.270]


class World(NamedTuple):
    """Comparisons drawn from planted strengths, with workers' and prompts' own leanings."""

    winners: list[str]
    losers: list[str]
    workers: list[int]
    prompts: list[int]

    def swapped(self) -> "World":
        return World(self.losers, self.winners, self.workers, self.prompts)


def world(
    seed: int, theta: list[float], count: int, taste: float = 0.0, topic: float = 0.0, prompts: int = 50
) -> World:
    """Taste and topic: standard deviations, in nats, of each worker's and each prompt's leaning for each snapshot."""
    rng = np.random.default_rng(seed)
    size = len(theta)
    first = rng.integers(0, size, count)
    second = (first + rng.integers(1, size, count)) % size
    worker, prompt = rng.integers(0, 24, count), rng.integers(0, prompts, count)
    liking = np.array(theta) + rng.normal(0, taste, (24, size))[worker] + rng.normal(0, topic, (prompts, size))[prompt]
    each = np.arange(count)
    won = rng.random(count) < expit(liking[each, first] - liking[each, second])
    winner, loser = np.where(won, first, second), np.where(won, second, first)
    return World([f"s{i}" for i in winner], [f"s{i}" for i in loser], worker.tolist(), prompt.tolist())


def test_the_textbook_example() -> None:
    assert np.exp(fit_bradley_terry(TEXTBOOK_WINS)) == pytest.approx(TEXTBOOK_STRENGTHS, abs=5e-4)


def test_choix_agrees() -> None:
    drawn = world(1, [0.0, 0.5, -1.0, 2.0, 0.1], 400)
    number = {f"s{i}": i for i in range(5)}
    oracle = choix.ilsr_pairwise(
        5, [(number[winner], number[loser]) for winner, loser in zip(drawn.winners, drawn.losers, strict=True)]
    )
    ratings = rate(drawn.winners, drawn.losers, drawn.workers, anchor="s2")
    assert ratings.theta == pytest.approx(oracle - oracle[2], abs=1e-6)


def test_a_planted_world_is_found_again() -> None:
    ratings = rate(*world(2, [0.0, 0.4, 1.2], 6000), anchor="s0")
    assert ratings.theta == pytest.approx([0, 0.4, 1.2], abs=0.16)  # four standard errors
    assert ratings.elo("s2") == pytest.approx(1.2 * 400 / np.log(10), abs=28)
    assert ratings.interval("s0").low == ratings.interval("s0").high == 0


def test_a_win_rate_is_worth_its_elo() -> None:
    """75% wins are 400 log10(3) points."""
    ratings = rate(["a", "a", "a", "b"] * 6, ["b", "b", "b", "a"] * 6, list(range(24)), anchor="b")
    assert ratings.elo("a") == pytest.approx(400 * np.log10(3))


def test_differences_do_not_depend_on_the_anchor() -> None:
    drawn = world(3, [0.0, 0.5, 1.0], 600, taste=0.5)
    one, other = (rate(*drawn, anchor=anchor).difference("s2", "s1") for anchor in ("s0", "s1"))
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_swapping_winners_and_losers_mirrors_the_ratings(seed: int) -> None:
    drawn = world(seed, [0.0, 0.3, -0.3], 300)
    ratings, mirrored = rate(*drawn, anchor="s0"), rate(*drawn.swapped(), anchor="s0")
    one, other = ratings.interval("s1"), mirrored.interval("s1")
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))


def test_order_and_names_of_comparisons_do_not_matter() -> None:
    drawn = world(4, [0.0, 0.5], 200)
    shuffle = np.random.default_rng(0).permutation(200)
    columns = [[column[i] for i in shuffle] for column in drawn]
    columns[2] = [f"worker {label}" for label in columns[2]]
    one, other = rate(*columns, anchor="s0").interval("s1"), rate(*drawn, anchor="s0").interval("s1")
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))


def test_one_snapshot_against_itself_is_dropped_and_counted() -> None:
    drawn = world(5, [0.0, 0.5], 100)
    itself = World(["s0", "s9"], ["s0", "s9"], [1, 2], [1, 2])
    more = World(*([*column, *extra] for column, extra in zip(drawn, itself, strict=True)))
    ratings = rate(*more, anchor="s0")
    assert (ratings.same_snapshot, ratings.comparisons, ratings.snapshots) == (2, 100, ("s0", "s1"))
    assert ratings.interval("s1") == rate(*drawn, anchor="s0").interval("s1")


@pytest.mark.parametrize(
    ("games", "message"),
    [
        ("ab ba cd dc", r"unconnected: \{a, b\} and \{c, d\} were never compared"),
        ("ab ab", r"separated: \{a\} won every comparison"),
        ("ab ba cd dc ac bd", r"separated: \{a, b\} won every comparison"),
        ("ab bc cd", r"separated: \{a\} won every comparison"),
        ("aa bb", "no comparison of two different snapshots"),
        ("", "no comparison of two different snapshots"),
        ("bc cb", "the anchor a was never compared; these were: b, c"),
    ],
)
def test_undetermined_ratings_are_refused_by_name(games: str, message: str) -> None:
    pairs = games.split() * 3
    with pytest.raises(RatingsRefused, match=message):
        rate([pair[0] for pair in pairs], [pair[1] for pair in pairs], list(range(len(pairs))), anchor="a")


def test_one_worker_is_not_enough_for_an_interval() -> None:
    with pytest.raises(RatingsRefused, match="at least two"):
        rate(["a", "b"], ["b", "a"], ["w", "w"], anchor="a")


def test_a_link_that_rests_on_one_worker_is_refused() -> None:
    winners, losers = ["a", "b", "a", "b", "b", "c"], ["b", "a", "b", "a", "c", "b"]
    with pytest.raises(RatingsRefused, match=r"links \{a, b\} and \{c\} comes from a single worker"):
        rate(winners, losers, [1, 1, 2, 2, 3, 3], anchor="a")
    assert rate(winners * 2, losers * 2, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6], anchor="a").elo("c") == pytest.approx(0)


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="equally many"):
        rate(["a", "b"], ["b", "a"], ["w"], anchor="a")


def test_an_unknown_snapshot_is_named() -> None:
    with pytest.raises(ValueError, match="zz is not rated; these are: s0, s1"):
        rate(*world(6, [0.0, 0.5], 100), anchor="s0").interval("zz")


def test_workers_in_lockstep_make_nothing_certain() -> None:
    """Every worker gives three wins of four: leaving one out moves nothing, yet votes are only votes."""
    interval = rate(
        ["a", "a", "a", "b"] * 8, ["b", "b", "b", "a"] * 8, np.repeat(range(8), 4).tolist(), anchor="b"
    ).interval("a")
    assert interval.high - interval.value > 1.96 * ELO / np.sqrt(32 * 3 / 16)


def test_leaving_a_worker_out_is_what_the_interval_is_made_of() -> None:
    """CR3 by its definition: full refits without each worker, which one Newton step comes close to."""
    drawn = world(7, [0.0, 0.5, 0.8], 2000, taste=0.7)
    ratings = rate(*drawn[:3], anchor="s0")
    moves = []
    for left_out in range(24):
        kept = [i for i, worker in enumerate(drawn.workers) if worker != left_out]
        refit = rate(*([column[i] for i in kept] for column in drawn[:3]), anchor="s0")
        moves.append(refit.theta - ratings.theta)
    expected = 23 / 24 * np.transpose(moves) @ np.array(moves)
    assert ratings.covariances[0] == pytest.approx(expected, rel=0.02)


def test_coverage_over_workers_and_prompts() -> None:
    """Where workers and prompts both lean, only the two-way interval covers what the population would say."""
    planted, leaning = 0.6, np.random.default_rng(0).normal(0, np.sqrt(2 * 0.3**2 + 2 * 1.0**2), 200_000)
    truth = float(logit(expit(planted + leaning).mean()))
    runs = 200
    covered = {"two-way": 0, "workers": 0, "win rate": 0}
    for seed in range(runs):
        drawn = world(seed, [0.0, planted], 480, taste=0.3, topic=1.0, prompts=30)
        both, one = rate(*drawn, anchor="s0").interval("s1"), rate(*drawn[:3], anchor="s0").interval("s1")
        share = win_rate(*drawn, of="s1", against="s0")
        covered["two-way"] += both.low <= truth * ELO <= both.high
        covered["workers"] += one.low <= truth * ELO <= one.high
        covered["win rate"] += share.low <= expit(truth) <= share.high
    assert 0.91 <= covered["two-way"] / runs <= 0.99
    assert 0.91 <= covered["win rate"] / runs <= 0.99
    assert covered["workers"] / runs < 0.85


def test_the_two_way_interval_is_never_the_narrower() -> None:
    for seed in range(20):
        drawn = world(seed, [0.0, 0.4, 0.8], 300)
        both, one = rate(*drawn, anchor="s0").interval("s2"), rate(*drawn[:3], anchor="s0").interval("s2")
        assert both.high - both.low >= one.high - one.low - 1e-9


def test_many_clusters_are_left_out_in_blocks_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = world(8, [0.0, 0.4, 0.8], 300)
    whole = rate(*drawn, anchor="s0").covariances
    monkeypatch.setattr("tutelage.statistics.ratings._BLOCK", 7)
    assert rate(*drawn, anchor="s0").covariances == pytest.approx(whole)


def test_win_rate_is_of_the_direct_comparisons() -> None:
    winners, losers = ["a", "a", "b", "c", "a"], ["b", "b", "a", "a", "c"]
    rate_ab = win_rate(winners, losers, [1, 2, 3, 4, 5], of="a", against="b")
    assert (rate_ab.value, rate_ab.comparisons) == (pytest.approx(2 / 3), 3)
    mirrored = win_rate(winners, losers, [1, 2, 3, 4, 5], of="b", against="a")
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((rate_ab.low, rate_ab.high))


def test_a_win_rate_without_comparisons_is_refused() -> None:
    with pytest.raises(RatingsRefused, match="a and c were never compared"):
        win_rate(["a"], ["b"], [1], of="a", against="c")
    with pytest.raises(RatingsRefused, match=r"a against b: .* at least two"):
        win_rate(["a", "b"], ["b", "a"], [1, 1], of="a", against="b")

"""The scorecard: every pair in its part, what is not known left out, and odd sets without an error."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from tutelage.corpus.sources import read_comparisons
from tutelage.dialogue import Comparison, Prompt, Response
from tutelage.evaluation.preference import quality
from tutelage.evaluation.scorecard import (
    LENGTH_EDGES,
    ScoredPairs,
    Slice,
    agreement,
    by_file,
    range_names,
    scorecard,
    scored_pairs,
)


def comparison(number: int, turns: int = 1, strength: int | None = None, worker: str | None = None) -> Comparison:
    texts = [f"prompt {number}"] + ["go on"] * (2 * turns - 2)
    kind = "helpful" if number % 2 else "harmless"
    return Comparison(Prompt.from_turns(*texts), Response("yes"), Response("no"), kind, strength, worker)


def scored(comparisons: Iterable[Comparison], seed: int = 0) -> ScoredPairs:
    items = list(comparisons)
    rng = np.random.default_rng(seed)
    scores, lengths = rng.normal(0, 1, (len(items), 2)), rng.integers(1, 150, (len(items), 2))
    return scored_pairs(items, scores, lengths, ["one.jsonl", "two.jsonl"] * (len(items) // 2) + ["two.jsonl"])


@pytest.fixture
def mixed() -> ScoredPairs:
    """Turns 1 to 9; strengths 1 to 4 or unknown; workers ann (90), bob (60), and ten of one pair or none."""
    workers = ["ann"] * 90 + ["bob"] * 60 + [f"w{number}" for number in range(10)] + [None] * 21
    return scored(
        comparison(number // 2, 1 + number % 9, (None, 1, 2, 3, 4)[number % 5], worker)
        for number, worker in enumerate(workers)
    )


def pairs(slices: list[Slice]) -> dict[str, int]:
    return {part.label: part.pairs for part in slices}


def test_every_pair_is_in_its_part(mixed: ScoredPairs) -> None:
    card = scorecard(mixed)
    turns = Counter((len(c.prompt.messages) + 1) // 2 for c in mixed.comparisons)
    late = turns[7] + turns[8] + turns[9]
    assert pairs(card.by_turn) == {str(turn): turns[turn] for turn in range(1, 7)} | {"7+": late}
    assert pairs(card.by_strength) == {str(s): sum(c.strength == s for c in mixed.comparisons) for s in (1, 2, 3, 4)}
    assert sum(pairs(card.by_kind).values()) == card.pairs == 181
    longer = mixed.lengths_P2[:, 0] - mixed.lengths_P2[:, 1]
    assert pairs(card.by_length_difference)["-5 to 5"] == int((np.abs(longer) <= 5).sum())
    assert pairs(card.by_length_difference)["below -80"] == int((longer < -80).sum())
    assert pairs(card.by_length_difference)["81 and more"] == int((longer > 80).sum())
    assert sum(pairs(card.by_length_difference).values()) == 181
    assert sum(part.pairs for part in card.reliability) == 181


def test_the_parts_are_right_as_often_as_their_pairs(mixed: ScoredPairs) -> None:
    card = scorecard(mixed)
    for slices in (card.by_turn, card.by_kind, card.by_length_difference):
        total = sum(part.accuracy.value * part.pairs for part in slices)
        assert total / card.pairs == pytest.approx(card.accuracy.value)


def test_its_first_figures_are_those_of_training(mixed: ScoredPairs) -> None:
    worth = quality(mixed.comparisons, mixed.scores_P2)
    assert worth is not None
    assert asdict(worth).items() <= asdict(scorecard(mixed)).items()


def test_workers_with_few_pairs_are_taken_together(mixed: ScoredPairs) -> None:
    card = scorecard(mixed)
    assert pairs(card.by_worker) == {"ann": 90, "bob": 60}
    assert card.pooled_workers is not None
    assert (card.pooled_workers.workers, card.pooled_workers.pairs) == (10, 10)
    expected = np.mean(np.diff(mixed.scores_P2[:90])[:, 0] < 0)
    assert card.by_worker[0].accuracy.value == pytest.approx(expected)


def test_what_nobody_said_is_left_out() -> None:
    card = scorecard(scored(comparison(number) for number in range(41)))
    assert (card.by_strength, card.by_worker, card.pooled_workers) == ([], [], None)
    assert pairs(card.by_turn) == {"1": 41}


def test_one_prompt_tells_nothing_of_others() -> None:
    card = scorecard(scored(comparison(1, worker="ann") for _ in range(25)))
    for part in (*card.by_turn, *card.by_worker, *card.above_threshold, *card.reliability):
        assert (part.accuracy.low, part.accuracy.high) == (0.0, 1.0)
    assert card.length.within_pairs is not None
    assert (card.length.within_pairs.low, card.length.within_pairs.high) == (-1.0, 1.0)


def test_constant_scores_are_a_coin() -> None:
    items = [comparison(number) for number in range(41)]
    card = scorecard(ScoredPairs(items, np.full((41, 2), 0.1), np.full((41, 2), 9), ["f"] * 41))
    assert (card.accuracy.value, card.brier, card.ece) == (0.5, 0.25, 0)
    assert card.log_loss == pytest.approx(np.log(2))
    assert card.length.correlation is None
    assert [part.pairs for part in card.above_threshold] == [41]


def test_a_single_pair_has_a_card() -> None:
    card = scorecard(ScoredPairs([comparison(1)], np.array([[1.0, 0.0]]), np.array([[3, 9]]), ["f"]))
    assert (card.pairs, card.accuracy.value, card.length.matched_accuracy) == (1, 1.0, None)


def test_dropped_pairs_do_not_count_and_files_keep_their_order() -> None:
    items = [comparison(number) for number in range(4)]
    scores = np.array([[1.0, 0], [np.nan, np.nan], [0, 1], [1, 0]])
    kept = scored_pairs(items, scores, np.arange(8).reshape(4, 2), ["b", "c", "b", "a"])
    assert kept.comparisons == [items[0], items[2], items[3]]
    assert kept.lengths_P2.tolist() == [[0, 1], [4, 5], [6, 7]]
    parts = by_file(kept)
    assert list(parts) == ["b", "a"]
    assert parts["b"].comparisons == [items[0], items[2]]
    assert parts["a"].scores_P2.tolist() == [[1, 0]]


def test_agreement_is_on_the_pairs_that_both_have_scored() -> None:
    items = [comparison(number) for number in range(4)]
    own = np.array([[1.0, 0], [np.nan, np.nan], [0, 1], [1, 0]])
    other = np.array([[0.0, 1], [1, 0], [np.nan, np.nan], [1, 0]])
    found = agreement(items, own, other)
    assert found is not None
    assert (found.pairs, found.agreement.value) == (2, 0.5)
    assert agreement(items[1:3], own[1:3], other[1:3]) is None


def test_ranges_say_what_they_hold() -> None:
    assert range_names((-5, 6)) == ["below -5", "-5 to 5", "6 and more"]
    names = range_names(LENGTH_EDGES)
    for value in range(-200, 200):
        low, _, high = names[np.digitize(value, LENGTH_EDGES)].partition(" to ")
        assert not high or int(low) <= value <= int(high)


def test_a_judge_of_length_alone_on_real_comparisons(data: Path) -> None:
    """Words stand for tokens. The released harmless test file has about 29% single-turn dialogues."""
    file = data / "hh-rlhf-harmless-test" / "pairs.jsonl.gz"
    items = [item for item in read_comparisons([file], kind="harmless") if isinstance(item, Comparison)]
    lengths = np.array([[len(text.split()) for text in (c.chosen.text, c.rejected.text)] for c in items])
    card = scorecard(ScoredPairs(items, lengths / 10, lengths, [str(file)] * len(items)))
    assert 0.25 < pairs(card.by_turn)["1"] / card.pairs < 0.35
    assert [part.label for part in card.by_kind] == ["harmless"]
    assert card.length.matched_accuracy is not None
    assert card.length.longer_preferred is not None
    assert card.length.longer_chosen is not None
    assert card.length.matched_accuracy.value == pytest.approx(0.5)
    assert card.length.longer_preferred.value == 1
    ties = float((lengths[:, 0] == lengths[:, 1]).mean())
    assert card.accuracy.value == pytest.approx(card.length.longer_chosen.value * (1 - ties) + ties / 2)
    assert card.by_length_difference[0].accuracy.value == 0
    assert card.by_length_difference[-1].accuracy.value == 1

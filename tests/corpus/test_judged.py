"""Judged pairs: whose vote counts, ties and contradictions counted, and the real sets."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tutelage.corpus.judged import read_finegrained, read_llmbar, read_pandalm, verdict_of
from tutelage.corpus.rules import DropCounts, DropReason
from tutelage.corpus.sources import read_comparisons
from tutelage.dialogue import Comparison
from tutelage.plumbing.errors import InputError

TIE, DISAGREEMENT = DropReason.TIE, DropReason.DISAGREEMENT


def pandalm(*votes: int, input: str = "") -> dict[str, Any]:
    votes_of = {f"annotator{number}": vote for number, vote in enumerate(votes, start=1)}
    return {
        "idx": 5,
        "cmp_key": "m_n",
        "instruction": "Sum up.",
        "input": input,
        "response1": "a",
        "response2": "b",
    } | votes_of


def finegrained(*verdicts: int) -> dict[str, Any]:
    predictions = {f"prediction {number}": f"answer {number}" for number in (1, 2, 3, 4)}
    return {"question": "where?", "preference": list(verdicts), "passages": []} | predictions


@pytest.mark.parametrize(
    ("votes", "verdict"),
    [
        ([1, 1, 1], 1), ([2, 2, 2], 2), ([0, 1, 1], 1), ([2, 0, 2], 2),
        ([0, 0, 0], TIE), ([0, 0, 1], TIE), ([0, 2, 0], TIE),
        ([1, 1, 2], DISAGREEMENT), ([2, 1, 2], DISAGREEMENT), ([0, 1, 2], DISAGREEMENT),
    ],
)  # fmt: skip
def test_whose_votes_make_a_label(votes: list[int], verdict: int | DropReason) -> None:
    assert verdict_of(votes) == verdict


def test_pandalm() -> None:
    (comparison,) = read_pandalm(pandalm(2, 2, 0, input="A text."), "here")
    assert isinstance(comparison, Comparison)
    assert comparison.prompt.first_human_turn == "Sum up.\n\nA text."
    assert (comparison.chosen.text, comparison.rejected.text, comparison.kind) == ("b", "a", "helpful")
    assert comparison.provenance == {"source": "pandalm", "row": 5, "models": "m_n", "votes": [2, 2, 0]}
    (bare,) = read_pandalm(pandalm(1, 1, 1), "here")
    assert isinstance(bare, Comparison)
    assert bare.prompt.first_human_turn == "Sum up."
    assert list(read_pandalm(pandalm(1, 2, 2), "here")) == [DISAGREEMENT]
    assert list(read_pandalm(pandalm(1, 1, 1) | {"response2": True}, "here")) == [DropReason.NOT_TEXT]
    with pytest.raises(InputError, match="the field 'response2' is missing"):
        list(read_pandalm({name: value for name, value in pandalm(1, 1, 1).items() if name != "response2"}, "here"))


def test_llmbar() -> None:
    record = {"subset": "Natural", "index": 4, "input": "hi", "output_1": "a", "output_2": "b", "label": 2}
    (comparison,) = read_llmbar(record, "here")
    assert isinstance(comparison, Comparison)
    assert (comparison.chosen.text, comparison.rejected.text) == ("b", "a")
    assert comparison.provenance == {"source": "llmbar", "subset": "Natural", "row": 4}
    with pytest.raises(InputError, match="field 'label': expected one of 1, 2, found 0"):
        list(read_llmbar(record | {"label": 0}, "here"))


def test_finegrained_verdicts_are_in_the_order_of_pairs() -> None:
    found = list(read_finegrained(finegrained(1, 2, 0, 1, 2, 2), "here"))
    shown = [(i.chosen.text[-1], i.rejected.text[-1]) if isinstance(i, Comparison) else i for i in found]
    assert shown == [("1", "2"), ("3", "1"), TIE, ("2", "3"), ("4", "2"), ("4", "3")]


@pytest.mark.parametrize("verdicts", [(1, 2, 0), (1, 1, 1, 1, 1, 3)])
def test_other_verdicts_are_refused(verdicts: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="here, field 'preference': expected six numbers"):
        list(read_finegrained(finegrained(*verdicts), "here"))


@pytest.mark.parametrize(
    ("file", "pairs", "drops"),
    [
        ("pandalm-human/testset-v1.jsonl.gz", 819, {TIE: 105, DISAGREEMENT: 69, DropReason.NOT_TEXT: 6}),
        ("finegrained-rlhf-qa-dev/dev_feedback.jsonl.gz", 1785, {TIE: 291}),
        ("llmbar/llmbar.jsonl.gz", 192, {}),
        ("llmbar/mt_bench_human.jsonl.gz", 200, {}),
    ],
)
def test_the_real_sets(data: Path, file: str, pairs: int, drops: dict[DropReason, int]) -> None:
    counts = DropCounts()
    assert all(comparison.kind == "helpful" for comparison in counts.sift(read_comparisons([data / file])))
    unusable = {DropReason.EMPTY_ANSWER, DropReason.EQUAL_ANSWERS}
    assert counts.usable + sum(counts.dropped[reason] for reason in unusable) == pairs
    assert {reason: count for reason, count in counts.dropped.items() if reason not in unusable} == Counter(drops)

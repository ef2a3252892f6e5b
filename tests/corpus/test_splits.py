"""Splits depend on the prompt alone."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.corpus.sources import read_comparisons
from tutelage.corpus.splits import Overlap, bucket, normalised, overlap, split_by_prompt
from tutelage.dialogue import Comparison, Prompt, Response


def comparison(first: str, *later: str) -> Comparison:
    return Comparison(Prompt.from_turns(first, *later), Response("a"), Response("b"), "helpful")


def test_the_bucket_never_changes() -> None:
    assert bucket(Prompt.from_turns("Why is the sky blue?"), "held-out") == 0.6647127080583539


@pytest.mark.parametrize("same", ["why is the sky blue", "  WHY is the sky -- blue?!\n", "Why,is the sky blue."])
def test_prompts_alike_but_for_case_and_marks_share_a_bucket(same: str) -> None:
    assert bucket(Prompt.from_turns(same), "s") == bucket(Prompt.from_turns("Why is the sky blue?"), "s")


def test_later_turns_do_not_matter_and_the_salt_does() -> None:
    assert bucket(Prompt.from_turns("hi", "hello", "why?"), "s") == bucket(Prompt.from_turns("hi"), "s")
    assert bucket(Prompt.from_turns("hi"), "s") != bucket(Prompt.from_turns("hi"), "t")


def test_prompts_without_a_letter_are_told_apart() -> None:
    assert normalised("???") != normalised("🙂")
    assert normalised("Ünïcode 2!") == "ünïcode2"


def test_the_part_kept_apart_has_about_its_share_and_no_common_prompt() -> None:
    items = [comparison(f"question {number // 2}", "a", str(number)) for number in range(4000)]
    rest, apart = split_by_prompt(items, 0.1, "salt")
    assert len(rest) + len(apart) == 4000
    assert 150 < len(apart) / 2 < 250
    assert not {c.prompt.first_human_turn for c in rest} & {c.prompt.first_human_turn for c in apart}


def test_a_larger_share_keeps_what_a_smaller_one_held() -> None:
    items = [comparison(f"question {number}") for number in range(200)]
    small, large = split_by_prompt(items, 0.2, "s")[1], split_by_prompt(items, 0.5, "s")[1]
    assert set(map(id, small)) < set(map(id, large))
    assert split_by_prompt(items, 0, "s")[1] == []
    assert split_by_prompt(items, 1, "s")[0] == []


@given(st.text(min_size=1).filter(lambda text: bool(text.strip())), st.text())
def test_buckets_lie_in_the_unit_interval(text: str, salt: str) -> None:
    assert 0 <= bucket(Prompt.from_turns(text), salt) < 1


def test_a_share_outside_the_unit_interval_is_refused() -> None:
    with pytest.raises(ValueError, match=r"fraction must lie in \[0, 1\], not 1.5"):
        split_by_prompt([comparison("hi")], 1.5, "s")


def test_overlap_counts_prompts_and_items_of_both_sides() -> None:
    train = [comparison("Why?", "a", "b"), comparison("why"), comparison("How?"), comparison("Who?")]
    test = [comparison("WHY", "c", "d"), comparison("how?"), comparison("how?"), comparison("When?")]
    assert overlap(train, test) == Overlap(prompts=2, train=3, test=3, examples=("WHY", "how?"))
    assert overlap(train, test, examples=1).examples == ("WHY",)
    assert overlap(train, test[3:]) == Overlap(0, 0, 0, ())


def test_a_split_by_prompt_has_no_overlap() -> None:
    items = [comparison(f"question {number // 3}") for number in range(600)]
    assert overlap(*split_by_prompt(items, 0.3, "s")).prompts == 0


def test_overlap_of_the_released_harmless_sets(data: Path) -> None:
    train, test = (
        [item for item in read_comparisons([data / name / "pairs.jsonl.gz"]) if isinstance(item, Comparison)]
        for name in ("hh-rlhf-harmless-train-lastturn", "hh-rlhf-harmless-test")
    )
    common = overlap(train, test)
    assert common.prompts == 496  # five more stand in rows that are dropped
    assert (common.train, common.test) == (580, 531)

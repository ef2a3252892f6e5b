"""The audit, counted by hand on a small file and run on real ones."""

import json
from pathlib import Path

import pytest

from tutelage.corpus.audit import Lengths, stats
from tutelage.corpus.records import comparison_to_record
from tutelage.corpus.sources import read_comparisons
from tutelage.dialogue import Comparison, Prompt, Response


def hh(prompt: str, chosen: str, rejected: str) -> dict[str, str]:
    return {
        "chosen": f"\n\nHuman: {prompt}\n\nAssistant: {chosen}",
        "rejected": f"\n\nHuman: {prompt}\n\nAssistant: {rejected}",
    }


def test_a_small_file_counted_by_hand(tmp_path: Path) -> None:
    rows = [
        hh("one two", "aaaa", "bb"),  # the longer answer won
        hh("one two", "aaaa", "bb"),  # the same again
        hh("one two", "a", "b b"),  # the shorter won
        hh("three\n\nAssistant: x\n\nHuman: four", "aa", "bb"),  # equally long
        hh("five", "", "b"),  # dropped
    ]
    path = tmp_path / "f.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    audit = stats(read_comparisons([path]))
    assert (audit.rows, audit.usable, audit.dropped) == (5, 4, {"empty_answer": 1})
    assert audit.turns == {2: 3, 4: 1}
    assert audit.characters["prompt"] == Lengths(median=7.0, mean=(3 * 7 + 10) / 4, p95=pytest.approx(9.55))
    assert audit.words["prompt"] == Lengths(median=2.0, mean=(3 * 2 + 3) / 4, p95=pytest.approx(2.85))
    assert audit.words["rejected"].mean == 5 / 4
    assert audit.length_bias is not None
    assert (audit.length_bias.comparisons, audit.length_bias.ties) == (3, 1)
    assert audit.length_bias.longer_won.value == pytest.approx(2 / 3)
    assert (audit.duplicates, audit.prompts, audit.prompts_with_several_comparisons) == (1, 2, 1)


def test_files_are_taken_together_and_formats_mixed(tmp_path: Path) -> None:
    ours = comparison_to_record(Comparison(Prompt.from_turns("q"), Response("a"), Response("bb"), "helpful"))
    (tmp_path / "a.jsonl").write_text(json.dumps(ours))
    (tmp_path / "b.jsonl").write_text(json.dumps(hh("q", "a", "bb")))
    audit = stats(read_comparisons([tmp_path / "a.jsonl", tmp_path / "b.jsonl"]))
    assert (audit.usable, audit.duplicates, audit.prompts) == (2, 1, 1)


def test_a_file_without_a_usable_row_has_no_lengths(tmp_path: Path) -> None:
    (tmp_path / "f.jsonl").write_text(json.dumps(hh("q", "", "")))
    audit = stats(read_comparisons([tmp_path / "f.jsonl"]))
    assert (audit.usable, audit.characters, audit.length_bias) == (0, {}, None)


def test_in_the_released_helpful_data_longer_answers_win_more_often(data: Path) -> None:
    audit = stats(read_comparisons([data / "hh-rlhf-helpful-test" / "pairs.jsonl.gz"]))
    assert audit.rows == audit.usable + sum(audit.dropped.values()) == 1536
    assert audit.length_bias is not None
    assert audit.length_bias.longer_won.low > 0.5

"""`tutelage rate`: a table of ratings, or a refusal that says which snapshots."""

import json
from pathlib import Path
from typing import Any

import pytest

from tutelage.cli.rate import Rate
from tutelage.corpus.records import comparison_to_record, judgment_to_record
from tutelage.dialogue import Judgment, Prompt, Response, comparison_from_judgment
from tutelage.plumbing.errors import CheckFailed, InputError


def judgment(number: int, winner: str, loser: str, question: str = "more_helpful") -> Judgment:
    return Judgment(
        prompt=Prompt.from_turns(f"question {number % 5}"),
        a=Response(f"yes {number}", snapshot=winner),
        b=Response(f"no {number}", snapshot=loser),
        question=question,
        side="a",
        strength=2,
        worker=f"w{number % 4}",
    )


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def judgments() -> list[Judgment]:
    """`new` was picked as the more helpful in 30 of 40, and as the more harmful in 8 of 40."""
    helpful = [judgment(i, *(("new", "old") if i % 4 else ("old", "new"))) for i in range(40)]
    harmful = [judgment(i, *(("old", "new") if i % 5 else ("new", "old")), "more_harmful") for i in range(40)]
    return helpful + harmful


def test_judgments_are_rated_and_red_team_clicks_inverted(tmp_path: Path, judgments: list[Judgment]) -> None:
    path = write(tmp_path / "j.jsonl", [judgment_to_record(one) for one in judgments])
    helpful, harmless = Rate((path,), "old", "helpful").run(), Rate((path,), "old", "harmless").run()
    assert helpful["ratings"][0]["elo"] == pytest.approx(190.85, abs=0.01)  # 400 log10(30 / 10)
    assert harmless["ratings"][0]["elo"] == pytest.approx(240.82, abs=0.01)  # 400 log10(32 / 8)
    both = json.loads(json.dumps(Rate((path,)).run()))
    assert (both["comparisons"], both["workers"], both["prompts"]) == (80, 4, 5)
    assert [row["snapshot"] for row in both["ratings"]] == ["new", "old"]
    assert {"snapshot": "old", "other": "new"}.items() <= both["differences"][0].items()


def test_comparisons_rate_like_their_judgments(tmp_path: Path, judgments: list[Judgment]) -> None:
    clicks = write(tmp_path / "j.jsonl", [judgment_to_record(one) for one in judgments])
    pairs = write(tmp_path / "c.jsonl", [comparison_to_record(comparison_from_judgment(one)) for one in judgments])
    assert Rate((pairs,)).run() == Rate((clicks,)).run()


def test_files_are_taken_together_and_win_rates_are_of_direct_comparisons(
    tmp_path: Path, judgments: list[Judgment]
) -> None:
    parts = tuple(
        write(tmp_path / f"{start}.jsonl", [judgment_to_record(one) for one in judgments[start::2]]) for start in (0, 1)
    )
    whole = write(tmp_path / "j.jsonl", [judgment_to_record(one) for one in judgments])
    for one, other in zip(Rate(parts).run()["ratings"], Rate((whole,)).run()["ratings"], strict=True):
        assert one == pytest.approx(other)
    (rate,) = Rate(parts, kind="helpful").run()["win_rates"]
    assert (rate["of"], rate["against"], rate["value"], rate["comparisons"]) == ("new", "old", 0.75, 40)


def test_an_anchor_that_was_never_compared_is_bad_input(tmp_path: Path, judgments: list[Judgment]) -> None:
    path = write(tmp_path / "j.jsonl", [judgment_to_record(one) for one in judgments])
    with pytest.raises(InputError, match="--anchor nwe: no such snapshot; compared were new, old"):
        Rate((path,), anchor="nwe").run()


def test_the_table_says_what_was_dropped(
    tmp_path: Path, judgments: list[Judgment], capsys: pytest.CaptureFixture[str]
) -> None:
    equal = judgment_to_record(judgments[0])
    equal["b"]["text"] = equal["a"]["text"]
    itself = judgment_to_record(judgment(1, "new", "new"))
    path = write(tmp_path / "j.jsonl", [*(judgment_to_record(one) for one in judgments), equal, itself])
    command = Rate((path,), anchor="old")
    command.show(command.run())
    text = " ".join(capsys.readouterr().out.split())
    assert "80 comparisons by 4 workers on 5 prompts; 0 is old" in text
    assert "dropped: 1 of a snapshot with itself, 1 of equal or empty answers" in text


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("a", "b")], r"j\.jsonl: the snapshots are separated: \{a\} won every"),
        ([("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")], r"unconnected: \{a, b\} and \{c, d\}"),
        ([], "no comparison of two different snapshots"),
    ],
)
def test_what_cannot_be_rated_is_a_failed_check(tmp_path: Path, pairs: list[tuple[str, str]], message: str) -> None:
    records = [judgment_to_record(judgment(i, *pair)) for i, pair in enumerate(pairs * 4)]
    with pytest.raises(CheckFailed, match=message):
        Rate((write(tmp_path / "j.jsonl", records),)).run()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"worker": None}, "line 1: no worker is named"),
        ({"chosen": {"text": "yes", "finish": "stop"}}, "line 1: the chosen response names no snapshot"),
        ({"record": "dropped"}, "line 1, field 'record': expected 'judgment' or 'comparison'"),
    ],
)
def test_what_names_no_snapshot_or_worker_is_bad_input(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    record = comparison_to_record(comparison_from_judgment(judgment(1, "a", "b"))) | change
    with pytest.raises(InputError, match=message):
        Rate((write(tmp_path / "c.jsonl", [record]),)).run()

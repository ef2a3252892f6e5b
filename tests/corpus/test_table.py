"""Tables: the three forms of columns, the mapping that names them, and labels that never change."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tutelage.corpus.rules import Drop, DropReason
from tutelage.corpus.sources import read_comparisons
from tutelage.corpus.table import (
    ONE_CLASS_ROWS,
    ChosenColumns,
    Columns,
    LabelledColumns,
    RatedColumns,
    columns_from,
    columns_from_words,
    read_table,
)
from tutelage.dialogue import Comparison, Prompt, Response
from tutelage.plumbing.errors import InputError

SHP = LabelledColumns("history", "human_ref_A", "human_ref_B", "labels", ratio="score_ratio", min_ratio=2.0)
RATED = RatedColumns("instruction", "completions", "response", "overall_score")
BEST = ChosenColumns("chosen", "rejected", "prompt", "score_chosen", "score_rejected")
EXPECTED = Comparison(Prompt.from_turns("why?"), Response("good"), Response("bad"), "helpful")


def shp(label: int = 1, ratio: float = 3.0) -> dict[str, Any]:
    answers = {"human_ref_A": "good", "human_ref_B": "bad"} if label else {"human_ref_A": "bad", "human_ref_B": "good"}
    return {"post_id": "x", "history": "why?", "labels": label, "score_ratio": ratio} | answers


def talk(*turns: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(turns)]


def best(chosen: float = 9.0, rejected: float = 4.0) -> dict[str, Any]:
    dialogues = {"chosen": talk("why?", "good"), "rejected": talk("why?", "bad")}
    return {"prompt": "why?", "score_chosen": chosen, "score_rejected": rejected} | dialogues


def found(record: dict[str, Any], columns: Columns) -> list[Comparison | DropReason]:
    return list(read_table(record, columns, "helpful", "here"))


@pytest.mark.parametrize(
    ("record", "columns", "expected"),
    [
        (shp(1), SHP, EXPECTED),
        (shp(0), SHP, EXPECTED),
        (shp(1, ratio=1.5), SHP, DropReason.SMALL_GAP),
        (best(), BEST, EXPECTED),
        (best(5, 5), BEST, DropReason.EQUAL_SCORES),
        (best(4, 5), BEST, DropReason.LOWER_SCORE),
        (best(), ChosenColumns("chosen", "rejected"), EXPECTED),
        ({"q": "why?", "yes": "good", "no": "bad"}, ChosenColumns("yes", "no", "q"), EXPECTED),
        ({"q": talk("why?"), "yes": talk("", "good")[1:], "no": "bad"}, ChosenColumns("yes", "no", "q"), EXPECTED),
    ],
)
def test_a_row_becomes_a_comparison_or_says_why_not(
    record: dict[str, Any], columns: Columns, expected: Comparison | DropReason
) -> None:
    assert found(record, columns) == [expected]


def test_other_labels_can_be_named() -> None:
    columns = LabelledColumns("q", "a", "b", "winner", first_wins="model_a", second_wins="model_b", tie="tie")
    row = {"q": "why?", "a": "bad", "b": "good"}
    assert found(row | {"winner": "model_b"}, columns) == [EXPECTED]
    assert found(row | {"winner": "tie"}, columns) == [DropReason.TIE]
    with pytest.raises(InputError, match="here, field 'winner': expected one of model_a, model_b, tie, found both"):
        found(row | {"winner": "both"}, columns)


def test_rated_answers_are_compared_by_rating() -> None:
    answers = [("ok", 3.0), ("good", 5.0), ("bad", 3), ("unrated", None)]
    record = {"instruction": "why?", "completions": [{"response": text, "overall_score": r} for text, r in answers]}
    unrated, first, second, equal = found(record, RATED)
    assert unrated is DropReason.UNRANKED
    assert equal is DropReason.EQUAL_SCORES
    assert isinstance(first, Comparison)
    assert isinstance(second, Comparison)
    assert [(pair.chosen.text, pair.rejected.text) for pair in (first, second)] == [("good", "ok"), ("good", "bad")]
    assert first.provenance["chosen"] == {"item": 2, "overall_score": 5.0}


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        ({"chosen": "c", "rejected": "r"}, ChosenColumns("c", "r")),
        ({"chosen": "c", "rejected": "r", "prompt": "p"}, ChosenColumns("c", "r", "p")),
        ({"prompt": "p", "answers": "a", "text": "t", "rating": "r"}, RatedColumns("p", "a", "t", "r")),
        (
            {"prompt": "history", "first": "human_ref_A", "second": "human_ref_B", "label": "labels",
             "ratio": "score_ratio", "min_ratio": 2},
            SHP,
        ),
    ],
)  # fmt: skip
def test_the_mapping_of_a_recipe(names: dict[str, Any], columns: Columns) -> None:
    assert columns_from(names, "recipe") == columns
    assert columns_from_words([f"{name}={column}" for name, column in names.items()]) == columns


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prompt"], "--columns prompt: expected name=column"),
        (["prompt=q"], "expected chosen and rejected, or label, or answers to be named; found prompt"),
        (["chosen=c"], "the field 'rejected' is missing"),
        (["chosen=c", "rejected=r", "colour=red"], "unknown field 'colour'"),
        (["chosen=c", "rejected=r", "chosen_score=s"], "named together or not at all"),
        (["prompt=q", "first=a", "second=b", "label=l", "min_ratio=x"], "--columns min_ratio"),
    ],
)
def test_a_bad_mapping_is_named(words: list[str], message: str) -> None:
    with pytest.raises(InputError) as refusal:
        columns_from_words(words)
    assert message in str(refusal.value)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InputError, match="here: the field 'q' is missing"):
        found({"yes": "good", "no": "bad"}, ChosenColumns("yes", "no", "q"))


@pytest.mark.parametrize("score", [math.nan, math.inf, 10**400, True, "8"])
def test_a_score_that_is_no_number_is_refused(score: object) -> None:
    columns = ChosenColumns("yes", "no", "q", "better", "worse")
    with pytest.raises(InputError, match="field 'better': expected a finite number"):
        found({"q": "hi", "yes": "good", "no": "bad", "better": score, "worse": 1}, columns)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file_is_read_by_its_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "f.jsonl", [shp(1), shp(0), shp(1, ratio=1)])
    assert list(read_comparisons([path], columns=SHP)) == [
        EXPECTED, EXPECTED, Drop(DropReason.SMALL_GAP, f"{path}, line 3"),
    ]  # fmt: skip
    (harmless, *_) = read_comparisons([path], "table", "harmless", SHP)
    assert isinstance(harmless, Comparison)
    assert harmless.kind == "harmless"


@pytest.mark.parametrize(("format", "columns"), [("table", None), ("hh", SHP), ("oasst", BEST)])
def test_columns_and_the_format_go_together(tmp_path: Path, format: Any, columns: Columns | None) -> None:
    path = write(tmp_path / "f.jsonl", [shp()])
    with pytest.raises(InputError, match=r"the format 'table' and its columns \(--columns\) go together"):
        list(read_comparisons([path], format, columns=columns))


@pytest.mark.parametrize(("label", "cure"), [(1, "chosen=human_ref_A rejected=human_ref_B"), (0, "chosen=human_ref_B")])
def test_a_label_that_never_changes_is_refused_with_its_cure(tmp_path: Path, label: int, cure: str) -> None:
    path = write(tmp_path / "f.jsonl", [shp(label)] * ONE_CLASS_ROWS)
    with pytest.raises(InputError, match=f"'labels' is '{label}' on all {ONE_CLASS_ROWS} labelled rows.*{cure}"):
        list(read_comparisons([path], columns=SHP))
    few = write(tmp_path / "few.jsonl", [shp(label)] * (ONE_CLASS_ROWS - 1))
    assert len(list(read_comparisons([few], columns=SHP))) == ONE_CLASS_ROWS - 1
    both = write(tmp_path / "both.jsonl", [shp(label)] * ONE_CLASS_ROWS + [shp(1 - label)])
    assert len(list(read_comparisons([both], columns=SHP))) == ONE_CLASS_ROWS + 1

"""The one reader: formats by their keys, drops counted by reason, bad files named with line and cure."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from tutelage.corpus.formats import detect
from tutelage.corpus.records import comparison_to_record
from tutelage.corpus.rules import Drop, DropCounts, DropReason
from tutelage.corpus.sources import read_comparisons
from tutelage.dialogue import Comparison, Prompt, Response
from tutelage.plumbing.errors import InputError

HH = {"chosen": "\n\nHuman: hi\n\nAssistant: so", "rejected": "\n\nHuman: hi\n\nAssistant: no"}
ZIPPED = gzip.compress(json.dumps(HH).encode() + b"\n", mtime=0)  # two processes collect the tests under one name
TRL = {
    "prompt": [{"role": "user", "content": "hi"}],
    "chosen": [{"role": "assistant", "content": "so"}],
    "rejected": [{"role": "assistant", "content": "no"}],
}
EXPECTED = Comparison(Prompt.from_turns("hi"), Response("so"), Response("no"), "harmless")
OURS = comparison_to_record(EXPECTED)


def write(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize("record", [HH, TRL, OURS, {"prompt": "hi", "chosen": "so", "rejected": "no"}])
def test_each_format_is_told_by_its_keys(tmp_path: Path, record: object) -> None:
    assert list(read_comparisons([write(tmp_path / "f.jsonl", record)], kind="harmless")) == [EXPECTED]


def test_files_of_different_formats_are_read_one_after_the_other(tmp_path: Path) -> None:
    paths = [write(tmp_path / "a.jsonl", HH), write(tmp_path / "b.jsonl", TRL)]
    assert list(read_comparisons(paths, kind="harmless")) == [EXPECTED, EXPECTED]


def test_drops_are_counted_by_reason_and_say_where(tmp_path: Path) -> None:
    system = {**TRL, "prompt": [{"role": "system", "content": "be good"}, *TRL["prompt"]]}
    late_system = {**TRL, "prompt": [*TRL["prompt"], {"role": "tool", "content": "42"}]}
    path = write(tmp_path / "f.jsonl", TRL, system, late_system, {**TRL, "chosen": TRL["rejected"]}, TRL)
    counts = DropCounts()
    assert len(list(counts.sift(read_comparisons([path])))) == counts.usable == 2
    assert counts.dropped == Counter(
        {DropReason.NOT_HUMAN_FIRST: 1, DropReason.OTHER_ROLE: 1, DropReason.EQUAL_ANSWERS: 1}
    )
    drops = [item for item in read_comparisons([path]) if not isinstance(item, Comparison)]
    assert drops[0].where == f"{path}, line 2"


@pytest.mark.parametrize(
    ("records", "format", "message"),
    [
        ([HH, TRL], "auto", "line 2: expected the format 'hh' of the first line, found 'trl'"),
        ([HH, {"chosen": "x"}], "auto", "line 2: expected a row of a known format"),
        ([{"chosen": "x"}], "hh", "line 1: the field 'rejected' is missing; expected a text"),
        ([{"record": "judgment"}], "auto", "line 1: expected a row of a known format"),
        ([{**TRL, "chosen": 3}], "auto", "line 1, field 'chosen': expected a text, found 3"),
        ([{**TRL, "chosen": ["so"]}], "auto", "line 1, field 'chosen', turn 1: expected an object, found 'so'"),
        ([{**TRL, "prompt": [{"role": "user"}]}], "auto", "field 'prompt', turn 1: the field 'content' is missing"),
        ([["chosen"]], "auto", "line 1: expected a JSON object"),
        ([], "auto", "expected comparisons, found no line"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, records: list[object], format: str, message: str) -> None:
    path = write(tmp_path / "f.jsonl", *records)
    with pytest.raises(InputError) as refusal:
        list(read_comparisons([path], format=format))
    assert str(path) in str(refusal.value)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("f.jsonl", json.dumps(HH).encode() + b'\n{"chosen": "x', "line 2: expected one whole JSON object"),
        ("f.jsonl", b'{"chosen": "\xff"}\n', "line 1: expected UTF-8, byte 12 is not"),
        ("f.jsonl.gz", json.dumps(HH).encode(), "expected a gzip file, as its name says"),
        (
            "f.jsonl",
            ZIPPED,
            "line 1: is gzip; give it a name that ends in .gz",
        ),
        (
            "f.jsonl",
            b"\xef\xbb\xbf" + json.dumps(HH).encode(),
            "line 1: begins with a byte-order mark; take it off: tail",
        ),
        ("f.jsonl", json.dumps([HH]).encode(), "found a JSON array; write its items one a line: jq"),
        ("f.jsonl", b"[\n" + json.dumps(HH).encode() + b"\n]", "found a JSON array; write its items one a line: jq"),
        (
            "f.jsonl.gz",
            ZIPPED[:-12],
            "the gzip stream is damaged after line 0",
        ),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as refusal:
        list(read_comparisons([path]))
    assert str(refusal.value).startswith(str(path))
    assert message in str(refusal.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.jsonl: cannot be read"):
        list(read_comparisons([tmp_path / "absent.jsonl"]))


@pytest.mark.parametrize(
    ("record", "format"),
    [
        ({"title": "q", "body_html": "", "answers": []}, "stackexchange"),
        ({"message_tree_id": "t", "tree_state": "x", "prompt": {}}, "oasst"),
        ({"instruction": "q", "input": "", "response1": "a", "response2": "b", "annotator1": 1}, "pandalm"),
        ({"question": "q", "prediction 1": "a", "preference": []}, "finegrained"),
        ({"input": "q", "output_1": "a", "output_2": "b", "label": 1}, "llmbar"),
        ({"chosen": [], "rejected": []}, "trl"),
        ({**TRL, "messages": [], "score_chosen": 3}, "trl"),
        ({**HH, "id": 3}, "hh"),
    ],
)
def test_a_row_of_the_public_sets_is_told_by_its_keys(record: dict[str, object], format: str) -> None:
    assert detect(record, "here") == format


def test_a_line_may_hold_several_comparisons_and_drops(tmp_path: Path) -> None:
    predictions = {f"prediction {number}": f"answer {number}" for number in (1, 2, 3, 4)}
    row = {"question": "where?", "preference": [1, 0, 1, 2, 0, 1], **predictions}
    path = write(tmp_path / "f.jsonl", row, row)
    items = list(read_comparisons([path], kind="harmless"))
    assert len(items) == 12
    drop = items[7]
    assert drop == Drop(DropReason.TIE, f"{path}, line 2")
    assert isinstance(items[0], Comparison)
    assert items[0].kind == "helpful"  # what was asked of these judges


def test_an_empty_file_is_refused_whatever_its_format(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected comparisons, found no line"):
        list(read_comparisons([write(tmp_path / "f.jsonl")], "hh"))


def test_line_separators_inside_texts_do_not_end_lines(tmp_path: Path) -> None:
    text = "a\u2028b\u2029c\x85d\r\ne\0f"
    path = tmp_path / "f.jsonl"
    path.write_bytes(json.dumps({**HH, "chosen": f"\n\nHuman: hi\n\nAssistant: {text}"}, ensure_ascii=False).encode())
    (comparison,) = read_comparisons([path])
    assert isinstance(comparison, Comparison)
    assert comparison.chosen.text == text

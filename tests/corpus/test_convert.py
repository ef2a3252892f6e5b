"""Conversion: nothing lost, nothing half-written, everything left out counted."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.corpus.convert import convert, express
from tutelage.corpus.hh import parse_hh, render_hh
from tutelage.corpus.records import comparison_to_record, json_line, row_from_record, row_to_record
from tutelage.corpus.rules import Drop, DropReason, Row, Source
from tutelage.dialogue import Comparison, Prompt, Response
from tutelage.plumbing.errors import InputError

from .strategies import NASTY

CLEAN = '{"chosen": "\\n\\nHuman: hi\\n\\nAssistant: so", "rejected": "\\n\\nHuman: hi\\n\\nAssistant: no"}'
ESCAPED = CLEAN.replace("hi", "h\\u0069 \\ud83d\\ude42").replace('": "', '":"')
SWAPPED = '{"rejected": "\\n\\nHuman: hi\\n\\nAssistant:no", "chosen": "\\n\\nHuman: hi\\n\\nAssistant: so", "id": 4}'
DIRTY = CLEAN.replace("so", "")
TRL = '{"prompt": "hi", "chosen": "so", "rejected": "no"}'


def lines(*rows: str) -> bytes:
    return "".join(f"{row}\n" for row in rows).encode()


@pytest.mark.parametrize("kind", ["harmless", "helpful"])
def test_real_files_come_back_byte_for_byte(data: Path, tmp_path: Path, kind: str) -> None:
    source = data / f"hh-rlhf-{kind}-test" / "pairs.jsonl.gz"
    there = convert(source, tmp_path / "ours.jsonl.gz", "hh", "tutelage", kind)
    back = convert(tmp_path / "ours.jsonl.gz", tmp_path / "hh.jsonl", "tutelage", "hh")
    assert (tmp_path / "hh.jsonl").read_bytes() == gzip.decompress(source.read_bytes())
    assert there == back
    assert there.rows_in == there.rows_out > 1500
    assert there.kept_dirty[DropReason.REPEATED_ROLE] > 0
    assert there.kept_dirty[DropReason.EMPTY_ANSWER] > 0


def test_odd_but_valid_rows_and_dirty_ones_come_back_byte_for_byte(tmp_path: Path) -> None:
    rows = (CLEAN, ESCAPED, SWAPPED, DIRTY, '{"chosen": "no marks", "rejected": ""}')
    (tmp_path / "in.jsonl").write_bytes(lines(*rows))
    convert(tmp_path / "in.jsonl", tmp_path / "ours.jsonl", "auto", "tutelage")
    counts = convert(tmp_path / "ours.jsonl", tmp_path / "out.jsonl", "auto", "hh")
    assert (tmp_path / "out.jsonl").read_bytes() == lines(*rows)
    assert counts.kept_dirty == Counter({DropReason.EMPTY_ANSWER: 1, DropReason.NOT_HUMAN_FIRST: 1})


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from([*NASTY, "\n\nHuman: a", "\n\nAssistant: b"]), max_size=6).map("".join),
    st.lists(st.sampled_from([*NASTY, "\n\nHuman: a", "\n\nAssistant: b"]), max_size=6).map("".join),
    st.booleans(),
)
def test_any_hh_line_survives_our_format(chosen: str, rejected: str, escaped: bool) -> None:
    record = {"chosen": "\n\nHuman: a\n\nAssistant: b" + chosen, "rejected": "\n\nHuman: a\n\nAssistant: b" + rejected}
    line = json.dumps(record) if escaped else json_line(record)
    content = parse_hh(record, "helpful", "here")
    row = Row(
        Drop(content, "here") if isinstance(content, DropReason) else content,
        Source("hh", line) if isinstance(content, DropReason) or render_hh(content) != line else None,
    )
    stored = json_line(row_to_record(row)).encode()
    assert b"\n" not in stored
    assert row_from_record(json.loads(stored), "here") == row
    assert express(row, "hh") == line


def test_trl_comes_back_byte_for_byte_and_leaves_dirty_rows_out(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(lines(TRL, TRL.replace("so", " ")))
    convert(tmp_path / "in.jsonl", tmp_path / "ours.jsonl", "auto", "tutelage")
    convert(tmp_path / "ours.jsonl", tmp_path / "trl.jsonl", "auto", "trl")
    assert (tmp_path / "trl.jsonl").read_bytes() == (tmp_path / "in.jsonl").read_bytes()
    counts = convert(tmp_path / "ours.jsonl", tmp_path / "hh.jsonl", "auto", "hh")
    assert (tmp_path / "hh.jsonl").read_bytes() == lines(CLEAN)
    assert (counts.rows_in, counts.rows_out, counts.refused) == (2, 1, Counter({DropReason.EMPTY_ANSWER: 1}))


def test_hh_to_trl_is_conversational(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(lines(CLEAN, DIRTY))
    counts = convert(tmp_path / "in.jsonl", tmp_path / "out.jsonl", "hh", "trl")
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {
        "prompt": [{"role": "user", "content": "hi"}],
        "chosen": [{"role": "assistant", "content": "so"}],
        "rejected": [{"role": "assistant", "content": "no"}],
    }
    assert counts.refused == Counter({DropReason.EMPTY_ANSWER: 1})


def test_turn_marks_in_a_text_are_refused_and_counted(tmp_path: Path) -> None:
    forged = Comparison(Prompt.from_turns("hi"), Response("so\n\nHuman: more"), Response("no"), "helpful")
    (tmp_path / "in.jsonl").write_bytes(lines(json_line(comparison_to_record(forged))))
    counts = convert(tmp_path / "in.jsonl", tmp_path / "out.jsonl", "auto", "hh")
    assert (counts.rows_in, counts.rows_out, counts.refused) == (1, 0, Counter({DropReason.TURN_MARKS: 1}))
    assert (tmp_path / "out.jsonl").read_bytes() == b""


def test_an_edited_comparison_is_written_as_edited(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(lines(SWAPPED))
    convert(tmp_path / "in.jsonl", tmp_path / "ours.jsonl", "hh", "tutelage")
    record = json.loads((tmp_path / "ours.jsonl").read_text())
    record["chosen"]["text"] = "edited"
    (tmp_path / "ours.jsonl").write_text(json.dumps(record) + "\n")
    convert(tmp_path / "ours.jsonl", tmp_path / "out.jsonl", "auto", "hh")
    assert json.loads((tmp_path / "out.jsonl").read_text())["chosen"] == "\n\nHuman: hi\n\nAssistant: edited"


def test_a_torn_source_leaves_the_old_destination_alone(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(lines(CLEAN) + CLEAN[:40].encode())
    (tmp_path / "out.jsonl").write_text("old")
    with pytest.raises(InputError, match=r"in\.jsonl, line 2: expected one whole JSON object"):
        convert(tmp_path / "in.jsonl", tmp_path / "out.jsonl", "hh", "tutelage")
    assert (tmp_path / "out.jsonl").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_borrowed_material_is_written_in_our_formats_and_its_drops_are_counted(tmp_path: Path) -> None:
    row = {"input": "hi", "output_1": "so", "output_2": "no", "label": 1}
    rows = [json_line(row), json_line(row | {"output_2": " "})]
    (tmp_path / "in.jsonl").write_bytes(lines(*rows))
    counts = convert(tmp_path / "in.jsonl", tmp_path / "ours.jsonl", "auto", "tutelage")
    assert (counts.rows_in, counts.rows_out, counts.refused) == (2, 1, Counter({DropReason.EMPTY_ANSWER: 1}))
    kept = json.loads((tmp_path / "ours.jsonl").read_text())
    assert kept["provenance"]["source"] == "llmbar"
    assert "source" not in kept
    convert(tmp_path / "ours.jsonl", tmp_path / "hh.jsonl", "auto", "hh")
    assert (tmp_path / "hh.jsonl").read_bytes() == lines(CLEAN)

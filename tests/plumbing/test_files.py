"""Files are whole or absent, and what cannot be read is named by file and line."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import read_json, read_jsonl, replacing, sha256, write_json, write_jsonl, write_text

RECORDS = [{"text": "eins\nzwei"}, {"text": "ü € 🙂", "n": 1.5}]
values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=4)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_written_records_are_read_back(tmp_path: Path, name: str) -> None:
    assert write_jsonl(tmp_path / "new" / name, RECORDS) == 2
    lines = list(read_jsonl(tmp_path / "new" / name))
    assert [line.record for line in lines] == RECORDS
    assert [line.number for line in lines] == [1, 2]
    assert [json.loads(line.text) for line in lines] == RECORDS


@settings(max_examples=50)
@given(records=st.lists(st.dictionaries(st.text(), values), max_size=4))
def test_any_record_survives(tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl.gz"
    assert write_jsonl(path, records) == len(records)
    assert [line.record for line in read_jsonl(path)] == records


def test_equal_content_is_equal_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jsonl(tmp_path / "a.jsonl.gz", RECORDS)
    monkeypatch.setattr("os.getpid", lambda: 7)  # another process, another temporary name
    monkeypatch.setattr("time.time", lambda: 7.0)
    write_jsonl(tmp_path / "b.jsonl.gz", RECORDS)
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_blank_lines_are_skipped_but_counted(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\n{"a": 1}\r\n   \n{"a": 2}')
    assert [(line.number, line.record["a"]) for line in read_jsonl(path)] == [(2, 1), (4, 2)]


@pytest.mark.parametrize(
    ("second", "says"),
    [
        (b'{"a": ', "line 2: expected one whole JSON object"),
        (b'{"a": "\xff"}', "line 2: expected UTF-8, byte 7 is not"),
        (b"[1]", "line 2: expected a JSON object, found list"),
        (b'{"a": ' + 5000 * b"1" + b"}", "line 2: expected a JSON object that can be read (Exceeds the limit"),
        (b'{"a": ' + 100_000 * b"[", "line 2: expected a JSON object that can be read (maximum recursion depth"),
        (rb'{"a": "\uD83D"}', "line 2: expected Unicode text, found half of a surrogate pair"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, second: bytes, says: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": "\\ud83d\\ude42"}\n' + second + b"\n")
    with pytest.raises(InputError) as caught:
        list(read_jsonl(path))
    assert str(caught.value).startswith(f"{path}, {says}")


def test_a_file_that_is_not_gzip(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_text('{"a": 1}\n')
    with pytest.raises(InputError, match=r"rows\.jsonl\.gz: expected a gzip file"):
        list(read_jsonl(path))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xef\xbb\xbf{}\n", "begins with a byte-order mark; take it off: tail -c \\+4"),
        ("{}\n".encode("utf-16"), "is UTF-16; write it as UTF-8: iconv"),
        (gzip.compress(b"{}\n", mtime=0), r"is gzip; give it a name that ends in \.gz"),
        (b"PAR1\x15\x04", "is a Parquet table"),
        (b"[{}]\n", "expected a JSON object a line, found a JSON array; .* jq -c"),
    ],
)
def test_a_file_of_another_sort_is_named_with_its_cure(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"rows\.jsonl, line 1: {says}"):
        list(read_jsonl(path))


@pytest.mark.parametrize("damage", ["torn", "flipped"])
def test_a_damaged_gzip_stream(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "rows.jsonl.gz"
    whole = bytearray(gzip.compress(b'{"a": 1}\n' * 9, mtime=0))
    if damage == "flipped":
        whole[10] ^= 0xFF  # the first byte of the deflate stream
    path.write_bytes(whole[:-12] if damage == "torn" else whole)
    with pytest.raises(InputError, match="the gzip stream is damaged after line"):
        list(read_jsonl(path))


def test_what_is_absent_or_no_json_is_named(tmp_path: Path) -> None:
    absent, bad = tmp_path / "absent", tmp_path / "bad.json"
    bad.write_text("{")
    for read in (lambda: list(read_jsonl(absent)), lambda: read_json(absent), lambda: sha256(absent)):
        with pytest.raises(InputError, match=r"absent: cannot be read \(No such file"):
            read()
    with pytest.raises(InputError, match=r"bad\.json: expected JSON"):
        read_json(bad)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_text(path, "old")

    def torn() -> Any:
        yield {"a": 1}
        raise RuntimeError("torn")

    with pytest.raises(RuntimeError, match="torn"):
        write_jsonl(path, torn())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_that_json_lacks_are_not_written(tmp_path: Path) -> None:
    for write in (lambda p: write_json(p, {"a": float("nan")}), lambda p: write_jsonl(p, [{"a": float("inf")}])):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_replaced_whole(tmp_path: Path) -> None:
    place = tmp_path / "model"
    for content in ("old", "new"):
        with replacing(place) as beside:
            beside.mkdir()
            (beside / content).write_text(content)
    assert [file.name for file in place.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [place]


def test_a_directory_survives_a_failed_replacement(tmp_path: Path) -> None:
    place = tmp_path / "model"
    place.mkdir()
    (place / "old").write_text("old")

    def fail() -> None:
        with replacing(place) as beside:
            beside.mkdir()
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=r"model: cannot be written \(No space left on device\); nothing was kept"):
        fail()
    assert (place / "old").read_text() == "old"
    assert list(tmp_path.iterdir()) == [place]


def test_a_file_never_replaces_a_directory(tmp_path: Path) -> None:
    (tmp_path / "home" / "dear").mkdir(parents=True)
    with pytest.raises(InputError, match="home: cannot be written"):
        write_text(tmp_path / "home", "oops")
    assert (tmp_path / "home" / "dear").is_dir()
    assert [place.name for place in tmp_path.iterdir()] == ["home"]


def test_a_place_that_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/below\.json: cannot be written"):
        write_json(tmp_path / "file" / "below.json", {})


def test_hash_of_a_directory_knows_names_and_contents(tmp_path: Path) -> None:
    write_text(tmp_path / "one" / "a", "x")
    write_text(tmp_path / "two" / "a", "x")
    assert sha256(tmp_path / "one") == sha256(tmp_path / "two")
    write_text(tmp_path / "two" / "a", "y")
    assert sha256(tmp_path / "one") != sha256(tmp_path / "two")
    write_text(tmp_path / "three" / "b", "x")
    assert sha256(tmp_path / "one") != sha256(tmp_path / "three")

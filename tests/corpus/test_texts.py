"""Plain text from files, and its pieces."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.corpus.texts import pieces, read_texts
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import write_jsonl


def test_text_files_are_one_document_and_jsonl_one_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Ein Käse.\n\nZwei.", encoding="utf-8")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"zipped", mtime=0))
    write_jsonl(tmp_path / "c.jsonl.gz", [{"text": "one", "file": "x"}, {"text": "two"}])
    paths = [tmp_path / name for name in ("a.txt", "b.txt.gz", "c.jsonl.gz")]
    assert list(read_texts(paths)) == ["Ein Käse.\n\nZwei.", "zipped", "one", "two"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"\xff\xfe", "expected UTF-8, byte 0"),
        ("a.txt.gz", b"plain", "expected a gzip file"),
        ("a.txt.gz", gzip.compress(b"torn" * 50, mtime=0)[:20], "expected a gzip file"),
        ("a.jsonl", b'{"body": "x"}', "line 1: the field 'text' is missing"),
        ("nowhere/a.txt", None, "cannot be read"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says):
        list(read_texts([tmp_path / name]))


def test_pieces_end_between_words() -> None:
    assert list(pieces("one two  three\nfour", 8)) == ["one two", "three", "four"]
    assert list(pieces(" \n ", 8)) == []


@given(st.text(alphabet="ab \n", max_size=60), st.integers(1, 12))
def test_pieces_lose_nothing_but_white_space_and_the_heads_of_long_words(text: str, characters: int) -> None:
    found = list(pieces(text, characters))
    assert all(piece == piece.strip() and 0 < len(piece) <= characters for piece in found)
    words = [word[-characters:] for word in text.split()]
    assert [word for piece in found for word in piece.split()] == words

"""Files that are whole or absent: everything is written beside its place and renamed into it."""

import codecs
import gzip
import hashlib
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.plumbing.errors import InputError

_TORN = re.compile(r"\..*\.(part|old)$")
_NOT_JSON_LINES = {
    codecs.BOM_UTF8: "begins with a byte-order mark; take it off: tail -c +4 FILE > NEW",
    codecs.BOM_UTF16_LE: "is UTF-16; write it as UTF-8: iconv -f UTF-16 -t UTF-8 FILE > NEW",
    codecs.BOM_UTF16_BE: "is UTF-16; write it as UTF-8: iconv -f UTF-16 -t UTF-8 FILE > NEW",
    b"\x1f\x8b": "is gzip; give it a name that ends in .gz",
    b"PAR1": "is a Parquet table; write it as JSON lines first",
    b"[": "expected a JSON object a line, found a JSON array; write its items one a line: jq -c '.[]' FILE > NEW",
}

LEVEL = 6  # of compression; 9 takes longer by half and more, and saves less than a hundredth on dialogues


class Line(NamedTuple):
    """A JSON object of a JSONL file, with where it stood and the bytes it was."""

    number: int
    text: str
    record: dict[str, Any]


def read_jsonl(path: Path) -> Iterator[Line]:
    """The objects of a JSONL or JSONL.gz file (by its suffix), streaming, blank lines skipped.

    Raises:
        InputError: no such file, not gzip, bad UTF-8, a torn line, a line that is no JSON object; names file and line.
    """
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            for number, raw in enumerate(stream, start=1):
                if raw.strip():
                    yield _parse_line(path, number, raw)
    except gzip.BadGzipFile as error:
        raise InputError(f"{path}: expected a gzip file, as its name says ({error}); take .gz off its name") from error
    except (EOFError, zlib.error) as error:
        raise InputError(f"{path}: the gzip stream is damaged after line {number}; fetch the file again") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def first_record(path: Path, expected: str) -> dict[str, Any]:
    """The first object of a JSONL or JSONL.gz file, which tells of what form the file is.

    Raises:
        InputError: the file has none (says what was `expected`), or as `read_jsonl`.
    """
    for line in read_jsonl(path):
        return line.record
    raise InputError(f"{path}: expected {expected}, found no line")


def _parse_line(path: Path, number: int, raw: bytes) -> Line:
    if number == 1:
        _require_json_lines(path, raw)
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        where = f"byte {error.start} is not ({error.reason})"
        raise InputError(f"{path}, line {number}: expected UTF-8, {where}") from error
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{error.msg} at column {error.colno}"
        raise InputError(f"{path}, line {number}: expected one whole JSON object ({where})") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a depth of thousands of brackets
        raise InputError(f"{path}, line {number}: expected a JSON object that can be read ({error})") from error
    if not isinstance(record, dict):
        raise InputError(f"{path}, line {number}: expected a JSON object, found {type(record).__name__}")
    if b"\\ud" in raw.lower() and not _is_unicode(record):
        raise InputError(f"{path}, line {number}: expected Unicode text, found half of a surrogate pair (\\ud8…)")
    return Line(number, text, record)


def _require_json_lines(path: Path, first: bytes) -> None:
    for beginning, fault in _NOT_JSON_LINES.items():
        if first.startswith(beginning):
            raise InputError(f"{path}, line 1: {fault}")


def _is_unicode(record: dict[str, Any]) -> bool:
    try:
        json.dumps(record, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: no such file, or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise InputError(f"{path}: expected JSON ({error})") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary neighbour of `path` (file or directory, made by the caller) that takes its place if no error occurs.

    A directory is replaced only by a directory, never by a file.

    Raises:
        InputError: the directory cannot be written, or the disk is full; nothing is left behind.
    """
    if not path.name:
        raise InputError(f"{path}: is a directory; name a file in it")
    beside, old = (path.with_name(f".{path.name}.{os.getpid()}.{suffix}") for suffix in ("part", "old"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        if path.is_dir() and beside.is_dir():
            path.rename(old)  # only a file can be replaced in one step
        beside.replace(path)
        _remove(old)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); nothing was kept") from error
    finally:
        _remove(beside)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        # Where it could not be made (no directory, a read-only disk) it cannot be unlinked either.
        with suppress(OSError):
            path.unlink()


def write_text(path: Path, text: str) -> None:
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, records: Iterable[Mapping[str, Any]]) -> int:
    """Write records one a line (gzipped if the name ends in .gz); returns how many."""
    return write_lines(path, (json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records))


def write_lines(path: Path, lines: Iterable[str]) -> int:
    """Write lines (gzipped if the name ends in .gz); returns how many. Equal lines give equal bytes."""
    count = 0
    with replacing(path) as beside, line_writer(beside, zipped=path.suffix == ".gz") as write:
        for line in lines:
            write(line)
            count += 1
    return count


@contextmanager
def line_writer(path: Path, zipped: bool) -> Iterator[Callable[[str], None]]:
    """What writes a line to a new file; equal lines give equal bytes."""
    with path.open("wb") as raw:
        # Neither name nor time in the gzip header: equal content is to be equal in bytes.
        stream = gzip.GzipFile("", "wb", LEVEL, raw, mtime=0) if zipped else nullcontext(raw)
        with stream as file:

            def write(line: str) -> None:
                file.write(line.encode("utf-8") + b"\n")

            yield write


def sha256(path: Path, without: Collection[str] = ()) -> str:
    """Hash of a file, or of all files of a directory (but those of these names) in the order of their names.

    Raises:
        InputError: no such file.
    """
    if path.is_dir():
        whole = hashlib.sha256()
        for part in sorted(p for p in path.rglob("*") if p.is_file() and p.name not in without):
            whole.update(f"{part.relative_to(path)}\0{sha256(part)}\0".encode())
        return whole.hexdigest()
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def is_torn(path: Path) -> bool:
    """Whether it is what `replacing` leaves if its process is killed."""
    return _TORN.match(path.name) is not None


def remove_torn(directory: Path) -> None:
    """Remove what killed processes have left half-written in a directory."""
    for path in filter(is_torn, list(directory.iterdir())):
        _remove(path)

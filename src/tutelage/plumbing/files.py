"""Files that are whole or absent: everything is written beside its place and renamed into it."""

import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.plumbing.errors import InputError


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
        opened = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
        with opened as stream:
            for number, raw in enumerate(stream, start=1):
                if raw.strip():
                    yield _parse_line(path, number, raw)
    except gzip.BadGzipFile as error:
        raise InputError(f"{path}: expected a gzip file, as its name says ({error})") from error
    except EOFError as error:
        raise InputError(f"{path}: the gzip stream breaks off after line {number}; fetch the file again") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def _parse_line(path: Path, number: int, raw: bytes) -> Line:
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}, line {number}: expected UTF-8, byte {error.start} is not ({error.reason})") from error
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}, line {number}: expected one whole JSON object ({error.msg} at column {error.colno})"
        ) from error
    if not isinstance(record, dict):
        raise InputError(f"{path}, line {number}: expected a JSON object, found {type(record).__name__}")
    return Line(number, text, record)


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

    Raises:
        InputError: the directory cannot be written, or the disk is full; nothing is left behind.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(beside, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); nothing was kept") from error
    finally:
        if beside.is_dir():
            shutil.rmtree(beside, ignore_errors=True)
        else:
            beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, records: Iterable[dict[str, Any]]) -> int:
    """Write records one a line (gzipped if the name ends in .gz); returns how many."""
    count = 0
    with replacing(path) as beside:
        # mtime=0 keeps equal content equal in bytes.
        opened = gzip.GzipFile(beside, "wb", mtime=0) if path.suffix == ".gz" else beside.open("wb")
        with opened as stream:
            for count, record in enumerate(records, start=1):
                stream.write(json.dumps(record, ensure_ascii=False).encode("utf-8") + b"\n")
    return count


def sha256(path: Path) -> str:
    """Hash of a file, or of all files of a directory in the order of their names."""
    if path.is_dir():
        whole = hashlib.sha256()
        for part in sorted(p for p in path.rglob("*") if p.is_file()):
            whole.update(f"{part.relative_to(path)}\0{sha256(part)}\0".encode())
        return whole.hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

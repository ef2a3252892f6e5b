"""Plain text from files, and pieces of it."""

import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tutelage.corpus.fields import Fields
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import read_jsonl


def read_texts(paths: Sequence[Path]) -> Iterator[str]:
    """Documents: the field `text` of every line of a .jsonl or .jsonl.gz file, all of any other file (.gz unpacked).

    Raises:
        InputError: a file that cannot be read, is no UTF-8, or has a line without a text; names file and line.
    """
    for path in paths:
        if path.name.removesuffix(".gz").endswith(".jsonl"):
            yield from (Fields(line.record, f"{path}, line {line.number}").text("text") for line in read_jsonl(path))
        else:
            yield _whole(path)


def _whole(path: Path) -> str:
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected UTF-8, byte {error.start} is not ({error.reason})") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: expected a gzip file, as its name says ({error})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def pieces(text: str, characters: int) -> Iterator[str]:
    """Consecutive pieces of at most so many characters, cut at white space, without any at their ends.

    Of a word that is longer only the end is kept.
    """
    for match in re.finditer(rf"\S(?s:.{{0,{characters - 1}}})(?<!\s)(?!\S)", text):
        yield match.group()

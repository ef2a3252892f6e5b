"""Files of comparisons, whatever their format: the one reader that training, the audit and conversion share."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from tutelage.corpus.hh import parse_hh, render_hh
from tutelage.corpus.records import row_from_record
from tutelage.corpus.rules import Drop, DropReason, Row, Source
from tutelage.corpus.trl import parse_trl, render_trl
from tutelage.dialogue import Comparison, Kind
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import Line, read_jsonl

Format = Literal["hh", "tutelage", "trl"]

PARSERS = {"hh": parse_hh, "trl": parse_trl}
RENDERERS = {"hh": render_hh, "trl": render_trl}


def read_comparisons(
    paths: Iterable[Path], format: Format | Literal["auto"] = "auto", kind: Kind = "helpful"
) -> Iterator[Comparison | Drop]:
    """The rows of the files in order, streaming; `DropCounts.sift` counts the drops and leaves the comparisons.

    Args:
        paths: JSONL or JSONL.gz files.
        format: how they are written; `auto` goes by the keys of each file's first line.
        kind: the kind of the comparisons of `hh` and `trl` files, which do not say it.

    Raises:
        InputError: a file that is unreadable, empty, torn, of an unknown or a mixed format; names file and line.
    """
    for path in paths:
        for row in read_rows(path, format, kind):
            yield row.content


def read_rows(path: Path, format: Format | Literal["auto"], kind: Kind) -> Iterator[Row]:
    """Like `read_comparisons`, for one file, with the source line of every row whose content does not give it back."""
    expected = None if format == "auto" else format
    for line in read_jsonl(path):
        where = f"{path}, line {line.number}"
        if format == "auto":
            found = detect(line.record, where)
            expected = expected or found
            if found != expected:
                raise InputError(f"{where}: expected the format '{expected}' of the first line, found '{found}'")
        if expected:
            yield _parse(line, expected, kind, where)
    if expected is None:
        raise InputError(f"{path}: expected comparisons, found no line")


def detect(record: Mapping[str, Any], where: str) -> Format:
    """The format of a row, by its keys.

    Raises:
        InputError: it is of none.
    """
    if record.get("record") in ("comparison", "dropped"):
        return "tutelage"
    if {"prompt", "chosen", "rejected"} <= record.keys():
        return "trl"
    if {"chosen", "rejected"} <= record.keys():
        return "hh"
    raise InputError(
        f"{where}: expected a row of a known format: 'record' as comparison or dropped (tutelage), "
        f"prompt, chosen and rejected (trl), or chosen and rejected (hh); found the keys {', '.join(record) or 'none'}"
    )


def _parse(line: Line, format: Format, kind: Kind, where: str) -> Row:
    if format == "tutelage":
        return row_from_record(line.record, where)
    content = PARSERS[format](line.record, kind, where)
    source = Source(format, line.text)
    if isinstance(content, DropReason):
        return Row(Drop(content, where), source)
    return Row(content, None if RENDERERS[format](content) == line.text else source)

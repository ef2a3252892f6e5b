"""Files of comparisons, whatever their format: the one reader that training, the audit and conversion share."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from tutelage.corpus.formats import Format, TextFormat, detect
from tutelage.corpus.hh import parse_hh, render_hh
from tutelage.corpus.judged import read_finegrained, read_llmbar, read_pandalm
from tutelage.corpus.oasst import read_oasst
from tutelage.corpus.records import row_from_record
from tutelage.corpus.rules import Drop, DropReason, Row, Source
from tutelage.corpus.stackexchange import read_stackexchange
from tutelage.corpus.table import Columns, LabelledColumns, label_of, read_table, require_both_labels
from tutelage.corpus.trl import parse_trl, render_trl
from tutelage.dialogue import Comparison, Kind
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import Line, read_jsonl

PARSERS = {"hh": parse_hh, "trl": parse_trl}
RENDERERS = {"hh": render_hh, "trl": render_trl}

_READERS: dict[str, Callable[[Mapping[str, Any], str], Iterator[Comparison | DropReason]]] = {
    "stackexchange": read_stackexchange,
    "oasst": read_oasst,
    "pandalm": read_pandalm,
    "finegrained": read_finegrained,
    "llmbar": read_llmbar,
}


def read_comparisons(
    paths: Iterable[Path],
    format: Format | Literal["auto"] = "auto",
    kind: Kind = "helpful",
    columns: Columns | None = None,
) -> Iterator[Comparison | Drop]:
    """The rows of the files in order, streaming; `DropCounts.sift` counts the drops and leaves the comparisons.

    A line of other people's material may hold several comparisons; each is a row, and so is each pair that gives none.

    Args:
        paths: JSONL or JSONL.gz files.
        format: how they are written; `auto` goes by the keys of each file's first line, or by `columns`.
        kind: the kind of the comparisons of `hh`, `trl` and `table` files, which do not say it; the comparisons of the
            other public sets are helpful.
        columns: of a `table`.

    Raises:
        InputError: a file that is unreadable, empty, torn, of an unknown or a mixed format; names file and line.
    """
    for path in paths:
        for row in read_rows(path, format, kind, columns):
            yield row.content


def read_rows(
    path: Path, format: Format | Literal["auto"], kind: Kind, columns: Columns | None = None
) -> Iterator[Row]:
    """Like `read_comparisons`, for one file, with the source line of every row that a conversion can give back."""
    if (columns is None and format == "table") or (columns is not None and format not in ("auto", "table")):
        raise InputError(f"{path}: the format 'table' and its columns (--columns) go together")
    lines = read_jsonl(path)
    rows = _table_rows(path, lines, columns, kind) if columns else _known_rows(path, lines, format, kind)
    row: Row | None = None
    for row in rows:
        yield row
    if row is None:
        raise InputError(f"{path}: expected comparisons, found no line")


def _known_rows(path: Path, lines: Iterable[Line], format: Format | Literal["auto"], kind: Kind) -> Iterator[Row]:
    """The rows of a file of any format but `table`."""
    expected = None if format == "auto" else format
    for line in lines:
        where = f"{path}, line {line.number}"
        if format == "auto":
            found = detect(line.record, where)
            expected = expected or found
            if found != expected:
                raise InputError(f"{where}: expected the format '{expected}' of the first line, found '{found}'")
        if expected == "tutelage":
            yield row_from_record(line.record, where)
        elif expected == "hh" or expected == "trl":
            yield _text_row(line, expected, kind, where)
        elif expected:
            yield from _borrowed(_READERS[expected](line.record, where), where)


def _table_rows(path: Path, lines: Iterable[Line], columns: Columns, kind: Kind) -> Iterator[Row]:
    labels = Counter[str]()
    for line in lines:
        where = f"{path}, line {line.number}"
        if isinstance(columns, LabelledColumns):
            labels[label_of(line.record, columns, where)] += 1
        yield from _borrowed(read_table(line.record, columns, kind, where), where)
    if isinstance(columns, LabelledColumns):
        require_both_labels(labels, columns, path)


def _text_row(line: Line, format: TextFormat, kind: Kind, where: str) -> Row:
    content = PARSERS[format](line.record, kind, where)
    source = Source(format, line.text)
    if isinstance(content, DropReason):
        return Row(Drop(content, where), source)
    return Row(content, None if RENDERERS[format](content) == line.text else source)


def _borrowed(found: Iterable[Comparison | DropReason], where: str) -> Iterator[Row]:
    """Rows without their source line: what was borrowed is never written back in its own format."""
    for item in found:
        yield Row(Drop(item, where) if isinstance(item, DropReason) else item, None)

"""From one format of comparisons to another, streaming, whole or not at all."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tutelage.corpus.formats import Format, TextFormat, Writable
from tutelage.corpus.records import json_line, row_to_record
from tutelage.corpus.rules import Drop, DropReason, Row, Source, same_texts
from tutelage.corpus.sources import PARSERS, RENDERERS, read_rows
from tutelage.corpus.table import Columns
from tutelage.dialogue import Comparison, Kind
from tutelage.plumbing.files import write_lines


@dataclass(slots=True)
class Conversion:
    """What became of the rows; `rows_in = rows_out + sum(refused)`. Dirty rows that were kept are in `rows_out` too."""

    rows_in: int = 0
    rows_out: int = 0
    kept_dirty: Counter[DropReason] = field(default_factory=Counter)
    refused: Counter[DropReason] = field(default_factory=Counter)


def convert(
    source: Path,
    destination: Path,
    from_format: Format | Literal["auto"],
    to_format: Writable,
    kind: Kind = "helpful",
    columns: Columns | None = None,
) -> Conversion:
    """Write the rows of `source` in another format; returns the counts.

    A dirty row of `hh` or `trl` is kept as it is where the format can (in `tutelage`, and back in its own format), any
    other is left out. A comparison whose texts the format cannot hold is left out too. Both are counted as refused, by
    reason. `hh` → `tutelage` → `hh` (and the same with `trl`) gives back every row byte for byte; line ends become
    `\\n` and blank lines go.

    Args:
        kind: the kind of the comparisons of `hh`, `trl` and `table` files, which do not say it.
        columns: of a `table`.

    Raises:
        InputError: see `read_comparisons`; or the destination cannot be written. No destination is left then.
    """
    counts = Conversion()
    write_lines(destination, _lines(read_rows(source, from_format, kind, columns), to_format, counts))
    return counts


def _lines(rows: Iterable[Row], format: Writable, counts: Conversion) -> Iterator[str]:
    for row in rows:
        counts.rows_in += 1
        line = _ours(row) if format == "tutelage" else express(row, format)
        if isinstance(line, DropReason):
            counts.refused[line] += 1
            continue
        counts.rows_out += 1
        if isinstance(row.content, Drop):
            counts.kept_dirty[row.content.reason] += 1
        yield line


def _ours(row: Row) -> str | DropReason:
    if isinstance(row.content, Drop) and row.source is None:
        return row.content.reason
    return json_line(row_to_record(row))


def express(row: Row, format: TextFormat) -> str | DropReason:
    """The line of a row in a format of texts only, or why it has none."""
    content, source = row
    if isinstance(content, Drop):
        return source.line if source and source.format == format else content.reason
    if source and source.format == format and _still_says(source, content):
        return source.line
    return RENDERERS[format](content)


def _still_says(source: Source, comparison: Comparison) -> bool:
    """Whether the kept line holds this comparison: someone may have edited the texts since."""
    read = PARSERS[source.format](json.loads(source.line), comparison.kind, "the source line")
    return isinstance(read, Comparison) and same_texts(read, comparison)

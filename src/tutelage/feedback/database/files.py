"""What a database knows of files: exports that were frozen, and comparisons that were read in to be browsed."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from tutelage.corpus.formats import Format
from tutelage.corpus.records import json_line, row_from_record, row_to_record
from tutelage.corpus.rules import Row
from tutelage.corpus.sources import read_rows
from tutelage.dialogue import Comparison, Kind
from tutelage.feedback.database.audit import Audit
from tutelage.feedback.database.collected import table_of
from tutelage.feedback.database.connection import Database, insert_new
from tutelage.feedback.database.tables import Export, Import, ImportedComparison
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import read_jsonl, sha256
from tutelage.plumbing.progress import Advance, unwatched

AT_ONCE = 500  # rows


def freeze(database: Database, name: str, manifest: dict[str, Any], hash: str) -> None:
    """Keep an export's manifest under a name, for ever.

    Raises:
        InputError: the name is taken.
    """
    with database.writing() as session:
        if not insert_new(session, Export, name=name, manifest=manifest, hash=hash):
            raise InputError(f"--freeze {name}: an export of this name was frozen before; choose another name")
        Audit(session).append("system", "freeze", f"export {name}", {"manifest": hash})


def frozen(session: Session) -> list[Export]:
    """The frozen exports, the newest first."""
    return list(session.scalars(select(Export).order_by(Export.created.desc())))


def read_comparisons_in(
    database: Database,
    path: Path,
    format: Format | Literal["auto"] = "auto",
    kind: Kind = "helpful",
    advance: Advance = unwatched,
) -> int:
    """Read a file of comparisons in, to be browsed; returns how many rows. Its labels are kept as they are.

    Raises:
        InputError: the file is bad (names file and line), or was read in before; nothing is stored then.
    """
    count, hash = 0, sha256(path)
    with database.writing() as session:
        if session.scalar(select(Import.id).where(Import.sha256 == hash)) is not None:
            raise InputError(f"{path}: was read in before")
        file = Import(name=path.name, sha256=hash, rows=0)
        session.add(file)
        session.flush()
        rows = read_rows(path, format, kind)
        while batch := list(islice(rows, AT_ONCE)):
            values = [_stored(file.id, count + index, row) for index, row in enumerate(batch, start=1)]
            session.execute(table_of(ImportedComparison).insert(), values)
            count += len(batch)
            advance(len(batch))
        file.rows = count
        Audit(session).append("system", "import", f"import {file.id}", {"sha256": hash, "rows": count})
    return count


def imports(session: Session) -> list[Import]:
    return list(session.scalars(select(Import).order_by(Import.id)))


def imported(session: Session, import_id: int, after: int = 0, limit: int = 50) -> Iterator[tuple[int, Row]]:
    """Rows of a file that was read in, each with its number; those behind the number `after`."""
    found = select(ImportedComparison).where(
        ImportedComparison.import_id == import_id, ImportedComparison.number > after
    )
    for row in session.scalars(found.order_by(ImportedComparison.number).limit(limit)):
        yield row.number, row_from_record(json.loads(row.record), f"import {import_id}, row {row.number}")


def holds_conversations(path: Path) -> bool:
    """Whether a file is the lossless `conversations` of an export, by its first line."""
    first = next(read_jsonl(path), None)
    return first is not None and first.record.get("record") == "conversation"


def _stored(import_id: int, number: int, row: Row) -> dict[str, Any]:
    kind = row.content.kind if isinstance(row.content, Comparison) else None
    return {"import_id": import_id, "number": number, "kind": kind, "record": json_line(row_to_record(row))}

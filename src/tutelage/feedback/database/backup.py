"""A whole database as one file, and back: the same file for SQLite and for PostgreSQL, so that it also moves one.

Gzipped JSON lines: a head with the version of the schema, every row of every table in the order in which they refer to
each other, and a last line with the counts, by which a torn file is told. The file holds password hashes and secrets.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from sqlalchemy import Table, func, select
from sqlalchemy.orm import Session

from tutelage.corpus.records import json_line
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.numbering import continue_numbers
from tutelage.feedback.database.schema import new_tables, require_schema, revision_of, revisions
from tutelage.feedback.database.tables import Base
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import line_writer, read_jsonl, replacing
from tutelage.plumbing.progress import Advance, unwatched

FORMAT = "tutelage feedback backup"
AT_ONCE = 500  # rows


def backup(database: Database, path: Path, advance: Advance = unwatched) -> dict[str, int]:
    """Write a backup, of one state of the database while others go on writing; returns the rows of each table.

    Raises:
        InputError: the database has another schema, or the file cannot be written.
    """
    require_schema(database)
    counts: Counter[str] = Counter()
    with replacing(path) as beside, database.reading() as session:
        beside.touch(mode=0o600)
        with line_writer(beside, zipped=True) as write:
            head = {"format": FORMAT, "schema": revisions()[-1], "size": _size(session)}
            write(json_line(head))
            for table in Base.metadata.sorted_tables:
                for row in _rows(session, table):
                    write(json_line({"table": table.name, "row": row}))
                    advance(1)
                    counts[table.name] += 1
            write(json_line({"rows": counts}))
    return dict(counts)


def restore(database: Database, path: Path, advance: Advance = unwatched) -> dict[str, int]:
    """Fill an empty database from a backup, all of it or nothing; returns the rows of each table.

    Raises:
        InputError: the database is not empty, or the backup is torn, of another schema, or no backup.
    """
    if revision_of(database) is not None:
        raise InputError(f"{database.name}: not empty; restore into a new database")
    head = _head(path)
    if head.get("schema") not in revisions():
        raise InputError(f"{path}: of schema {head.get('schema')}, which this version of tutelage does not know")
    with new_tables(database, str(head["schema"])) as session:
        lines = (line.record for line in islice(read_jsonl(path), 1, None))
        counts = _fill(session, lines, path, advance)
        continue_numbers(session)
    return counts


def size_of(database: Database) -> int:
    """The rows that a backup of the database would hold."""
    with database.reading() as session:
        return _size(session)


def size_of_backup(path: Path) -> int:
    """The rows that a backup says it holds.

    Raises:
        InputError: it is no backup.
    """
    return int(_head(path)["size"])


def _size(session: Session) -> int:
    return sum(session.scalar(select(func.count()).select_from(table)) or 0 for table in Base.metadata.sorted_tables)


def _head(path: Path) -> dict[str, Any]:
    first = next(read_jsonl(path), None)
    if first is None or first.record.get("format") != FORMAT:
        raise InputError(f"{path}: no backup of a feedback database")
    return first.record


def _rows(session: Session, table: Table) -> Iterator[dict[str, Any]]:
    order = list(table.primary_key.columns)
    for row in session.execute(select(*table.c).order_by(*order).execution_options(yield_per=AT_ONCE)):
        yield dict(row._mapping)


def _fill(session: Session, lines: Iterator[dict[str, Any]], path: Path, advance: Advance) -> dict[str, int]:
    counts: Counter[str] = Counter()
    tables = Base.metadata.tables
    for name, group in groupby(lines, lambda record: record.get("table")):
        if name is None:
            if next(group).get("rows") != counts:
                raise InputError(f"{path}: the rows are not those that it says it holds; use another backup")
            return dict(counts)
        while rows := [record["row"] for record in islice(group, AT_ONCE)]:
            session.execute(tables[name].insert(), rows)
            counts[name] += len(rows)
            advance(len(rows))
    raise InputError(f"{path}: torn: its last line is missing; use another backup")

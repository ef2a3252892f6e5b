"""A conversation as one JSON object that holds all its rows, and back: the file `conversations.jsonl.gz` of an export.

Who reads it in gets the same rows, ids included, so that exporting them again gives the same files.
"""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from tutelage.corpus.fields import Fields
from tutelage.corpus.records import Record
from tutelage.feedback.database.audit import Audit
from tutelage.feedback.database.collected import AnyRow, Collected, table_of
from tutelage.feedback.database.connection import Database, insert_new
from tutelage.feedback.database.numbering import continue_numbers
from tutelage.feedback.database.tables import (
    Base,
    Conversation,
    Exclusion,
    Flag,
    Judgment,
    Rating,
    Response,
    Snapshot,
    Turn,
    Worker,
)
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import Line, read_jsonl
from tutelage.plumbing.progress import Advance, unwatched

RECORD = "conversation"


def conversation_to_record(one: Collected) -> Record:
    """Every row of a conversation, by the names of the columns; of its exclusions, those of turns that stand."""
    return {
        "record": RECORD,
        "source": one.source,
        **_columns(one.conversation),
        "turns": [
            {
                **_columns(turn, "conversation_id"),
                "responses": [_columns(row, "turn_id") for row in one.responses[turn.id]],
                "judgments": [_columns(row, "turn_id") for row in one.judgments[turn.id]],
            }
            for turn in one.turns
        ],
        "ratings": [_columns(row, "conversation_id") for row in one.ratings],
        "flags": [_columns(row, "conversation_id") for row in one.flags],
        "exclusions": [_columns(row) for row in one.exclusions],
    }


def read_conversations(database: Database, path: Path, advance: Advance = unwatched) -> int:
    """Read the conversations of an exported file in; returns how many.

    Workers come with their pseudonyms alone, and without roles; snapshots by name, stopped.

    Raises:
        InputError: the file is bad (names file and line), or the database holds conversations already.
    """
    count, judgments = 0, list[int]()
    with database.writing() as session:
        if session.scalar(select(Conversation.id).limit(1)) is not None:
            raise InputError(f"{database.name}: holds conversations; read an export into a new database")
        lines = read_jsonl(path)
        while batch := list(islice(lines, 200)):
            try:
                judgments += _insert(session, [(line, f"{path}, line {line.number}") for line in batch])
            except StatementError as error:
                where = f"{path}, lines {batch[0].number} to {batch[-1].number}"
                raise InputError(f"{where}: not rows of this database ({error.orig})") from error
            count += len(batch)
            advance(len(batch))
        Audit(session).append("system", "import conversations", path.name, {"judgments": judgments})
        continue_numbers(session)
    return count


def _insert(session: Session, lines: Iterable[tuple[Line, str]]) -> list[int]:
    """Insert the rows of these conversations; returns the numbers of the judgments."""
    kinds = (Conversation, Turn, Response, Judgment, Rating, Flag, Exclusion)
    rows: dict[type[Base], list[Record]] = {kind: [] for kind in kinds}
    makers: dict[str, str] = {}
    for line, where in lines:
        _take(Fields(line.record, where), rows, makers)
    snapshots = {row["snapshot"] for row in rows[Response] if row["snapshot"] is not None}
    others = {row["worker_id"] for kind in (Judgment, Rating, Flag) for row in rows[kind]}
    others |= {row["excluded_by"] for row in rows[Exclusion]}
    for worker in sorted(others | makers.keys()):
        insert_new(session, Worker, id=worker, source=makers.get(worker, "imported"))
    for name in sorted(snapshots):
        insert_new(session, Snapshot, name=name, place="", weight=0.0, status="stopped", sampling={})
    for kind, found in rows.items():
        if found:
            session.execute(table_of(kind).insert(), found)
    return [row["id"] for row in rows[Judgment]]


def _take(fields: Fields, rows: dict[type[Base], list[Record]], makers: dict[str, str]) -> None:
    fields.one_of("record", (RECORD,))
    source, turns = fields.text("source"), fields.items("turns")
    ratings, flags, exclusions = (fields.items(name) for name in ("ratings", "flags", "exclusions"))
    conversation = _row(Conversation, fields)
    makers[conversation["worker_id"]] = source
    rows[Conversation].append(conversation)
    of_conversation = {"conversation_id": conversation["id"]}
    for number, turn in enumerate(turns, start=1):
        inner = Fields(turn, f"{fields.where}, turn {number}")
        responses, judgments = inner.items("responses"), inner.items("judgments")
        row = _row(Turn, inner, of_conversation)
        rows[Turn].append(row)
        rows[Response] += [_row(Response, Fields(one, inner.where), {"turn_id": row["id"]}) for one in responses]
        rows[Judgment] += [_row(Judgment, Fields(one, inner.where), {"turn_id": row["id"]}) for one in judgments]
    rows[Rating] += [_row(Rating, Fields(one, fields.where), of_conversation) for one in ratings]
    rows[Flag] += [_row(Flag, Fields(one, fields.where), of_conversation) for one in flags]
    rows[Exclusion] += [_row(Exclusion, Fields(one, fields.where)) for one in exclusions]


def _row(kind: type[Base], fields: Fields, known: Record | None = None) -> Record:
    """The values of a row's columns; a column that is missing, or a field that is no column, is an error."""
    row = dict(known or {})
    for column in inspect(kind).columns:
        if column.name not in row:
            row[column.name] = fields.anything(column.name)
    fields.done()
    return row


def _columns(row: AnyRow, *known: str) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name not in known}

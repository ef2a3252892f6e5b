"""All that was collected, conversation by conversation, in constant memory: what exports are made of."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Table, func, select, tuple_
from sqlalchemy.orm import Session

from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.tables import (
    Base,
    Conversation,
    Exclusion,
    Flag,
    Judgment,
    Rating,
    Response,
    Turn,
    Worker,
)

AT_ONCE = 200  # conversations

AnyRow = Row[Any]


@dataclass(frozen=True, slots=True)
class Collected:
    """A conversation with all its rows as they are stored, in the order in which they came."""

    conversation: AnyRow
    source: str
    """How its worker came: the platform."""
    turns: list[AnyRow]
    responses: dict[int, list[AnyRow]]
    """By turn."""
    judgments: dict[int, list[AnyRow]]
    """By turn: all revisions of all workers."""
    ratings: list[AnyRow]
    flags: list[AnyRow]
    exclusions: list[AnyRow]
    """Those of its turns that stand."""


def collected(session: Session) -> Iterator[Collected]:
    """Every conversation, the oldest first; consistent where the session reads one state (`Database.reading`)."""
    chats = table_of(Conversation)
    ordered = select(*chats.c).order_by(chats.c.created, chats.c.id).limit(AT_ONCE)
    sources = {row.id: row.source for row in session.execute(select(Worker.id, Worker.source))}
    batch: Sequence[AnyRow] = session.execute(ordered).all()
    while batch:
        yield from _with_rows(session, batch, sources)
        last = (batch[-1].created, batch[-1].id)
        batch = session.execute(ordered.where(tuple_(chats.c.created, chats.c.id) > last)).all()


def conversations_in(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(Conversation)) or 0


def table_of(kind: type[Base]) -> Table:
    table = kind.__table__
    assert isinstance(table, Table)
    return table


def _with_rows(session: Session, batch: Sequence[AnyRow], sources: dict[str, str]) -> Iterator[Collected]:
    ids = [chat.id for chat in batch]
    turns = _grouped(session, Turn, "conversation_id", ids, "ordinal")
    turn_ids = [turn.id for rows in turns.values() for turn in rows]
    responses = _grouped(session, Response, "turn_id", turn_ids, "id")
    judgments = _grouped(session, Judgment, "turn_id", turn_ids, "id")
    ratings = _grouped(session, Rating, "conversation_id", ids, "id")
    flags = _grouped(session, Flag, "conversation_id", ids, "id")
    decided = _grouped(session, Exclusion, "subject", [str(number) for number in turn_ids], "id")
    for chat in batch:
        mine = turns[chat.id]
        yield Collected(
            chat,
            sources[chat.worker_id],
            mine,
            {turn.id: responses[turn.id] for turn in mine},
            {turn.id: judgments[turn.id] for turn in mine},
            ratings[chat.id],
            flags[chat.id],
            [row for turn in mine for row in decided[str(turn.id)] if row.subject_kind == "turn" and row.stands],
        )


def _grouped(
    session: Session, kind: type[Base], by: str, ids: Sequence[Any], order: str
) -> defaultdict[Any, list[AnyRow]]:
    columns = table_of(kind).c
    groups: defaultdict[Any, list[AnyRow]] = defaultdict(list)
    for start in range(0, len(ids), 500):  # both databases limit the parameters of a statement
        found = select(*columns).where(columns[by].in_(ids[start : start + 500])).order_by(columns[by], columns[order])
        for row in session.execute(found):
            groups[getattr(row, by)].append(row)
    return groups

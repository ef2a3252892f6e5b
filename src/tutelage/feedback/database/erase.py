"""All that a person has told us, deleted at their request; what stays is a pseudonym and the audit chain."""

from typing import Any

from sqlalchemy import ColumnElement, Select, Text, cast, delete, literal, or_, select, update
from sqlalchemy.orm import Session

from tutelage.feedback.database.audit import Audit
from tutelage.feedback.database.connection import Database, changed
from tutelage.feedback.database.refusals import NotFound
from tutelage.feedback.database.tables import (
    Answered,
    Assignment,
    AuditEntry,
    Base,
    ClosedFlag,
    Consent,
    Conversation,
    Credential,
    Entry,
    Exclusion,
    Export,
    Flag,
    Invite,
    Judgment,
    Login,
    Note,
    Qualification,
    Rating,
    Reading,
    Response,
    Review,
    Turn,
    Worker,
    WorkerRole,
    WorkPeriod,
)


def erase(database: Database, worker_id: str) -> dict[str, int]:
    """Delete a worker's texts, judgments, ratings and everything by which they could be known; returns the counts.

    What others judged in the worker's conversations goes with them. Files that were exported are not ours to change:
    the count `frozen exports` says in how many they may still be.

    Raises:
        NotFound: no such worker.
    """
    with database.writing() as session:
        worker = session.get(Worker, worker_id, with_for_update=True)  # who writes as this worker waits
        if worker is None:
            raise NotFound(f"no worker {worker_id}")
        _clear_invite(session, worker_id)
        counts = _delete_talk(session, worker_id)
        for table in (Entry, Credential, Login, Consent, Qualification, WorkPeriod, Note, WorkerRole):
            counts[table.__tablename__] = _delete(session, table, table.worker_id == worker_id)
        counts["answered"] = _delete(session, Answered, Answered.principal == worker_id)
        worker.status, worker.status_reason, worker.declined_topics = "erased", "", []
        worker.may_edit = False
        counts["frozen exports"] = len(
            session.scalars(select(Export.name).where(Export.created >= worker.created)).all()
        )
    database.empty_log()
    return counts


def _clear_invite(session: Session, worker_id: str) -> None:
    """The note of the invite by which the worker came, which the chain connects with them, may name them."""
    joined = select(AuditEntry.details).where(AuditEntry.subject == f"worker {worker_id}", AuditEntry.action == "join")
    kind, _, beginning = (session.scalar(joined) or {"by": ""})["by"].partition(" ")
    if kind == "invite":
        changed(session, update(Invite).where(Invite.token_hash.startswith(beginning)).values(note=""))


def _delete_talk(session: Session, worker_id: str) -> dict[str, int]:
    theirs = select(Conversation.id).where(Conversation.worker_id == worker_id)
    turns = select(Turn.id).where(Turn.conversation_id.in_(theirs))
    judged = or_(Judgment.turn_id.in_(turns), Judgment.worker_id == worker_id)
    judgments = list(session.scalars(select(Judgment.id).where(judged).order_by(Judgment.id)))
    struck = Audit(session).strike(_about(worker_id, theirs, turns))
    flagged = or_(Flag.conversation_id.in_(theirs), Flag.worker_id == worker_id)
    counts = {
        "reviews": _delete(session, Review, or_(
            Review.turn_id.in_(turns), Review.reviewer_id == worker_id,
            Review.judgment_id.in_(select(Judgment.id).where(judged)),
        )),
        "assignments": _delete(
            session, Assignment, or_(Assignment.turn_id.in_(turns), Assignment.worker_id == worker_id)
        ),
        "judgments": _delete(session, Judgment, judged),
        "exclusions": _delete(session, Exclusion, or_(
            Exclusion.subject == worker_id, Exclusion.subject.in_(theirs),
            Exclusion.subject.in_(turns.with_only_columns(cast(Turn.id, Text))),
        )),
        "closed_flags": _delete(session, ClosedFlag, ClosedFlag.flag_id.in_(select(Flag.id).where(flagged))),
        "flags": _delete(session, Flag, flagged),
        "ratings": _delete(session, Rating, or_(Rating.conversation_id.in_(theirs), Rating.worker_id == worker_id)),
        "readings": _delete(session, Reading, or_(Reading.conversation_id.in_(theirs), Reading.worker_id == worker_id)),
    }  # fmt: skip
    of_edits = (Response.turn_id.in_(turns), Response.edited_from.is_not(None))
    edits = list(session.scalars(select(Response.id).where(*of_edits).order_by(Response.id)))
    changed(session, delete(Response).where(*of_edits))
    counts["responses"] = _delete(session, Response, Response.turn_id.in_(turns))
    counts["turns"] = _delete(session, Turn, Turn.conversation_id.in_(theirs))
    changed(session, update(Note).where(Note.conversation_id.in_(theirs)).values(conversation_id=None))
    counts["conversations"] = _delete(session, Conversation, Conversation.worker_id == worker_id)
    Audit(session).append(
        "system", "erase", f"worker {worker_id}", {"judgments": judgments, "edits": edits, "struck": struck}
    )
    return counts


def _about(worker_id: str, conversations: Select[str], turns: Select[int]) -> ColumnElement[bool]:
    """The links about a worker, their conversations or turns."""
    return or_(
        AuditEntry.subject == f"worker {worker_id}",
        AuditEntry.subject.in_(conversations.with_only_columns(literal("conversation ") + Conversation.id)),
        AuditEntry.subject.in_(turns.with_only_columns(literal("turn ") + cast(Turn.id, Text))),
    )


def _delete(session: Session, table: type[Base], which: ColumnElement[Any]) -> int:
    return changed(session, delete(table).where(which))

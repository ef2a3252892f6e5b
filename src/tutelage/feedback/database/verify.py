"""Whether a database keeps its word: its own integrity, the audit chain, and that every judgment is as it was made,
of what was shown."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from tutelage.feedback.database.audit import Audit, about_digest, edit_digest, judgment_digest, with_what_it_is_about
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.files import frozen
from tutelage.feedback.database.states import TurnState
from tutelage.feedback.database.tables import AuditEntry, Conversation, Judgment, Response, Turn
from tutelage.plumbing.progress import Advance, unwatched


def faults(database: Database, advance: Advance = unwatched) -> Iterator[str]:
    """What is wrong, in sentences; nothing where all holds. Constant memory, but for the numbers of judgments."""
    with database.reading() as session:
        if database.is_sqlite:
            yield from _sqlite_faults(session)
        yield from Audit(session).faults(advance)
        yield from _judgment_faults(session, advance)
        yield from _edit_faults(session)
        yield from _export_faults(session)
        yield from _turn_faults(session, advance)


def size_of(database: Database) -> int:
    """How many rows `faults` looks at."""
    with database.reading() as session:
        return sum(session.scalar(select(func.count()).select_from(kind)) or 0 for kind in (AuditEntry, Judgment, Turn))


def _sqlite_faults(session: Session) -> Iterator[str]:
    for (message,) in session.execute(text("PRAGMA integrity_check")):
        if message != "ok":
            yield f"sqlite: {message}"
    for row in session.execute(text("PRAGMA foreign_key_check")):
        yield f"sqlite: a row of {row[0]} refers to nothing in {row[2]}"


def _judgment_faults(session: Session, advance: Advance) -> Iterator[str]:
    """Every judgment is in the chain with its digests, unless it was read in from a file, and the latest stands.

    Links of older versions of this program have no digest of what was judged.
    """
    digests = {int(subject): details for subject, details in _told(session, ("judge", "undo"), "judgment ")}
    read_in = _named(session, "import conversations", "judgments")
    latest = func.max(Judgment.revision).over(partition_by=(Judgment.turn_id, Judgment.worker_id))
    for found in session.execute(with_what_it_is_about(select(Judgment, latest)).execution_options(yield_per=1000)):
        row: Judgment = found[0]
        expected = digests.pop(row.id, None)
        if expected is None and row.id not in read_in:
            yield f"judgment {row.id}: not in the audit chain"
        elif expected is not None and expected["digest"] != judgment_digest(row):
            yield f"judgment {row.id}: not as it was made"
        if expected is not None and expected.get("about", about_digest(found)) != about_digest(found):
            yield f"judgment {row.id}: its conversation, message or answers are not as they were judged"
        if row.stands != (row.revision == found[1] and row.side is not None):
            yield f"judgment {row.id}: {'stands' if row.stands else 'does not stand'}, against the order of revisions"
        session.expunge(row)
        advance(1)
    for missing in sorted(digests.keys() - _named(session, "erase", "judgments")):
        yield f"judgment {missing}: in the audit chain, but gone"


def _edit_faults(session: Session) -> Iterator[str]:
    """Every edit that is in the chain is there as it was made."""
    digests = {int(subject): details["digest"] for subject, details in _told(session, ("edit",), "answer ")}
    for row in session.scalars(select(Response).where(Response.slot == "edit").execution_options(yield_per=1000)):
        if digests.pop(row.id, edit_digest(row)) != edit_digest(row):
            yield f"answer {row.id}: the edit is not as it was made"
        session.expunge(row)
    for missing in sorted(digests.keys() - _named(session, "erase", "edits")):
        yield f"answer {missing}: the edit is in the audit chain, but gone"


def _export_faults(session: Session) -> Iterator[str]:
    """Of every frozen export the hash is kept with which it was frozen."""
    kept = {row.name: row.hash for row in frozen(session)}
    for name, details in _told(session, ("freeze",), "export "):
        if kept.get(name) != details["manifest"]:
            yield f"export {name}: the hash that is kept of it is not the one with which it was frozen"


def _told(session: Session, actions: Sequence[str], prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What links of these actions are about, without the prefix, and their details."""
    links = select(AuditEntry.subject, AuditEntry.details).where(AuditEntry.action.in_(actions))
    for subject, details in session.execute(links.execution_options(yield_per=1000)):
        yield subject.removeprefix(prefix), details


def _named(session: Session, action: str, what: str) -> set[int]:
    """The numbers that the links of an action name."""
    return {number for _, details in _told(session, (action,), "") for number in details.get(what, ())}


def _turn_faults(session: Session, advance: Advance) -> Iterator[str]:
    """A turn is judged if and only if a judgment of its own worker stands; an answered one has two finished answers."""
    own = (
        select(func.count())
        .where(Judgment.turn_id == Turn.id, Judgment.stands, Judgment.worker_id == Conversation.worker_id)
        .scalar_subquery()
    )
    finished = (
        select(func.count())
        .where(Response.turn_id == Turn.id, Response.finished, Response.slot != "edit")
        .scalar_subquery()
    )
    turns = select(Turn.id, Turn.state, own, finished).join(Conversation, Conversation.id == Turn.conversation_id)
    for turn_id, state, judged, answers in session.execute(turns.execution_options(yield_per=1000)):
        advance(1)
        if judged != int(state == TurnState.JUDGED):
            yield f"turn {turn_id}: {state}, with {judged} standing judgments of its worker"
        if state in (TurnState.ANSWERED, TurnState.JUDGED) and answers != 2:
            yield f"turn {turn_id}: {state}, with {answers} finished answers"
        if answers not in (0, 2):
            yield f"turn {turn_id}: {answers} finished answers"

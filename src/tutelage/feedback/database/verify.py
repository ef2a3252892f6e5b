"""Whether a database keeps its word: its own integrity, the audit chain, and that every judgment is as it was made."""

from collections.abc import Iterator

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from tutelage.feedback.database.audit import Audit, judgment_digest
from tutelage.feedback.database.connection import Database
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
    """Every judgment is in the chain with its digest, unless it was erased or read in from a file."""
    digests: dict[int, str] = {}
    gone: set[int] = set()
    read_in: set[int] = set()
    told = select(AuditEntry.action, AuditEntry.subject, AuditEntry.details).where(
        AuditEntry.action.in_(("judge", "undo", "erase", "import conversations"))
    )
    for action, subject, details in session.execute(told.execution_options(yield_per=1000)):
        if action == "erase":
            gone.update(details["judgments"])
        elif action == "import conversations":
            read_in.update(details["judgments"])
        else:
            digests[int(subject.removeprefix("judgment "))] = details["digest"]
    for row in session.scalars(select(Judgment).execution_options(yield_per=1000)):
        expected = digests.pop(row.id, None)
        if expected is None and row.id not in read_in:
            yield f"judgment {row.id}: not in the audit chain"
        elif expected is not None and expected != judgment_digest(row):
            yield f"judgment {row.id}: not as it was made"
        session.expunge(row)
        advance(1)
    for missing in sorted(digests.keys() - gone):
        yield f"judgment {missing}: in the audit chain, but gone"


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

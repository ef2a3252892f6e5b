"""Workers: what each says of themselves (`Profile`), and what those who lead the collection decide (`Workers`)."""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tutelage.feedback.database.access import Access
from tutelage.feedback.database.audit import Audit
from tutelage.feedback.database.connection import changed, insert_new
from tutelage.feedback.database.principal import Principal, require_not_erased
from tutelage.feedback.database.refusals import Conflict, NotFound
from tutelage.feedback.database.tables import (
    Consent,
    Entry,
    Interface,
    Note,
    Qualification,
    Role,
    Worker,
    WorkerRole,
    WorkerStatus,
)
from tutelage.feedback.database.texts import LONGEST_COMMENT, storable, written


class Profile:
    """What the principal has agreed to, declined, been told and tried."""

    def __init__(self, session: Session, principal: Principal) -> None:
        self._session = session
        self._principal = principal

    def status_reason(self) -> str:
        """Why they are paused, in the words of who did it; empty where they are not."""
        return self._session.get_one(Worker, self._principal.worker_id).status_reason

    def consent(self, interface: Interface, version: str, declined_topics: Sequence[str] = ()) -> None:
        """Agree to a version of an interface's terms, once or again; topics that are declined are never offered."""
        me = self._principal.worker_id
        require_not_erased(self._session, self._principal)
        new = insert_new(self._session, Consent, worker_id=me, interface=interface, version=version)
        self._session.get_one(Worker, me).declined_topics = [storable(topic) for topic in declined_topics]
        if new:
            Audit(self._session).append(me, "consent", f"worker {me}", {"interface": interface, "version": version})

    def declined_topics(self) -> list[str]:
        return self._session.get_one(Worker, self._principal.worker_id).declined_topics

    def entries(self) -> list[Entry]:
        """How the principal came from platforms, the first first."""
        mine = select(Entry).where(Entry.worker_id == self._principal.worker_id)
        return list(self._session.scalars(mine.order_by(Entry.created)))

    def try_qualification(
        self, interface: Interface, answers: dict[str, Any], score: float, writing: str, passed: bool | None
    ) -> int:
        """Store a try; returns its id. `passed` is None where a reviewer is to decide."""
        require_not_erased(self._session, self._principal)
        row = Qualification(
            worker_id=self._principal.worker_id, interface=interface, answers=answers, score=score,
            writing=written(writing, "the writing sample", LONGEST_COMMENT) if writing.strip() else "",
            passed=passed, decided=None if passed is None else time.time(),
        )  # fmt: skip
        self._session.add(row)
        self._session.flush()
        return row.id

    def qualification(self, interface: Interface) -> Qualification | None:
        """The principal's latest try."""
        mine = select(Qualification).where(
            Qualification.worker_id == self._principal.worker_id, Qualification.interface == interface
        )
        return self._session.scalar(mine.order_by(Qualification.id.desc()).limit(1))

    def notes(self, limit: int = 50) -> list[Note]:
        """What reviewers have told the principal, the latest first."""
        mine = select(Note).where(Note.worker_id == self._principal.worker_id)
        return list(self._session.scalars(mine.order_by(Note.id.desc()).limit(limit)))

    def read_notes(self) -> None:
        """Mark all notes as read."""
        unread = update(Note).where(Note.worker_id == self._principal.worker_id, Note.read.is_(None))
        changed(self._session, unread.values(read=time.time()))


class Workers:
    """All workers, for reviewers (who read and write notes) and administrators (who decide).

    Every method may raise `Forbidden`, and `NotFound` for a worker that is not there; those that decide or tell
    something raise `Conflict` for one who was erased.
    """

    def __init__(self, session: Session, principal: Principal) -> None:
        principal.require("reviewer", "admin")
        self._session = session
        self._principal = principal

    def has_admin(self) -> bool:
        """Whether anybody is an administrator."""
        return self._session.scalar(select(WorkerRole.worker_id).where(WorkerRole.role == "admin").limit(1)) is not None

    def get(self, worker_id: str) -> Worker:
        row = self._session.get(Worker, worker_id)
        if row is None:
            raise NotFound(f"no worker {worker_id}")
        return row

    def set_roles(self, worker_id: str, roles: Sequence[Role], reason: str) -> None:
        self._principal.require("admin")
        row = self._held(worker_id)
        before = sorted(role.role for role in row.roles)
        row.roles = [role for role in row.roles if role.role in roles] + [
            WorkerRole(role=role) for role in roles if role not in before
        ]
        self._decided("roles", row, {"before": before, "after": sorted(roles)}, reason)

    def set_status(self, worker_id: str, status: WorkerStatus, reason: str) -> None:
        """Pause, disable or re-activate a worker; who is disabled is signed out everywhere.

        Raises:
            ValueError: `erased`, which is no decision but a deletion (`erase`), or no reason.
        """
        self._principal.require("admin")
        if status == "erased":
            raise ValueError("a worker is erased on the command line: tutelage feedback erase WORKER")
        row = self._held(worker_id)
        details = {"before": row.status, "after": status}
        row.status, row.status_reason = status, written(reason, "the reason", LONGEST_COMMENT)
        if status == "disabled":
            Access(self._session).close_logins(worker_id)
        self._decided("status", row, details, reason)

    def set_may_edit(self, worker_id: str, may_edit: bool, reason: str) -> None:
        self._principal.require("admin")
        row = self._held(worker_id)
        row.may_edit = may_edit
        self._decided("may edit", row, {"after": may_edit}, reason)

    def note(self, worker_id: str, text: str, conversation_id: str | None = None) -> int:
        """Tell a worker something; returns the note's id."""
        row = Note(
            worker_id=self._held(worker_id).id, written_by=self._principal.worker_id, conversation_id=conversation_id,
            text=written(text, "the note", LONGEST_COMMENT),
        )  # fmt: skip
        self._session.add(row)
        self._session.flush()
        return row.id

    def undecided(self) -> list[Qualification]:
        """Writing samples that wait for a reviewer, the oldest first."""
        waiting = select(Qualification).where(Qualification.passed.is_(None))
        return list(self._session.scalars(waiting.order_by(Qualification.id)))

    def decide(self, qualification_id: int, passed: bool) -> None:
        row = self._session.get(Qualification, qualification_id)
        if row is None:
            raise NotFound(f"no qualification {qualification_id}")
        row.passed, row.decided_by, row.decided = passed, self._principal.worker_id, time.time()
        details = {"qualification": row.id, "passed": passed}
        Audit(self._session).append(self._principal.worker_id, "qualification", f"worker {row.worker_id}", details)

    def count(self) -> dict[str, int]:
        """How many workers there are of each status."""
        rows = self._session.execute(select(Worker.status, func.count()).group_by(Worker.status))
        return {row.status: row[1] for row in rows}

    def _held(self, worker_id: str) -> Worker:
        """A worker about whom something can be decided, and whom nobody erases until the commit."""
        row = self._session.get(Worker, worker_id, with_for_update=True)
        if row is None:
            raise NotFound(f"no worker {worker_id}")
        if row.status == "erased":
            raise Conflict("this worker was erased at their request; nothing can be decided about them any more")
        return row

    def _decided(self, action: str, row: Worker, details: dict[str, Any], reason: str) -> None:
        self._session.flush()
        why = written(reason, "the reason", LONGEST_COMMENT)
        Audit(self._session).append(self._principal.worker_id, action, f"worker {row.id}", {**details, "reason": why})

"""A chain of what was done by whom: each link's hash covers the one before, so that no link can be changed unseen."""

import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, bindparam, select
from sqlalchemy.orm import Session, aliased

from tutelage.feedback.database.connection import insert_new
from tutelage.feedback.database.tables import AuditEntry, AuditHead, Conversation, Judgment, Response, Turn
from tutelage.plumbing.progress import Advance, unwatched

BEGINNING = "0" * 64

_HEAD = select(AuditHead).with_for_update().execution_options(populate_existing=True)


class Audit:
    """The chain. It is read by administrators only; the caller sees to that."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def append(self, actor: str, action: str, subject: str, details: dict[str, Any] | None = None) -> None:
        """Add a link in the present transaction; others that append wait for its commit.

        Args:
            actor: a worker's id, or `system`.
            details: in types of JSON; no secrets, and no text but the `reason` of a decision (see `strike`).
        """
        head = self._held_head()
        entry = AuditEntry(
            number=head.number + 1, created=time.time(), actor=actor, action=action, subject=subject,
            details=details or {}, previous=head.hash, hash="",
        )  # fmt: skip
        entry.hash = link_hash(entry)
        head.number, head.hash = entry.number, entry.hash
        self._session.add(entry)
        self._session.flush()

    def strike(self, which: ColumnElement[bool]) -> dict[str, str]:
        """Take the reasons out of links, for a worker who is erased; returns the hash of what is left by number.

        These hashes belong into a later link of the action `erase`, as `struck`: by them the chain still holds.
        """
        struck = {}
        for entry in self._session.scalars(select(AuditEntry).where(which)):
            if entry.details.get("reason"):
                entry.details = entry.details | {"reason": ""}
                struck[str(entry.number)] = link_hash(entry)
        self._session.flush()
        return struck

    def latest(self, limit: int = 100, before: int | None = None, action: str | None = None) -> list[AuditEntry]:
        """Links, the newest first; `before` a number, to turn pages."""
        found = select(AuditEntry).order_by(AuditEntry.number.desc()).limit(limit)
        if before is not None:
            found = found.where(AuditEntry.number < before)
        if action is not None:
            found = found.where(AuditEntry.action == action)
        return list(self._session.scalars(found))

    def faults(self, advance: Advance = unwatched) -> Iterator[str]:
        """What is wrong with the chain, link by link in constant memory; nothing where it holds."""
        struck = self._struck()
        number, previous = 0, BEGINNING
        for entry in self._session.scalars(
            select(AuditEntry).order_by(AuditEntry.number).execution_options(yield_per=500)
        ):
            number += 1
            if entry.number != number:
                yield f"audit: link {number} is missing"
                number = entry.number
            if entry.previous != previous:
                yield f"audit: link {entry.number} does not follow the one before"
            if link_hash(entry) not in (entry.hash, struck.get(str(entry.number))):
                yield f"audit: link {entry.number} was changed"
            previous = entry.hash
            self._session.expunge(entry)
            advance(1)
        head = self._session.get(AuditHead, 1)
        if (head.number, head.hash) != (number, previous) if head else number:
            yield "audit: the chain does not end where its head says"

    def _struck(self) -> dict[str, str]:
        erasures = self._session.scalars(select(AuditEntry.details).where(AuditEntry.action == "erase"))
        return {number: hash for details in erasures for number, hash in details.get("struck", {}).items()}

    def _held_head(self) -> AuditHead:
        head = self._session.scalar(_HEAD)
        if head is None:
            insert_new(self._session, AuditHead, id=1, number=0, hash=BEGINNING)
            head = self._session.scalars(_HEAD).one()
        return head


def link_hash(entry: AuditEntry) -> str:
    content = [entry.number, entry.created, entry.actor, entry.action, entry.subject, entry.details, entry.previous]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def judgment_digest(row: Judgment) -> str:
    """SHA-256 of what a revision says. Whether it still stands is not part of it: that is told by later revisions."""
    content = [
        row.turn_id, row.worker_id, row.revision, row.purpose, row.question, bool(row.swapped), row.side, row.strength,
        row.chosen_id, row.other_id, bool(row.both_bad), row.milliseconds,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def judgment_details(session: Session, row: Judgment) -> dict[str, str]:
    """What the chain keeps of a revision: what it says, and (undoing apart) what it is about."""
    details = {"digest": judgment_digest(row)}
    if row.side is not None:
        details["about"] = about_digest(session.execute(_ONE, {"judgment": row.id}).one())
    return details


def with_what_it_is_about(judgments: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Judgments with the columns of `about_digest` behind their own; null where a judgment was undone."""
    chosen, other = aliased(Response), aliased(Response)
    return (
        judgments.add_columns(*_ABOUT, chosen.snapshot, chosen.text, other.snapshot, other.text)
        .join(Turn, Turn.id == Judgment.turn_id)
        .join(Conversation, Conversation.id == Turn.conversation_id)
        .outerjoin(chosen, chosen.id == Judgment.chosen_id)
        .outerjoin(other, other.id == Judgment.other_id)
    )


# Built once, as every judgment asks.
_ABOUT = (Conversation.id, Conversation.worker_id, Conversation.mode, Conversation.goal, Turn.ordinal, Turn.text)
_ONE = with_what_it_is_about(select(Judgment.id)).where(Judgment.id == bindparam("judgment"))


def about_digest(row: Row[*tuple[Any, ...]]) -> str:
    """SHA-256 of what was judged: whose conversation and what for, the place in it, the message, and both answers."""
    return hashlib.sha256(json.dumps(list(row[-len(_ABOUT) - 4 :])).encode()).hexdigest()


def edit_digest(row: Response) -> str:
    """SHA-256 of what a worker made of an answer."""
    return hashlib.sha256(json.dumps([row.turn_id, row.edited_from, row.text]).encode()).hexdigest()

"""How long people work, from what they send: the time between two signs of work, where it is no pause."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, bindparam, case, func, select, update
from sqlalchemy.orm import Session

from tutelage.feedback.database.connection import changed
from tutelage.feedback.database.principal import Principal
from tutelage.feedback.database.tables import Conversation, Judgment, Mode, Note, Turn, WorkPeriod

PAUSE = 300.0  # seconds without a sign of work that end a stretch of it
DAY, WEEK = 86_400.0, 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Home:
    """What a worker sees first: judgments of the last 24 hours, hours and paid judgments of the last 7 days, notes."""

    judgments_today: int
    hours_this_week: float
    units_this_week: int
    unread_notes: int


def worked(session: Session, principal: Principal, mode: Mode, units: int = 0) -> None:
    """Note a sign of work in a mode, and how many judgments it makes that are paid for."""
    now = time.time()
    last = session.scalar(_LATEST, {"worker": principal.worker_id})
    at_work = last is not None and now - last.last_seen <= PAUSE
    if last is None or last.mode != mode or not at_work:
        started = min(now, last.last_seen) if last is not None and at_work else now
        last = WorkPeriod(worker_id=principal.worker_id, mode=mode, started=started, last_seen=now, units=0)
        session.add(last)
    session.flush()
    changed(session, _SEEN, {"period": last.id, "now": now, "more": units})


_LATEST = (
    select(WorkPeriod)
    .where(WorkPeriod.worker_id == bindparam("worker"))
    .order_by(WorkPeriod.last_seen.desc(), WorkPeriod.id.desc())
    .limit(1)
)
# Counted by the database: of two tabs at once neither may lose the other's; and a clock may be set back.
_SEEN = (
    update(WorkPeriod)
    .where(WorkPeriod.id == bindparam("period"))
    .values(
        last_seen=case((WorkPeriod.last_seen > bindparam("now"), WorkPeriod.last_seen), else_=bindparam("now")),
        units=WorkPeriod.units + bindparam("more"),
    )
)


def seconds_worked(session: Session, worker_id: str, since: float, mode: Mode | None = None) -> float:
    """Seconds of work that ended after `since`, in one mode or in all."""
    asked = {"worker": worker_id, "since": since}
    found = session.scalar(_WORKED, asked) if mode is None else session.scalar(_WORKED_IN, {**asked, "mode": mode})
    return float(found or 0.0)


_WORKED = select(func.coalesce(func.sum(WorkPeriod.last_seen - WorkPeriod.started), 0.0)).where(
    WorkPeriod.worker_id == bindparam("worker"), WorkPeriod.last_seen >= bindparam("since")
)
_WORKED_IN = _WORKED.where(WorkPeriod.mode == bindparam("mode"))


def seconds_without_pause(session: Session, worker_id: str, mode: Mode, pause: float) -> float:
    """Seconds since the present stretch of work in a mode began; stretches less than `pause` seconds apart are one."""
    began: float | None = None
    after = time.time()
    latest = select(WorkPeriod).where(WorkPeriod.worker_id == worker_id, WorkPeriod.mode == mode)
    for period in session.scalars(latest.order_by(WorkPeriod.last_seen.desc()).limit(100)):
        if after - period.last_seen >= pause:
            break
        began = after = period.started
    return 0.0 if began is None else time.time() - began


def home(session: Session, principal: Principal) -> Home:
    now, me = time.time(), principal.worker_id
    judged = select(func.count()).select_from(Judgment).where(Judgment.worker_id == me, Judgment.stands, in_earnest())
    units = select(func.coalesce(func.sum(WorkPeriod.units), 0)).where(
        WorkPeriod.worker_id == me, WorkPeriod.last_seen >= now - WEEK
    )
    unread = select(func.count()).select_from(Note).where(Note.worker_id == me, Note.read.is_(None))
    return Home(
        session.scalar(judged.where(Judgment.created >= now - DAY)) or 0,
        seconds_worked(session, me, now - WEEK) / 3600,
        int(session.scalar(units) or 0),
        session.scalar(unread) or 0,
    )


def in_earnest() -> ColumnElement[bool]:
    """That a judgment is not of a practice conversation."""
    practised = select(Turn.id).join(Conversation, Conversation.id == Turn.conversation_id)
    return Judgment.turn_id.not_in(practised.where(Conversation.mode == "practice"))


def credited(session: Session, principal: Principal, begun: Sequence[float], needed: int) -> list[int]:
    """Of each piece of work that began at these times (in order), how many of the principal's judgments count for it.

    A judgment counts once: for the first piece begun before it that still needs one.
    """
    mine = select(Judgment.created).where(Judgment.worker_id == principal.worker_id, Judgment.stands, in_earnest())
    counts = [0] * len(begun)
    for made in session.scalars(mine.order_by(Judgment.created)):
        short = (n for n, start in enumerate(begun) if start <= made and counts[n] < needed)
        if (first := next(short, None)) is not None:
            counts[first] += 1
    return counts

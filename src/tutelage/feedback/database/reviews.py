"""What reviewers decide: verdicts on spot-checked turns, and what is left out of exports."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tutelage.feedback.database.audit import Audit
from tutelage.feedback.database.connection import changed, insert_new
from tutelage.feedback.database.once import once
from tutelage.feedback.database.others import WAITS
from tutelage.feedback.database.principal import Principal
from tutelage.feedback.database.refusals import Conflict, NotFound
from tutelage.feedback.database.tables import (
    ClosedFlag,
    Conversation,
    Exclusion,
    Flag,
    Judgment,
    Rating,
    Review,
    Turn,
    Verdict,
    Worker,
)
from tutelage.feedback.database.texts import LONGEST_COMMENT, written
from tutelage.feedback.database.thread import Thread, thread_of
from tutelage.feedback.database.workers import Workers

SubjectKind = Literal["worker", "conversation", "turn"]


@dataclass(frozen=True, slots=True)
class Opened:
    """A checked turn after the reviewer's blind judgment: the thread with its worker's choices, as far as the reviewer
    has judged the same turns."""

    worker_id: str
    thread: Thread
    agreed: bool
    """Whether the reviewer chose the same answer."""


class Reviews:
    """For reviewers. The blind judgment comes first (`OthersTurns` with the purpose `review`), then the verdict."""

    def __init__(self, session: Session, principal: Principal) -> None:
        principal.require("reviewer", "admin")
        self._session = session
        self._principal = principal

    def opened(self, turn_id: int) -> Opened:
        """The turn that the principal has judged, unblinded.

        Raises:
            NotFound: the principal has not judged this turn as a check.
        """
        mine = self._blind(turn_id)
        conversation = self._session.get_one(Conversation, self._session.get_one(Turn, turn_id).conversation_id)
        theirs = select(Judgment.chosen_id).where(
            Judgment.turn_id == turn_id, Judgment.worker_id == conversation.worker_id, Judgment.stands
        )
        agreed = self._session.scalar(theirs) == mine.chosen_id
        return Opened(conversation.worker_id, self._thread(conversation), agreed)

    def decide(
        self, turn_id: int, writing: Verdict, judging: Verdict, remark: str = "", message: str = "", *, key: str
    ) -> int:
        """Store the verdict on a turn, on the writing and on the judging apart; returns its id.

        Args:
            remark: for other reviewers.
            message: what the worker is told; nothing where it is empty.

        Raises:
            NotFound: the principal has not judged this turn as a check.
            Conflict: they have given their verdict; carries (writing, judging).
        """
        words = written(remark, "the remark", LONGEST_COMMENT) if remark.strip() else ""

        def act() -> int:
            blind = self._blind(turn_id)
            given = select(Review).where(Review.turn_id == turn_id, Review.reviewer_id == self._principal.worker_id)
            if (stored := self._session.scalar(given)) is not None:
                raise Conflict("the verdict is given already", (stored.writing, stored.judging))
            row = Review(
                turn_id=turn_id, reviewer_id=self._principal.worker_id, judgment_id=blind.id, writing=writing,
                judging=judging, remark=words,
            )  # fmt: skip
            self._session.add(row)
            self._session.flush()
            if message.strip():
                conversation = self._session.get_one(Turn, turn_id).conversation_id
                theirs = self._session.get_one(Conversation, conversation).worker_id
                Workers(self._session, self._principal).note(theirs, message, conversation)
            Audit(self._session).append(
                self._principal.worker_id, "review", f"turn {turn_id}", {"writing": writing, "judging": judging}
            )
            return row.id

        return once(self._session, self._principal, key, ("review", turn_id, writing, judging, words, message), act)

    def set_excluded(self, kind: SubjectKind, subject: str, excluded: bool, reason: str) -> None:
        """Leave a worker, a conversation or a turn out of every later export, or take it in; nothing is deleted."""
        why = written(reason, "the reason", LONGEST_COMMENT)
        table = {"worker": Worker, "conversation": Conversation, "turn": Turn}[kind]
        if self._session.get(table, int(subject) if kind == "turn" else subject) is None:
            raise NotFound(f"no {kind} {subject}")
        same = (Exclusion.subject_kind == kind, Exclusion.subject == subject)
        last = self._session.scalar(select(func.max(Exclusion.revision)).where(*same)) or 0
        changed(self._session, update(Exclusion).where(*same, Exclusion.stands).values(stands=False))
        self._session.add(
            Exclusion(
                subject_kind=kind, subject=subject, revision=last + 1, stands=True, excluded=excluded, reason=why,
                excluded_by=self._principal.worker_id,
            )
        )  # fmt: skip
        self._session.flush()
        action = "exclude" if excluded else "include"
        Audit(self._session).append(self._principal.worker_id, action, f"{kind} {subject}", {"reason": why})

    def exclusions(self, limit: int = 100) -> list[Exclusion]:
        """The exclusions that stand, the latest first."""
        standing = select(Exclusion).where(Exclusion.stands, Exclusion.excluded)
        return list(self._session.scalars(standing.order_by(Exclusion.id.desc()).limit(limit)))

    def excluded(self, kind: SubjectKind, subject: str) -> str | None:
        """Why a worker, a conversation or a turn is left out; None: it is not."""
        same = (Exclusion.subject_kind == kind, Exclusion.subject == subject)
        return self._session.scalar(select(Exclusion.reason).where(*same, Exclusion.stands, Exclusion.excluded))

    def flags(self, limit: int = 100) -> list[Flag]:
        """What workers have reported and nobody has closed, the latest first."""
        waiting = select(Flag).where(WAITS)
        return list(self._session.scalars(waiting.order_by(Flag.id.desc()).limit(limit)))

    def flags_of(self, conversation_id: str) -> list[tuple[Flag, str | None]]:
        """What was reported of a conversation, and who has closed each report."""
        rows = (
            select(Flag, ClosedFlag.closed_by)
            .outerjoin(ClosedFlag, ClosedFlag.flag_id == Flag.id)
            .where(Flag.conversation_id == conversation_id)
            .order_by(Flag.id)
        )
        return [(flag, closed_by) for flag, closed_by in self._session.execute(rows)]

    def close_report(self, conversation_id: str, flag_id: int) -> None:
        """Note that a report is dealt with: it waits no longer, and its turns are given out no more because of it.

        Raises:
            NotFound: the conversation has no such report.
        """
        flag = self._session.get(Flag, flag_id)
        if flag is None or flag.conversation_id != conversation_id:
            raise NotFound(f"no report {flag_id} of conversation {conversation_id}")
        if insert_new(self._session, ClosedFlag, flag_id=flag_id, closed_by=self._principal.worker_id):
            subject = f"conversation {conversation_id}"
            Audit(self._session).append(self._principal.worker_id, "close report", subject, {"report": flag_id})

    def thread(self, conversation_id: str) -> tuple[str, Thread]:
        """The worker and the thread of any conversation; its choices where the principal has judged the turn."""
        row = self._session.get(Conversation, conversation_id)
        if row is None:
            raise NotFound(f"no conversation {conversation_id}")
        return row.worker_id, self._thread(row)

    def closing(self, conversation_id: str) -> Rating | None:
        """What the conversation's own worker said at its end."""
        own = select(Rating).join(Conversation, Conversation.id == Rating.conversation_id)
        return self._session.scalar(
            own.where(Conversation.id == conversation_id, Rating.worker_id == Conversation.worker_id)
        )

    def _thread(self, conversation: Conversation) -> Thread:
        """Without the choices on which the principal can still give a judgment of their own."""
        mine = select(Judgment.turn_id).where(
            Judgment.worker_id == self._principal.worker_id, Judgment.stands,
            Judgment.turn_id.in_(select(Turn.id).where(Turn.conversation_id == conversation.id)),
        )  # fmt: skip
        judged = set(self._session.scalars(mine))
        thread = thread_of(self._session, conversation)
        return thread.with_turns([turn if turn.id in judged else turn.unjudged() for turn in thread.turns])

    def _blind(self, turn_id: int) -> Judgment:
        mine = select(Judgment).where(
            Judgment.turn_id == turn_id, Judgment.worker_id == self._principal.worker_id,
            Judgment.purpose == "review", Judgment.stands,
        )  # fmt: skip
        found = self._session.scalar(mine)
        if found is None:
            raise NotFound(f"no turn {turn_id} that you have judged")
        return found

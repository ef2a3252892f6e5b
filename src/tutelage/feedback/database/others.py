"""Turns of others that a worker judges blind: for overlap, and by reviewers as spot-checks."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from tutelage.dialogue import STRENGTHS, Question, Side
from tutelage.feedback.database.audit import Audit, judgment_details
from tutelage.feedback.database.connection import changed, insert_new
from tutelage.feedback.database.hours import worked
from tutelage.feedback.database.once import once
from tutelage.feedback.database.own import looked_for, question_of
from tutelage.feedback.database.principal import Principal
from tutelage.feedback.database.refusals import Conflict, NotFound
from tutelage.feedback.database.states import ConversationState, TurnState
from tutelage.feedback.database.tables import (
    Assignment,
    CheckReason,
    ClosedFlag,
    Conversation,
    Flag,
    Judgment,
    Mode,
    Purpose,
    Rating,
    Reading,
    Response,
    Turn,
    Worker,
)
from tutelage.feedback.database.thread import Answer, dialogue_of, thread_of

LEASE = 1800.0  # seconds that a turn is kept for whom it was given to
TOO_FAST = 2_000  # milliseconds from the sight of both answers to the click
NEW_WORKER = 20  # judgments
DRAWN_FROM = 50  # candidates that one is drawn from
OVERLAP_EVERY = 20  # judgments of one's own to one of another's turn
JUDGED_MODES: tuple[Mode, ...] = ("helpful", "compare", "red_team")
WAITS = ~exists().where(ClosedFlag.flag_id == Flag.id)  # of a flag: no reviewer has dealt with it


@dataclass(frozen=True, slots=True)
class BlindTurn:
    """Another's turn as it is judged: the dialogue up to its message, and both answers on the sides drawn by lot."""

    turn_id: int
    conversation_id: str
    mode: Mode
    goal: str
    question: Question
    reason: CheckReason
    dialogue: tuple[str, ...]
    answers: tuple[Answer, Answer]


class OthersTurns:
    """Judged turns of ended conversations of others, given out one at a time and never twice to the same worker.

    Args:
        purpose: `overlap`, where each turn is given to one more worker; or `review`, for reviewers.
    """

    def __init__(
        self, session: Session, principal: Principal, purpose: Purpose, lots: random.Random | None = None
    ) -> None:
        if purpose == "review":
            principal.require("reviewer", "admin")
        else:
            principal.require("worker")
        self._session = session
        self._principal = principal
        self._purpose = purpose
        self._lots = lots or random.SystemRandom()

    def candidates(
        self, reason: CheckReason = "random", modes: Sequence[Mode] = JUDGED_MODES, conversation: str | None = None
    ) -> list[int]:
        """Turns that `next` may give; the search is to hold up no writer, and goes into a transaction that reads."""
        found = self._free(self._open_to_me(modes), conversation).where(self._found_by(reason))
        return list(self._session.scalars(found.order_by(Turn.id.desc()).limit(DRAWN_FROM)))

    def next(
        self,
        candidates: Sequence[int],
        reason: CheckReason = "random",
        modes: Sequence[Mode] = JUDGED_MODES,
        conversation: str | None = None,
    ) -> BlindTurn | None:
        """The turn that the principal has begun on, or one of the candidates that is still free; None: none is left.

        Args:
            candidates: those of the same reason, modes and conversation.
            conversation: only its turns, even those that others have been given; what was begun on there comes first,
                whatever the reason.
        """
        modes = self._open_to_me(modes)
        row = self._session.scalar(self._begun(reason, modes, conversation))
        if row is not None:
            row.lease = time.time() + LEASE
            return self._shown(row)
        free = self._free(modes, conversation)
        for turn_id in self._lots.sample(candidates, len(candidates)):
            if self._is_declined(turn_id) or not self._is_mine_to_take(turn_id, free):
                continue
            if insert_new(
                self._session, Assignment, turn_id=turn_id, worker_id=self._principal.worker_id, reason=reason,
                purpose=self._purpose, swapped=self._lots.random() < 0.5, lease=time.time() + LEASE,
            ):  # fmt: skip
                return self._shown(self._session.scalars(select(Assignment).where(*self._mine(turn_id))).one())
        return None

    def is_due(self) -> bool:
        """Whether another's turn is the principal's next: one to every twenty choices of their own."""
        mine = (Judgment.worker_id == self._principal.worker_id, Judgment.stands)
        own = (
            select(func.count())
            .select_from(Judgment)
            .join(Turn, Turn.id == Judgment.turn_id)
            .join(Conversation, Conversation.id == Turn.conversation_id)
            .where(*mine, Judgment.purpose == "own", Conversation.mode != "practice")
        )
        others = select(func.count()).select_from(Assignment).where(
            Assignment.worker_id == self._principal.worker_id, Assignment.purpose == self._purpose,
            Assignment.done.is_not(None),
        )  # fmt: skip
        return (self._session.scalar(own) or 0) // OVERLAP_EVERY > (self._session.scalar(others) or 0)

    def given(self, turn_id: int) -> BlindTurn | None:
        """A turn that the principal was given and has not judged; None: there is no such turn."""
        row = self._session.scalar(select(Assignment).where(*self._mine(turn_id), Assignment.done.is_(None)))
        turn = None if row is None else self._shown(row)
        return turn if turn and self._open_to_me([turn.mode]) else None

    def judge(self, turn_id: int, side: Side, strength: int, *, key: str, milliseconds: int | None = None) -> int:
        """Store the principal's judgment of a turn that they were given; returns its id.

        Raises:
            ValueError: no such side or strength, or a negative time.
            NotFound: the turn was not given to the principal.
            Conflict: they have judged it already; carries (side, strength).
        """
        if side not in ("a", "b") or strength not in STRENGTHS or (milliseconds or 0) < 0:
            raise ValueError("a judgment is of side a or b, of strength 1 (barely) to 4 (much), after 0 ms or more")
        request = ("judge other", turn_id, side, strength, milliseconds)
        return once(
            self._session, self._principal, key, request, lambda: self._judge(turn_id, side, strength, milliseconds)
        )

    def skip(self, turn_id: int, *, key: str) -> int:
        """Leave a turn that the principal was given unjudged; returns its id. They are not given it again.

        Raises:
            NotFound: no turn that they were given waits for their judgment.
        """

        def act() -> int:
            waiting = update(Assignment).where(*self._mine(turn_id), Assignment.done.is_(None))
            if not changed(self._session, waiting.values(done=time.time())):
                raise NotFound(f"no turn {turn_id} waits for you")
            return turn_id

        return once(self._session, self._principal, key, ("skip other", turn_id), act)

    def _mine(self, turn_id: int) -> tuple[ColumnElement[bool], ...]:
        """The principal's assignment of a turn; of a conversation that was withdrawn meanwhile there is none."""
        me = self._principal.worker_id
        return (
            Assignment.turn_id == turn_id, Assignment.worker_id == me, Assignment.purpose == self._purpose,
            exists().where(
                Turn.id == Assignment.turn_id, Conversation.id == Turn.conversation_id,
                Conversation.state == ConversationState.ENDED,
            ),
        )  # fmt: skip

    def _judge(self, turn_id: int, side: Side, strength: int, milliseconds: int | None) -> int:
        me = self._principal.worker_id
        mine = self._mine(turn_id)
        given = self._session.scalar(select(Assignment).where(*mine))
        if given is None:
            raise NotFound(f"no turn {turn_id} was given to you")
        if not changed(
            self._session, update(Assignment).where(*mine, Assignment.done.is_(None)).values(done=time.time())
        ):
            stored = self._session.scalar(
                select(Judgment).where(Judgment.turn_id == turn_id, Judgment.worker_id == me, Judgment.stands)
            )
            raise Conflict("the turn is judged already", (stored.side, stored.strength) if stored else None)
        first, second = self._sides(given)
        conversation = self._session.get_one(Conversation, self._session.get_one(Turn, turn_id).conversation_id)
        row = Judgment(
            turn_id=turn_id, worker_id=me, revision=1, stands=True, purpose=self._purpose,
            question=question_of(conversation.mode), swapped=given.swapped, side=side, strength=strength,
            chosen_id=(first if side == "a" else second).id, other_id=(second if side == "a" else first).id,
            milliseconds=looked_for(milliseconds, given.created),
        )  # fmt: skip
        self._session.add(row)
        self._session.flush()
        worked(self._session, self._principal, conversation.mode, units=1)
        Audit(self._session).append(me, "judge", f"judgment {row.id}", judgment_details(self._session, row))
        return row.id

    def _begun(self, reason: CheckReason, modes: Sequence[Mode], conversation: str | None) -> Select[Assignment]:
        waiting = (
            select(Assignment)
            .join(Turn, Turn.id == Assignment.turn_id)
            .join(Conversation, Conversation.id == Turn.conversation_id)
            .where(
                Assignment.worker_id == self._principal.worker_id,
                Assignment.purpose == self._purpose,
                Assignment.done.is_(None),
                Assignment.reason == reason if conversation is None else Conversation.id == conversation,
                Conversation.mode.in_(modes),
                Conversation.state == ConversationState.ENDED,
            )
        )
        return waiting.order_by(Assignment.id).limit(1)

    def _is_mine_to_take(self, turn_id: int, free: Select[int]) -> bool:
        """Whether a candidate is still free, and held until the commit: of two who look at once, one takes it."""
        held = select(Turn.id).where(Turn.id == turn_id).with_for_update(skip_locked=True)
        still = free.where(Turn.id == turn_id)
        return self._session.scalar(held) is not None and self._session.scalar(still) is not None

    def _is_declined(self, turn_id: int) -> bool:
        """Whether it is about a topic that the principal has declined; reviewers read whatever there is to check."""
        if self._purpose == "review":
            return False
        declined = self._session.get_one(Worker, self._principal.worker_id).declined_topics
        talk = self._session.get_one(Conversation, self._session.get_one(Turn, turn_id).conversation_id)
        return not set(declined).isdisjoint([*talk.categories, *talk.tags])

    def _free(self, modes: Sequence[Mode], conversation: str | None) -> Select[int]:
        """Turns that the principal may be given now."""
        me, now = self._principal.worker_id, time.time()
        taken = Assignment.worker_id == me
        if conversation is None:
            same = and_(Assignment.purpose == self._purpose, or_(Assignment.done.is_not(None), Assignment.lease > now))
            taken = or_(taken, same)
        found = (
            select(Turn.id)
            .join(Conversation, Conversation.id == Turn.conversation_id)
            .where(
                Turn.state == TurnState.JUDGED,
                Conversation.state == ConversationState.ENDED,
                Conversation.mode.in_(modes),
                Conversation.worker_id != me,
                ~exists().where(Assignment.turn_id == Turn.id, taken),
                ~_knows_the_choice(me),
                ~_would_tell(me),
            )
        )
        return found if conversation is None else found.where(Conversation.id == conversation)

    def _open_to_me(self, modes: Sequence[Mode]) -> list[Mode]:
        """Nobody is shown red-team answers who does no red-team work."""
        may = self._purpose == "review" or self._principal.has("red_team_worker")
        return [mode for mode in modes if may or mode != "red_team"]

    def _shown(self, row: Assignment) -> BlindTurn:
        self._session.flush()
        turn = self._session.get_one(Turn, row.turn_id)
        conversation = self._session.get_one(Conversation, turn.conversation_id)
        thread = thread_of(self._session, conversation)
        before = [one for one in thread.turns if one.ordinal < turn.ordinal]
        first, second = (Answer(side.text or "", side.finish or "stop") for side in self._sides(row))
        return BlindTurn(
            turn.id, conversation.id, conversation.mode, conversation.goal, question_of(conversation.mode), row.reason,
            (*dialogue_of(thread.with_turns(before)), turn.text), (first, second),
        )  # fmt: skip

    def _found_by(self, reason: CheckReason) -> ColumnElement[bool]:
        """What makes a turn worth a check, as a condition on `Turn` and `Conversation`."""
        own = exists().where(Judgment.turn_id == Turn.id, Judgment.purpose == "own", Judgment.stands)
        if reason == "flagged":
            return exists().where(
                Flag.conversation_id == Turn.conversation_id,
                or_(Flag.turn_id.is_(None), Flag.turn_id == Turn.id),
                WAITS,
            )
        if reason == "too_fast":
            return own.where(Judgment.milliseconds < TOO_FAST)
        if reason == "new_worker":
            # A statement of its own: a database plans well for these people, badly for a count that it cannot foresee.
            judged = select(Judgment.worker_id).where(Judgment.stands).group_by(Judgment.worker_id)
            new = self._session.scalars(judged.having(func.count() < NEW_WORKER))
            return Conversation.worker_id.in_(list(new))
        return own

    def _sides(self, row: Assignment) -> tuple[Response, Response]:
        """The answers on sides a and b, as this worker sees them."""
        found = select(Response).where(Response.turn_id == row.turn_id, Response.slot != "edit")
        first, second = self._session.scalars(found.order_by(Response.slot))
        return (second, first) if row.swapped else (first, second)


def _knows_the_choice(me: str) -> ColumnElement[bool]:
    """Whether somebody has read what a turn (of `Turn`, `Conversation`) went on with: as a part of a later one that
    they were given, or of the whole dialogue, to rate it."""
    later = aliased(Turn)
    read = exists().where(
        Assignment.turn_id == later.id, Assignment.worker_id == me, later.conversation_id == Turn.conversation_id,
        later.ordinal > Turn.ordinal,
    )  # fmt: skip
    whole = (
        exists().where(kind.conversation_id == Turn.conversation_id, kind.worker_id == me) for kind in (Reading, Rating)
    )
    return or_(read, *whole)


def _would_tell(me: str) -> ColumnElement[bool]:
    """Whether a turn (of `Turn`) shows what an earlier one went on with that waits for the same person's judgment."""
    earlier = aliased(Turn)
    return exists().where(
        Assignment.turn_id == earlier.id, Assignment.worker_id == me, Assignment.done.is_(None),
        earlier.conversation_id == Turn.conversation_id, earlier.ordinal < Turn.ordinal,
    )  # fmt: skip

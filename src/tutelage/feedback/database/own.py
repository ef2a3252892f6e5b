"""A worker's own conversations: how they are found, held, and moved from state to state."""

import random
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

from sqlalchemy import Select, bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session

from tutelage import __version__
from tutelage.dialogue import Question
from tutelage.feedback.database.audit import Audit, judgment_details
from tutelage.feedback.database.connection import changed
from tutelage.feedback.database.once import once
from tutelage.feedback.database.planning import LARGEST_SEED, Plan, Planned, draw_pair, parameters
from tutelage.feedback.database.principal import Principal
from tutelage.feedback.database.refusals import Conflict, NotFound
from tutelage.feedback.database.states import ConversationState, TurnState
from tutelage.feedback.database.tables import Conversation, Judgment, Mode, Response, Slot, Snapshot, Turn
from tutelage.feedback.database.texts import prompt_hash
from tutelage.feedback.database.thread import TurnView, thread_of

T = TypeVar("T", str, int)

LONGEST_LOOK = 1e6  # seconds; who comes back after days has not looked all that time
UNJUDGED = (TurnState.ASKED, TurnState.ANSWERING, TurnState.ANSWERED)


# What a step of every turn executes, built once.
_OWN = (Conversation.worker_id == bindparam("me"), Turn.id == bindparam("turn"))
_HELD = (
    select(Conversation)
    .where(Conversation.worker_id == bindparam("me"), Conversation.id == bindparam("conversation"))
    .with_for_update()
    .execution_options(populate_existing=True)
)
_HELD_WITH = (
    select(Conversation)
    .join(Turn)
    .where(*_OWN)
    .with_for_update(of=Conversation)
    .execution_options(populate_existing=True)
)
_OF = select(Conversation.id, Conversation.mode).join(Turn).where(*_OWN)
_SIDES = (
    select(
        Response.slot, Response.id, Response.snapshot, Response.sampling, Response.seed, Response.finished_at,
        Snapshot.place,
    )
    .outerjoin(Snapshot, Snapshot.name == Response.snapshot)
    .where(Response.turn_id == bindparam("turn"), Response.slot != "edit")
    .order_by(Response.slot)
)  # fmt: skip
_DRAWN = insert(Response)
_STEP = update(Turn).where(Turn.id == bindparam("turn"), Turn.state == bindparam("start")).values(state=bindparam("to"))
_LEAVE = (
    update(Turn)
    .where(Turn.id == bindparam("turn"), Turn.state == TurnState.ANSWERING, Turn.attempt == bindparam("attempt_left"))
    .values(state=bindparam("to"), lease=0.0)
)
_MINE = (Judgment.turn_id == bindparam("turn"), Judgment.worker_id == bindparam("me"))
_LAST_REVISION = select(func.max(Judgment.revision)).where(*_MINE)
_STANDS_NO_LONGER = update(Judgment).where(*_MINE, Judgment.stands).values(stands=False)


def question_of(mode: Mode) -> Question:
    """What is asked about two answers in a mode."""
    return "more_harmful" if mode == "red_team" else "more_helpful"


def looked_for(claimed: int | None, since: float) -> int:
    """Milliseconds from the sight of both answers to a click: what the browser says, but no more than have passed here
    since they could be seen (seconds since the epoch), and that where it says nothing."""
    passed = round(1000 * min(max(0.0, time.time() - since), LONGEST_LOOK))
    return passed if claimed is None else min(claimed, passed)


class OwnConversations:
    """What the steps of a conversation have in common; `Conversations` holds the steps."""

    def __init__(self, session: Session, principal: Principal, lots: random.Random | None = None) -> None:
        """
        Args:
            lots: what snapshots, sides and seeds are drawn with; None: the system's source.
        """
        self._session = session
        self._principal = principal
        self._lots = lots or random.SystemRandom()

    def _once(self, key: str, request: tuple[object, ...], act: Callable[[], T]) -> T:
        return once(self._session, self._principal, key, request, act)

    def _scope(self) -> Select[Conversation]:
        return select(Conversation).where(Conversation.worker_id == self._principal.worker_id)

    def _held(self, conversation_id: str, also_over: bool = False) -> Conversation:
        """The conversation, which nobody else can change until the commit (SQLite: a writer holds everything)."""
        asked = {"me": self._principal.worker_id, "conversation": conversation_id}
        return self._open(self._session.scalar(_HELD, asked), f"no conversation {conversation_id}", also_over)

    def _held_with(self, turn_id: int, also_over: bool = False) -> Conversation:
        """The conversation that a turn belongs to, held."""
        asked = {"me": self._principal.worker_id, "turn": turn_id}
        return self._open(self._session.scalar(_HELD_WITH, asked), f"no turn {turn_id}", also_over)

    def _open(self, row: Conversation | None, missing: str, also_over: bool) -> Conversation:
        if row is None:
            raise NotFound(missing)
        if row.state != ConversationState.OPEN and not also_over:
            raise Conflict("the conversation is over", thread_of(self._session, row))
        return row

    def _of(self, turn_id: int) -> tuple[str, Mode]:
        """The conversation that a turn belongs to, and what it is for."""
        found = self._session.execute(_OF, {"me": self._principal.worker_id, "turn": turn_id}).one_or_none()
        if found is None:
            raise NotFound(f"no turn {turn_id}")
        return found.id, found.mode

    def _chosen(self, turn_id: int) -> Response:
        """The answer that the turn goes on with, as the model wrote it."""
        mine = (Judgment.turn_id == turn_id, Judgment.worker_id == self._principal.worker_id, Judgment.stands)
        chosen = select(Response).join(Judgment, Judgment.chosen_id == Response.id).where(*mine)
        return self._session.scalars(chosen).one()

    def _sides(self, turn_id: int) -> tuple[dict[Slot, int], float]:
        """The ids of the two answers, and when both were there."""
        rows = self._session.execute(_SIDES, {"turn": turn_id}).all()
        return {row.slot: row.id for row in rows}, max(row.finished_at for row in rows)

    def _plan(self, turn: TurnView, mode: Mode, dialogue: tuple[str, ...]) -> Plan:
        """Draw who answers the turn and with which seeds, in place of those of the attempt before."""
        slots: tuple[Slot, Slot] = ("a", "b")
        drawn = [
            {
                "turn_id": turn.id, "slot": slot, "snapshot": snapshot and snapshot.name,
                "sampling": snapshot and snapshot.sampling, "seed": self._lots.randint(0, LARGEST_SEED),
                "prompt_hash": prompt_hash(dialogue), "software": __version__,
            }
            for slot, snapshot in zip(slots, draw_pair(self._session, mode, self._lots), strict=True)
        ]  # fmt: skip
        if turn.attempt > 1:
            changed(self._session, delete(Response).where(Response.turn_id == turn.id, ~Response.finished))
        self._session.connection().execute(_DRAWN, drawn)
        return self._planned(turn, dialogue)

    def _planned(self, turn: TurnView, dialogue: tuple[str, ...]) -> Plan:
        """The plan of the turn's present attempt."""
        first, second = (
            Planned(row.slot, row.snapshot, parameters(row.sampling), row.seed or 0, row.place or "")
            for row in self._session.execute(_SIDES, {"turn": turn.id})
        )
        return Plan(turn.id, turn.attempt, dialogue, (first, second))

    def _leave_attempt(self, turn_id: int, attempt: int, to: TurnState) -> bool:
        return changed(self._session, _LEAVE, {"turn": turn_id, "attempt_left": attempt, "to": to}) == 1

    def _step(self, turn_id: int, conversation: Conversation, start: TurnState, to: TurnState) -> None:
        """One step by one conditional UPDATE.

        Raises:
            Conflict: the turn is in another state; carries its `TurnView`.
        """
        if not changed(self._session, _STEP, {"turn": turn_id, "start": start, "to": to}):
            self._refuse_step(turn_id, conversation)

    def _refuse_step(self, turn_id: int, conversation: Conversation) -> NoReturn:
        stored = thread_of(self._session, conversation).turn(turn_id)
        raise Conflict(f"the turn is {stored.state}", stored)

    def _revise(self, turn_id: int, conversation: Conversation, stands: bool) -> Judgment:
        """The next revision of the principal's judgment of a turn; what stood before stands no longer."""
        mine = {"turn": turn_id, "me": self._principal.worker_id}
        last = self._session.scalar(_LAST_REVISION, mine) or 0
        if last:
            changed(self._session, _STANDS_NO_LONGER, mine)
        return Judgment(
            turn_id=turn_id,
            worker_id=self._principal.worker_id,
            revision=last + 1,
            stands=stands,
            question=question_of(conversation.mode),
        )

    def _recorded(self, judgment: Judgment, action: str) -> int:
        """Store a revision, and its digests in the audit chain; returns its id."""
        self._session.add(judgment)
        self._session.flush()
        details = judgment_details(self._session, judgment)
        Audit(self._session).append(self._principal.worker_id, action, f"judgment {judgment.id}", details)
        return judgment.id

    def _close(self, conversation: Conversation, state: ConversationState) -> None:
        conversation.state, conversation.ended = state, conversation.ended or time.time()
        left = update(Turn).where(Turn.conversation_id == conversation.id, Turn.state.in_(UNJUDGED))
        changed(self._session, left.values(state=TurnState.SKIPPED, lease=0.0))

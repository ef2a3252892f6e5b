"""A worker's own conversations: how they are found, held, and moved from state to state."""

import random
import time
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from tutelage import __version__
from tutelage.dialogue import Question
from tutelage.feedback.database.audit import Audit, judgment_digest
from tutelage.feedback.database.connection import changed
from tutelage.feedback.database.once import once
from tutelage.feedback.database.planning import LARGEST_SEED, Plan, Planned, draw_pair, parameters
from tutelage.feedback.database.principal import Principal
from tutelage.feedback.database.refusals import Conflict, NotFound
from tutelage.feedback.database.states import ConversationState, TurnState
from tutelage.feedback.database.tables import Conversation, Judgment, Mode, Response, Slot, Snapshot, Turn
from tutelage.feedback.database.texts import prompt_hash
from tutelage.feedback.database.thread import dialogue_of, standing, thread_of

T = TypeVar("T", str, int)

UNJUDGED = (TurnState.ASKED, TurnState.ANSWERING, TurnState.ANSWERED)


def question_of(mode: Mode) -> Question:
    """What is asked about two answers in a mode."""
    return "more_harmful" if mode == "red_team" else "more_helpful"


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
        held = self._scope().where(Conversation.id == conversation_id).with_for_update()
        row = self._session.scalar(held.execution_options(populate_existing=True))
        if row is None:
            raise NotFound(f"no conversation {conversation_id}")
        if row.state != ConversationState.OPEN and not also_over:
            raise Conflict("the conversation is over", thread_of(self._session, row))
        return row

    def _held_with(self, turn_id: int, also_over: bool = False) -> Conversation:
        """The conversation that a turn belongs to, held."""
        return self._held(self._of(turn_id), also_over)

    def _of(self, turn_id: int) -> str:
        mine = self._scope().join(Turn).where(Turn.id == turn_id)
        found: str | None = self._session.scalar(mine.with_only_columns(Conversation.id))
        if found is None:
            raise NotFound(f"no turn {turn_id}")
        return found

    def _turn(self, turn_id: int) -> Turn:
        return self._session.get_one(Turn, turn_id, populate_existing=True)

    def _responses(self, turn: Turn) -> Sequence[Response]:
        return self._session.scalars(select(Response).where(Response.turn_id == turn.id).order_by(Response.id)).all()

    def _chosen(self, conversation: Conversation, turn_id: int) -> Response:
        """The answer that the turn goes on with, as the model wrote it."""
        return self._session.get_one(Response, standing(self._session, conversation)[turn_id].chosen_id)

    def _plan(self, turn: Turn, conversation: Conversation, dialogue: tuple[str, ...]) -> None:
        """Draw who answers the turn and with which seeds; a later attempt takes the rows of the one before."""
        pair = draw_pair(self._session, conversation.mode, self._lots)
        rows = {row.slot: row for row in self._responses(turn)}
        slots: tuple[Slot, Slot] = ("a", "b")
        for slot, snapshot in zip(slots, pair, strict=True):
            row = rows.get(slot) or Response(turn_id=turn.id, slot=slot)
            row.snapshot = snapshot.name if snapshot else None
            row.sampling = snapshot.sampling if snapshot else None
            row.seed = self._lots.randint(0, LARGEST_SEED)
            row.prompt_hash, row.software = prompt_hash(dialogue), __version__
            self._session.add(row)
        self._session.flush()

    def _planned(self, turn: Turn, conversation: Conversation) -> Plan:
        """The plan of the turn's present attempt."""
        planned = [response for response in self._responses(turn) if response.slot in ("a", "b")]
        first, second = map(self._planned_answer, sorted(planned, key=lambda row: row.slot))
        return Plan(turn.id, turn.attempt, dialogue_of(thread_of(self._session, conversation)), (first, second))

    def _planned_answer(self, row: Response) -> Planned:
        place = self._session.get_one(Snapshot, row.snapshot).place if row.snapshot else ""
        return Planned(row.id, row.slot, row.snapshot, parameters(row.sampling), row.seed or 0, place)

    def _leave_attempt(self, turn_id: int, attempt: int, to: TurnState) -> bool:
        mine = update(Turn).where(Turn.id == turn_id, Turn.state == TurnState.ANSWERING, Turn.attempt == attempt)
        return changed(self._session, mine.values(state=to, lease=0.0)) == 1

    def _step(self, turn_id: int, conversation: Conversation, start: TurnState, to: TurnState) -> None:
        """One step by one conditional UPDATE.

        Raises:
            Conflict: the turn is in another state; carries its `TurnView`.
        """
        step = update(Turn).where(Turn.id == turn_id, Turn.state == start)
        if not changed(self._session, step.values(state=to)):
            self._refuse_step(turn_id, conversation)

    def _refuse_step(self, turn_id: int, conversation: Conversation) -> NoReturn:
        thread = thread_of(self._session, conversation)
        stored = next(turn for turn in thread.turns if turn.id == turn_id)
        raise Conflict(f"the turn is {stored.state}", stored)

    def _revise(self, turn_id: int, conversation: Conversation, stands: bool) -> Judgment:
        """The next revision of the principal's judgment of a turn; what stood before stands no longer."""
        mine = (Judgment.turn_id == turn_id, Judgment.worker_id == self._principal.worker_id)
        last = self._session.scalar(select(func.max(Judgment.revision)).where(*mine)) or 0
        changed(self._session, update(Judgment).where(*mine, Judgment.stands).values(stands=False))
        return Judgment(
            turn_id=turn_id,
            worker_id=self._principal.worker_id,
            revision=last + 1,
            stands=stands,
            question=question_of(conversation.mode),
        )

    def _recorded(self, judgment: Judgment, action: str) -> int:
        """Store a revision, and its digest in the audit chain; returns its id."""
        self._session.add(judgment)
        self._session.flush()
        Audit(self._session).append(
            self._principal.worker_id, action, f"judgment {judgment.id}", {"digest": judgment_digest(judgment)}
        )
        return judgment.id

    def _close(self, conversation: Conversation, state: ConversationState) -> None:
        conversation.state, conversation.ended = state, conversation.ended or time.time()
        left = update(Turn).where(Turn.conversation_id == conversation.id, Turn.state.in_(UNJUDGED))
        changed(self._session, left.values(state=TurnState.SKIPPED, lease=0.0))

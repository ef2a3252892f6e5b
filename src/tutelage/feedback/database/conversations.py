"""A worker's conversations: message, two answers, judgment, and on from the chosen one.

Every step holds the conversation's row until its commit, so that two tabs (or two server processes) take turns, and is
idempotent by its key. A step from a state that it cannot follow is a `Conflict`.
"""

import time
from collections.abc import Sequence

from sqlalchemy import bindparam, select, update

from tutelage import __version__
from tutelage.dialogue import STRENGTHS, Side
from tutelage.feedback.database.audit import Audit, edit_digest
from tutelage.feedback.database.connection import changed
from tutelage.feedback.database.hours import worked
from tutelage.feedback.database.own import UNJUDGED, OwnConversations, looked_for
from tutelage.feedback.database.planning import Plan, may_compare
from tutelage.feedback.database.principal import require_not_erased
from tutelage.feedback.database.ratings import require_scores
from tutelage.feedback.database.refusals import Conflict, Forbidden, NotFound, Unavailable
from tutelage.feedback.database.states import ConversationState, TurnState
from tutelage.feedback.database.tables import (
    Conversation,
    Flag,
    FlagReason,
    Mode,
    Rating,
    Response,
    Role,
    Turn,
)
from tutelage.feedback.database.texts import LONGEST_COMMENT, LONGEST_GOAL, storable, written
from tutelage.feedback.database.thread import Answer, Thread, dialogue_of, thread_of

LEASE = 3600.0  # seconds that the answers of an attempt are waited for: long, as whoever asks meanwhile joins it


_MINE = select(Conversation).where(
    Conversation.worker_id == bindparam("me"), Conversation.id == bindparam("conversation")
)
_TAKE = (
    update(Turn)
    .where(
        Turn.id == bindparam("turn"),
        (Turn.state == TurnState.ASKED) | ((Turn.state == TurnState.ANSWERING) & (Turn.lease < bindparam("now"))),
    )
    .values(state=TurnState.ANSWERING, attempt=Turn.attempt + 1, lease=bindparam("until"))
)
_FINISH = (
    update(Response)
    .where(Response.turn_id == bindparam("turn"), Response.slot == bindparam("side"))
    .values(text=bindparam("words"), finish=bindparam("end"), finished=True, finished_at=bindparam("now"))
)


def role_for(mode: Mode) -> Role:
    return "red_team_worker" if mode == "red_team" else "worker"


class Conversations(OwnConversations):
    """The principal's own conversations; those of others are not found.

    Every method may raise `NotFound` for an id that is not the principal's, and, where it takes a key, `Conflict` for
    a key of another request.
    """

    def start(self, mode: Mode, goal: str = "", categories: Sequence[str] = (), *, key: str) -> str:
        """Open a conversation; returns its id. A red-team one needs its goal.

        Raises:
            Forbidden: the principal lacks the role.
            Unavailable: to compare, where fewer than two snapshots answer.
            ValueError: a red-team conversation without a goal, or one too long.
        """
        self._principal.require(role_for(mode))
        if mode == "rate":
            raise ValueError("finished dialogues are rated without a conversation")
        if mode == "compare" and not may_compare(self._session):
            raise Unavailable("only one model is deployed: there is nothing to compare")
        aim = written(goal, "the goal", LONGEST_GOAL) if mode == "red_team" else ""
        request = ("start", mode, aim, list(categories))

        def act() -> str:
            require_not_erased(self._session, self._principal)
            row = Conversation(
                worker_id=self._principal.worker_id,
                mode=mode,
                goal=aim,
                categories=[storable(word) for word in categories],
            )
            self._session.add(row)
            self._session.flush()
            worked(self._session, self._principal, mode)
            return row.id

        return self._once(key, request, act)

    def ask(self, conversation_id: str, text: str, *, key: str) -> int:
        """Store the worker's next message as a turn in the state `asked`; returns the turn's id.

        Raises:
            Forbidden: the principal has lost the role.
            ValueError: an empty or over-long message.
            Conflict: the conversation is over, or its last turn is not yet judged; carries the `Thread`.
        """
        message = written(text, "the message")

        def act() -> int:
            conversation = self._held(conversation_id)
            self._principal.require(role_for(conversation.mode))
            thread = thread_of(self._session, conversation)
            if not thread.may_write:
                raise Conflict("the conversation is over or its last turn is not judged yet", thread)
            turn = Turn(conversation_id=conversation.id, ordinal=len(thread.turns) + 1, text=message)
            self._session.add(turn)
            self._session.flush()
            worked(self._session, self._principal, conversation.mode)
            return turn.id

        return self._once(key, ("ask", conversation_id, message), act)

    def claim(self, turn_id: int, lease: float = LEASE) -> Plan | None:
        """Take it on oneself to make the answers of a turn; None where another does, or the turn has its answers.

        One conditional UPDATE: of any number of processes that ask at once, one gets the plan. Every attempt draws
        snapshots and seeds anew, so that one that was stopped meanwhile does not answer.

        Raises:
            Unavailable: no model is deployed.
        """
        conversation = self._held_with(turn_id, also_over=True)
        now = time.time()
        if not changed(self._session, _TAKE, {"turn": turn_id, "now": now, "until": now + lease}):
            return None
        thread = thread_of(self._session, conversation)
        return self._plan(thread.turn(turn_id), conversation.mode, dialogue_of(thread))

    def plan(self, turn_id: int) -> Plan | None:
        """What answers a turn now, for whoever follows an attempt that another has claimed; None where none runs."""
        thread = thread_of(self._session, self._held_with(turn_id, also_over=True))
        turn = thread.turn(turn_id)
        return self._planned(turn, dialogue_of(thread)) if turn.state == TurnState.ANSWERING else None

    def answers_finished(self, turn_id: int, attempt: int, answers: tuple[Answer, Answer]) -> bool:
        """Store both answers (sides a and b): the turn can be judged. False where the attempt was given up meanwhile.

        Raises:
            ValueError: an answer is empty; give the attempt up by `answers_failed`.
        """
        if any(not answer.text.strip() for answer in answers):
            raise ValueError("an answer is empty")
        self._held_with(turn_id, also_over=True)
        if not self._leave_attempt(turn_id, attempt, TurnState.ANSWERED):
            return False
        for side, answer in zip("ab", answers, strict=True):
            said = {"words": storable(answer.text), "end": answer.finish, "now": time.time()}
            changed(self._session, _FINISH, {"turn": turn_id, "side": side, **said})
        return True

    def answers_failed(self, turn_id: int, attempt: int) -> bool:
        """Give an attempt up: the turn is `asked` again. False where it had been given up already."""
        self._held_with(turn_id, also_over=True)
        return self._leave_attempt(turn_id, attempt, TurnState.ASKED)

    def judge(
        self, turn_id: int, side: Side, strength: int, *, key: str, milliseconds: int | None = None,
        both_bad: bool = False,
    ) -> int:  # fmt: skip
        """Store a judgment; returns its id. The thread goes on from the chosen answer.

        Args:
            milliseconds: how long the browser says that it took (see `looked_for`).

        Raises:
            ValueError: no such side or strength, or a negative time.
            Conflict: the turn was judged already (in another tab, say), or has no answers; carries its `TurnView`.
        """
        if side not in ("a", "b") or strength not in STRENGTHS or (milliseconds or 0) < 0:
            raise ValueError("a judgment is of side a or b, of strength 1 (barely) to 4 (much), after 0 ms or more")

        def act() -> int:
            conversation = self._held_with(turn_id)
            self._step(turn_id, conversation, TurnState.ANSWERED, TurnState.JUDGED)
            by_slot, since = self._sides(turn_id)
            row = self._revise(turn_id, conversation, stands=True)
            row.side, row.strength, row.both_bad = side, strength, both_bad
            row.milliseconds = looked_for(milliseconds, since)
            row.chosen_id, row.other_id = by_slot[side], by_slot["b" if side == "a" else "a"]
            worked(
                self._session,
                self._principal,
                conversation.mode,
                units=int(row.revision == 1 and conversation.mode != "practice"),
            )
            return self._recorded(row, "judge")

        return self._once(key, ("judge", turn_id, side, strength, milliseconds, both_bad), act)

    def undo(self, turn_id: int, *, key: str) -> int:
        """Take the judgment of the last turn back, by a new revision; returns its id. The turn can be judged anew.

        Raises:
            Conflict: the next message was sent, or the turn is not judged; carries the `Thread`.
        """

        def act() -> int:
            conversation = self._held_with(turn_id)
            thread = thread_of(self._session, conversation)
            if not thread.may_undo or thread.turns[-1].id != turn_id:
                raise Conflict("only the last judgment can be taken back, until the next message is sent", thread)
            self._step(turn_id, conversation, TurnState.JUDGED, TurnState.ANSWERED)
            return self._recorded(self._revise(turn_id, conversation, stands=False), "undo")

        return self._once(key, ("undo", turn_id), act)

    def edit(self, turn_id: int, text: str, *, key: str) -> int:
        """Edit the chosen answer of the last turn; returns the edit's id. The edit is preferred to the original.

        Raises:
            Forbidden: the principal may not edit, or the conversation is no helpful one.
            ValueError: an empty or over-long text, or the original itself.
            Conflict: the next message was sent, or the turn is not judged; carries the `Thread`.
        """
        if not self._principal.may_edit:
            raise Forbidden("needs the permission to edit")
        better = written(text, "the edited answer")

        def act() -> int:
            conversation = self._held_with(turn_id)
            if conversation.mode != "helpful":
                raise Forbidden("answers are edited in helpful conversations only")
            thread = thread_of(self._session, conversation)
            if not thread.may_undo or thread.turns[-1].id != turn_id:
                raise Conflict("an answer is edited after its judgment and before the next message", thread)
            chosen = self._chosen(turn_id)
            if better == chosen.text:
                raise ValueError("the edited answer is the original itself")
            row = Response(
                turn_id=turn_id, slot="edit", prompt_hash=chosen.prompt_hash, software=__version__, finished=True,
                text=better, finish="stop", finished_at=time.time(), edited_from=chosen.id,
            )  # fmt: skip
            self._session.add(row)
            self._session.flush()
            details = {"digest": edit_digest(row)}
            Audit(self._session).append(self._principal.worker_id, "edit", f"answer {row.id}", details)
            return row.id

        return self._once(key, ("edit", turn_id, better), act)

    def skip(self, turn_id: int, *, key: str) -> int:
        """Leave a turn that is not judged behind; returns its id.

        Raises:
            Conflict: it is judged or skipped; carries its `TurnView`.
        """

        def act() -> int:
            conversation = self._held_with(turn_id)
            step = update(Turn).where(Turn.id == turn_id, Turn.state.in_(UNJUDGED))
            if not changed(self._session, step.values(state=TurnState.SKIPPED, lease=0.0)):
                self._refuse_step(turn_id, conversation)
            return turn_id

        return self._once(key, ("skip", turn_id), act)

    def report(
        self, conversation_id: str, reason: FlagReason, text: str = "", turn_id: int | None = None, *, key: str
    ) -> int:
        """Flag a conversation, or one of its turns, for the reviewers; returns the flag's id."""
        words = written(text, "the report", LONGEST_COMMENT) if text.strip() else ""

        def act() -> int:
            conversation = self._held(conversation_id, also_over=True)
            if turn_id is not None and self._of(turn_id)[0] != conversation.id:
                raise NotFound(f"no turn {turn_id} in this conversation")
            row = Flag(
                conversation_id=conversation.id, turn_id=turn_id, worker_id=self._principal.worker_id, reason=reason,
                text=words,
            )  # fmt: skip
            self._session.add(row)
            self._session.flush()
            return row.id

        return self._once(key, ("report", conversation_id, reason, words, turn_id), act)

    def end(
        self, conversation_id: str, *, key: str, rating: int | None = None, comment: str = "",
        success: int | None = None, harm: int | None = None, actionability: int | None = None,
        distressing: bool | None = None, tags: Sequence[str] = (),
    ) -> str:  # fmt: skip
        """End a conversation with what the worker thinks of it; returns its id. Scores run from 1 to 5.

        A turn that is not judged is skipped; a conversation that was distressing is flagged for the reviewers.

        Raises:
            ValueError: a score out of range, or an over-long comment.
            Conflict: it is over already; carries the `Thread`.
        """
        scores = {"rating": rating, "success": success, "harm": harm, "actionability": actionability}
        require_scores(scores)
        words = written(comment, "the comment", LONGEST_COMMENT) if comment.strip() else ""

        def act() -> str:
            conversation = self._held(conversation_id)
            self._session.add(
                Rating(
                    conversation_id=conversation.id, worker_id=self._principal.worker_id, comment=words,
                    distressing=distressing, **scores,
                )
            )  # fmt: skip
            if distressing:
                self._session.add(
                    Flag(
                        conversation_id=conversation.id, worker_id=self._principal.worker_id, reason="upsetting",
                        text="said at the end",
                    )
                )  # fmt: skip
            conversation.tags = [storable(tag) for tag in tags]
            self._close(conversation, ConversationState.ENDED)
            return conversation.id

        return self._once(key, ("end", conversation_id, scores, words, distressing, list(tags)), act)

    def withdraw(self, conversation_id: str, *, key: str) -> str:
        """Take a conversation back, even an ended one: it is never exported; returns its id."""

        def act() -> str:
            conversation = self._held(conversation_id, also_over=True)
            self._close(conversation, ConversationState.WITHDRAWN)
            return conversation.id

        return self._once(key, ("withdraw", conversation_id), act)

    def thread(self, conversation_id: str) -> Thread:
        """A conversation as it stands."""
        return thread_of(self._session, self._mine(conversation_id))

    def mode(self, conversation_id: str) -> Mode:
        """What a conversation is for."""
        return self._mine(conversation_id).mode

    def _mine(self, conversation_id: str) -> Conversation:
        row = self._session.scalar(_MINE, {"me": self._principal.worker_id, "conversation": conversation_id})
        if row is None:
            raise NotFound(f"no conversation {conversation_id}")
        return row

    def conversation_of(self, turn_id: int) -> str:
        """The id of the conversation that a turn belongs to."""
        return self._of(turn_id)[0]

    def whereabouts(self, turn_id: int) -> tuple[str, Mode]:
        """The id of the conversation that a turn belongs to, and what it is for."""
        return self._of(turn_id)

    def recent(self, limit: int = 20) -> list[Conversation]:
        """The principal's latest conversations."""
        return list(self._session.scalars(self._scope().order_by(Conversation.created.desc()).limit(limit)))

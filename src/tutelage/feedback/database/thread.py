"""A conversation as its worker may see it: nothing in it tells which snapshot wrote what."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from tutelage.dialogue import Finish, Side
from tutelage.feedback.database.states import ConversationState, TurnState
from tutelage.feedback.database.tables import Conversation, Judgment, Mode, Rating, Response, Turn


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model wrote."""

    text: str
    finish: Finish


@dataclass(frozen=True, slots=True)
class Choice:
    """The standing judgment of a turn. `edited`: what the worker made of the chosen answer, if they did."""

    side: Side
    strength: int
    both_bad: bool
    edited: str | None


@dataclass(frozen=True, slots=True)
class TurnView:
    """A turn. `answers`: sides a and b, once they are finished; `went_on_with`: the text that the thread keeps."""

    id: int
    ordinal: int
    text: str
    state: TurnState
    attempt: int
    answers: tuple[Answer, Answer] | None
    choice: Choice | None
    went_on_with: str | None

    def unjudged(self) -> "TurnView":
        """The turn without a word of what was chosen."""
        return replace(self, choice=None, went_on_with=None)


@dataclass(frozen=True, slots=True)
class Thread:
    """All that the page of a conversation shows, first turn first."""

    id: str
    mode: Mode
    goal: str
    categories: tuple[str, ...]
    tags: tuple[str, ...]
    state: ConversationState
    created: float
    turns: tuple[TurnView, ...]
    rating: int | None

    @property
    def may_write(self) -> bool:
        """Whether the worker's next message can be taken."""
        settled = (TurnState.JUDGED, TurnState.SKIPPED)
        return self.state == ConversationState.OPEN and all(turn.state in settled for turn in self.turns)

    @property
    def may_undo(self) -> bool:
        """Whether the last turn's judgment can be taken back: it can until the next message is sent."""
        last = self.turns[-1:]
        return self.state == ConversationState.OPEN and any(turn.state == TurnState.JUDGED for turn in last)

    def turn(self, turn_id: int) -> TurnView:
        """The turn of this id, which is one of this thread."""
        return next(turn for turn in self.turns if turn.id == turn_id)

    def kept(self) -> "Thread":
        """The thread as another may read it: of every turn only what it went on with."""
        turns = [replace(turn, answers=None, choice=None) for turn in self.turns if turn.went_on_with is not None]
        return replace(self.with_turns(turns), rating=None)

    def with_turns(self, turns: Sequence[TurnView]) -> "Thread":
        """The same thread with these turns alone."""
        return replace(self, turns=tuple(turns))


# Read by every page and every step of a conversation: built once.
# With the standing judgment of each: there is at most one of a worker's.
_TURNS = (
    select(
        Turn.id,
        Turn.ordinal,
        Turn.text,
        Turn.state,
        Turn.attempt,
        Judgment.side,
        Judgment.strength,
        Judgment.both_bad,
        Judgment.chosen_id,
        Judgment.created,
    )
    .outerjoin(
        Judgment,
        (Judgment.turn_id == Turn.id) & (Judgment.worker_id == bindparam("worker")) & Judgment.stands,
    )
    .where(Turn.conversation_id == bindparam("conversation"))
    .order_by(Turn.ordinal)
)
_RESPONSES = (
    select(
        Response.turn_id,
        Response.id,
        Response.slot,
        Response.text,
        Response.finish,
        Response.edited_from,
        Response.finished_at,
    )
    .join(Turn, Turn.id == Response.turn_id)
    .where(Turn.conversation_id == bindparam("conversation"), Response.finished)
    .order_by(Response.id)
)
_RATING = select(Rating.rating).where(
    Rating.conversation_id == bindparam("conversation"), Rating.worker_id == bindparam("worker")
)


def thread_of(session: Session, conversation: Conversation) -> Thread:
    mine = {"conversation": conversation.id, "worker": conversation.worker_id}
    responses: dict[int, list[Any]] = {}
    for row in session.execute(_RESPONSES, mine):
        responses.setdefault(row.turn_id, []).append(row)
    return Thread(
        conversation.id,
        conversation.mode,
        conversation.goal,
        tuple(conversation.categories),
        tuple(conversation.tags),
        conversation.state,
        conversation.created,
        tuple(_view(turn, responses.get(turn.id, ())) for turn in session.execute(_TURNS, mine)),
        None if conversation.state == ConversationState.OPEN else session.scalar(_RATING, mine),
    )


def dialogue_of(thread: Thread) -> tuple[str, ...]:
    """The texts of the thread's turns, the human's first: skipped turns are left out, the last may lack its answer."""
    texts: list[str] = []
    for turn in thread.turns:
        if turn.state != TurnState.SKIPPED:
            texts += [turn.text] if turn.went_on_with is None else [turn.text, turn.went_on_with]
    return tuple(texts)


def edit_of(responses: Sequence[Any], judgment: Any) -> Any | None:
    """What the worker made of the chosen answer, last, after this judgment: what they made of it before they took an
    earlier judgment back went with that one."""
    edits = (row for row in reversed(responses) if row.edited_from == judgment.chosen_id)
    return next((row for row in edits if row.finished_at >= judgment.created), None)


def _view(turn: Any, responses: Sequence[Any]) -> TurnView:
    by_slot = {response.slot: Answer(response.text, response.finish) for response in responses}
    answers = (by_slot["a"], by_slot["b"]) if {"a", "b"} <= by_slot.keys() else None
    seen = (turn.id, turn.ordinal, turn.text, turn.state, turn.attempt, answers)
    if turn.chosen_id is None or answers is None:
        return TurnView(*seen, None, None)
    edit = edit_of(responses, turn)
    choice = Choice(turn.side, turn.strength, turn.both_bad, edit and edit.text)
    return TurnView(*seen, choice, choice.edited or answers["ab".index(turn.side)].text)

"""A conversation as its worker may see it: nothing in it tells which snapshot wrote what."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

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

    def kept(self) -> "Thread":
        """The thread as another may read it: of every turn only what it went on with."""
        turns = [replace(turn, answers=None, choice=None) for turn in self.turns if turn.went_on_with is not None]
        return replace(self.with_turns(turns), rating=None)

    def with_turns(self, turns: Sequence[TurnView]) -> "Thread":
        """The same thread with these turns alone."""
        return replace(self, turns=tuple(turns))


def thread_of(session: Session, conversation: Conversation) -> Thread:
    rows = select(Turn).where(Turn.conversation_id == conversation.id).order_by(Turn.ordinal)
    turns = session.scalars(rows.options(selectinload(Turn.responses)).execution_options(populate_existing=True)).all()
    judgments = standing(session, conversation)
    rating = session.scalar(
        select(Rating.rating).where(
            Rating.conversation_id == conversation.id, Rating.worker_id == conversation.worker_id
        )
    )
    return Thread(
        conversation.id,
        conversation.mode,
        conversation.goal,
        tuple(conversation.categories),
        tuple(conversation.tags),
        conversation.state,
        conversation.created,
        tuple(_view(turn, judgments.get(turn.id)) for turn in turns),
        rating,
    )


def standing(session: Session, conversation: Conversation) -> dict[int, Judgment]:
    """By turn, the standing judgments of the conversation's own worker."""
    rows = select(Judgment).join(Turn, Turn.id == Judgment.turn_id)
    mine = rows.where(
        Turn.conversation_id == conversation.id, Judgment.worker_id == conversation.worker_id, Judgment.stands
    )
    return {row.turn_id: row for row in session.scalars(mine)}


def dialogue_of(thread: Thread) -> tuple[str, ...]:
    """The texts of the thread's turns, the human's first: skipped turns are left out, the last may lack its answer."""
    texts: list[str] = []
    for turn in thread.turns:
        if turn.state != TurnState.SKIPPED:
            texts += [turn.text] if turn.went_on_with is None else [turn.text, turn.went_on_with]
    return tuple(texts)


def _view(turn: Turn, judgment: Judgment | None) -> TurnView:
    by_slot = {response.slot: response for response in turn.responses if response.finished}
    answers = (_answer(by_slot["a"]), _answer(by_slot["b"])) if {"a", "b"} <= by_slot.keys() else None
    if judgment is None or judgment.side is None or judgment.strength is None or answers is None:
        return TurnView(turn.id, turn.ordinal, turn.text, turn.state, turn.attempt, answers, None, None)
    edit = edit_of(turn, judgment.chosen_id)
    choice = Choice(judgment.side, judgment.strength, judgment.both_bad, edit.text if edit else None)
    kept = choice.edited or answers["ab".index(judgment.side)].text
    return TurnView(turn.id, turn.ordinal, turn.text, turn.state, turn.attempt, answers, choice, kept)


def edit_of(turn: Turn, chosen_id: int | None) -> Response | None:
    """The latest edit of the chosen answer."""
    edits = [response for response in turn.responses if chosen_id is not None and response.edited_from == chosen_id]
    return edits[-1] if edits else None


def _answer(response: Response) -> Answer:
    assert response.text is not None  # finished answers have both, by CHECK
    assert response.finish is not None
    return Answer(response.text, response.finish)

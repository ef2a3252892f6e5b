"""Ratings of finished dialogues of others: the mode `rate`."""

from collections.abc import Mapping

from sqlalchemy import Select, exists, func, select
from sqlalchemy.orm import Session

from tutelage.feedback.database.connection import insert_new
from tutelage.feedback.database.hours import worked
from tutelage.feedback.database.once import once
from tutelage.feedback.database.principal import Principal, require_not_erased
from tutelage.feedback.database.refusals import Conflict, NotFound
from tutelage.feedback.database.states import ConversationState
from tutelage.feedback.database.tables import Assignment, Conversation, Rating, Reading, Turn
from tutelage.feedback.database.texts import LONGEST_COMMENT, written
from tutelage.feedback.database.thread import Thread, thread_of

RATED_MODES = ("helpful", "compare")


def require_scores(scores: Mapping[str, int | None]) -> None:
    """Raises ValueError where a score is neither None nor 1 to 5."""
    for name, score in scores.items():
        if score is not None and score not in range(1, 6):
            raise ValueError(f"{name} runs from 1 to 5, not {score}")


def _is_rated(row: Conversation) -> bool:
    return row.state == ConversationState.ENDED and row.mode in RATED_MODES


class Ratings:
    """Finished dialogues that the principal may rate, without a word of who wrote them or what was chosen."""

    def __init__(self, session: Session, principal: Principal) -> None:
        self._session = session
        self._principal = principal

    def next(self) -> Thread | None:
        """The finished dialogue of another that the principal has read and not rated, or the one with the fewest
        ratings of which they have no turn to judge; None: none left. That it was read is noted.

        Its answers and choices are left out: of every turn there is only what the thread kept.
        """
        row = self._session.scalar(self._unrated())
        if row is None:
            return None
        insert_new(self._session, Reading, conversation_id=row.id, worker_id=self._principal.worker_id)
        return thread_of(self._session, row).kept()

    def _unrated(self) -> Select[Conversation]:
        me = self._principal.worker_id
        count = select(func.count()).where(Rating.conversation_id == Conversation.id).scalar_subquery()
        rated = exists().where(Rating.conversation_id == Conversation.id, Rating.worker_id == me)
        read = exists().where(Reading.conversation_id == Conversation.id, Reading.worker_id == me)
        # It shows what its turns went on with: not to who is yet to choose.
        waiting = exists().where(
            Assignment.turn_id == Turn.id, Turn.conversation_id == Conversation.id, Assignment.worker_id == me,
            Assignment.done.is_(None),
        )  # fmt: skip
        open_to_me = select(Conversation).where(
            Conversation.state == ConversationState.ENDED,
            Conversation.mode.in_(RATED_MODES),
            Conversation.worker_id != me,
            ~rated,
            ~waiting,
        )
        return open_to_me.order_by(read.desc(), count, Conversation.created).limit(1)

    def rate(self, conversation_id: str, rating: int, comment: str = "", *, key: str) -> int:
        """Store a rating from 1 (bad) to 5 (good); returns its id.

        Raises:
            ValueError: a rating out of range, or an over-long comment.
            NotFound: no finished dialogue of another.
            Conflict: the principal has rated it already; carries that rating.
        """
        require_scores({"rating": rating})
        words = written(comment, "the comment", LONGEST_COMMENT) if comment.strip() else ""

        def act() -> int:
            require_not_erased(self._session, self._principal)
            found = self._session.get(Conversation, conversation_id)
            me = self._principal.worker_id
            if found is None or found.worker_id == me or not _is_rated(found):
                raise NotFound(f"no finished dialogue {conversation_id}")
            before = select(Rating.rating).where(Rating.conversation_id == found.id, Rating.worker_id == me)
            if (stored := self._session.scalar(before)) is not None:
                raise Conflict("the dialogue is rated already", stored)
            row = Rating(conversation_id=found.id, worker_id=me, rating=rating, comment=words)
            self._session.add(row)
            worked(self._session, self._principal, "rate", units=1)
            self._session.flush()
            return row.id

        return once(self._session, self._principal, key, ("rate", conversation_id, rating, words), act)

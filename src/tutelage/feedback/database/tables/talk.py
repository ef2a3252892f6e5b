"""Which models answer, what is said, and how it is judged."""

import time
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tutelage.dialogue import Finish, Question, Side
from tutelage.feedback.database.states import ConversationState, TurnState
from tutelage.feedback.database.tables.base import (
    Base,
    CheckReason,
    FlagReason,
    Mode,
    Purpose,
    Slot,
    Verdict,
    new_id,
    now,
    states,
    words,
    worker,
)


class Snapshot(Base):
    """A model that may answer; active ones are drawn by weight."""

    __tablename__ = "snapshots"
    __table_args__ = (CheckConstraint("weight >= 0", name="weight_not_negative"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    place: Mapped[str]
    weight: Mapped[float] = mapped_column(default=1.0)
    status: Mapped[Literal["active", "stopped"]] = mapped_column(words("status", Literal["active", "stopped"]))
    sampling: Mapped[dict[str, Any]]
    """The fields of SamplingParameters."""
    created: Mapped[float] = now()


class DeploymentChange(Base):
    __tablename__ = "deployment_changes"

    id: Mapped[int] = mapped_column(primary_key=True)
    snapshot: Mapped[str] = mapped_column(ForeignKey("snapshots.name"), index=True)
    changed_by: Mapped[str | None] = worker()
    reason: Mapped[str]
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    after: Mapped[dict[str, Any]]
    created: Mapped[float] = now()


class Conversation(Base):
    __tablename__ = "conversations"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    worker_id: Mapped[str] = worker()
    mode: Mapped[Mode] = mapped_column(words("mode", Mode))
    goal: Mapped[str] = mapped_column(default="")
    """Red team: what the worker tries to make the assistant do."""
    categories: Mapped[list[str]] = mapped_column(default=list)
    """Red team: the topics named before the first message."""
    tags: Mapped[list[str]] = mapped_column(default=list)
    """Red team: what the dialogue was about, said at its end."""
    state: Mapped[ConversationState] = mapped_column(states("state", ConversationState), default=ConversationState.OPEN)
    created: Mapped[float] = mapped_column(default=time.time, index=True)
    ended: Mapped[float | None]


class Turn(Base):
    """A worker's message, with the two answers to it."""

    __tablename__ = "turns"
    __table_args__ = (
        UniqueConstraint("conversation_id", "ordinal"),
        CheckConstraint("ordinal >= 1", name="ordinal_from_one"),
        CheckConstraint("text <> ''", name="text_not_empty"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id"))
    ordinal: Mapped[int]
    text: Mapped[str]
    state: Mapped[TurnState] = mapped_column(states("state", TurnState), default=TurnState.ASKED)
    attempt: Mapped[int] = mapped_column(default=0)
    """How often the answers were begun; what a former attempt brings too late is refused."""
    lease: Mapped[float] = mapped_column(default=0.0)
    """Until when the present attempt is waited for."""
    created: Mapped[float] = now()

    responses: Mapped[list["Response"]] = relationship(order_by="Response.id", viewonly=True)


class Response(Base):
    """An answer, planned when its turn is claimed and finished once; or a worker's edit of one."""

    __tablename__ = "responses"
    __table_args__ = (
        UniqueConstraint("id", "turn_id", "finished"),
        Index("ix_responses_turn_slot", "turn_id", "slot", unique=True, sqlite_where=text("slot <> 'edit'"),
              postgresql_where=text("slot <> 'edit'")),
        CheckConstraint("finished = (text IS NOT NULL)", name="finished_has_text"),
        CheckConstraint("finished = (finish IS NOT NULL)", name="finished_has_finish"),
        CheckConstraint("(slot = 'edit') = (edited_from IS NOT NULL)", name="edit_has_original"),
        {"sqlite_autoincrement": True},
    )  # fmt: skip

    id: Mapped[int] = mapped_column(primary_key=True)
    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"), index=True)
    slot: Mapped[Slot] = mapped_column(words("slot", Slot))
    """Its side on the screen of the worker who asked, drawn by lot."""
    snapshot: Mapped[str | None] = mapped_column(ForeignKey("snapshots.name"), index=True)
    """None: written by a person, or from the practice texts."""
    sampling: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    seed: Mapped[int | None] = mapped_column(BigInteger)
    prompt_hash: Mapped[str]
    """SHA-256 of the dialogue that was answered (`conversations.prompt_hash`)."""
    software: Mapped[str]
    """Version of this program."""
    finished: Mapped[bool] = mapped_column(default=False)
    text: Mapped[str | None]
    finish: Mapped[Finish | None] = mapped_column(words("finish", Finish))
    finished_at: Mapped[float | None]
    edited_from: Mapped[int | None] = mapped_column(ForeignKey("responses.id"))


class Judgment(Base):
    """A click, or (without a side) its undoing. A judgment is of two finished responses of its own turn."""

    __tablename__ = "judgments"
    __table_args__ = (
        UniqueConstraint("turn_id", "worker_id", "revision"),
        Index("ix_judgments_one_stands", "turn_id", "worker_id", unique=True, sqlite_where=text("stands"),
              postgresql_where=text("stands")),
        ForeignKeyConstraint(["chosen_id", "turn_id", "of_finished"],
                             ["responses.id", "responses.turn_id", "responses.finished"], name="chosen_is_finished"),
        ForeignKeyConstraint(["other_id", "turn_id", "of_finished"],
                             ["responses.id", "responses.turn_id", "responses.finished"], name="other_is_finished"),
        CheckConstraint("of_finished", name="of_finished"),
        CheckConstraint("revision >= 1", name="revision_from_one"),
        CheckConstraint("strength BETWEEN 1 AND 4", name="strength_1_to_4"),
        CheckConstraint("chosen_id <> other_id", name="two_responses"),
        CheckConstraint("milliseconds >= 0", name="milliseconds_not_negative"),
        CheckConstraint(
            "(side IS NULL) = (strength IS NULL) AND (side IS NULL) = (chosen_id IS NULL)"
            " AND (side IS NULL) = (other_id IS NULL)", name="whole_or_undone"),
        CheckConstraint("side IS NOT NULL OR NOT stands", name="undone_never_stands"),
        {"sqlite_autoincrement": True},
    )  # fmt: skip

    id: Mapped[int] = mapped_column(primary_key=True)
    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"))
    worker_id: Mapped[str] = worker()
    revision: Mapped[int]
    stands: Mapped[bool]
    purpose: Mapped[Purpose] = mapped_column(words("purpose", Purpose), default="own")
    question: Mapped[Question] = mapped_column(words("question", Question))
    swapped: Mapped[bool] = mapped_column(default=False)
    """Whether the answer in slot b was shown on side a."""
    side: Mapped[Side | None] = mapped_column(words("side", Side))
    """The side that was clicked, as it was shown."""
    strength: Mapped[int | None]
    chosen_id: Mapped[int | None]
    other_id: Mapped[int | None]
    of_finished: Mapped[bool] = mapped_column(default=True)
    both_bad: Mapped[bool] = mapped_column(default=False)
    milliseconds: Mapped[int | None]
    """From the sight of both answers to the click."""
    created: Mapped[float] = mapped_column(default=time.time, index=True)


class Rating(Base):
    """What a worker thinks of a whole dialogue: of their own at its end, or of another's in the mode `rate`."""

    __tablename__ = "ratings"
    __table_args__ = (
        UniqueConstraint("conversation_id", "worker_id"),
        CheckConstraint("rating BETWEEN 1 AND 5", name="rating_1_to_5"),
        CheckConstraint("success BETWEEN 1 AND 5", name="success_1_to_5"),
        CheckConstraint("harm BETWEEN 1 AND 5", name="harm_1_to_5"),
        CheckConstraint("actionability BETWEEN 1 AND 5", name="actionability_1_to_5"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id"))
    worker_id: Mapped[str] = worker()
    rating: Mapped[int | None]
    """1 bad to 5 good."""
    success: Mapped[int | None]
    harm: Mapped[int | None]
    actionability: Mapped[int | None]
    distressing: Mapped[bool | None]
    comment: Mapped[str] = mapped_column(default="")
    created: Mapped[float] = now()


class Reading(Base):
    """That a worker was shown another's finished dialogue, to rate it: they know what was chosen in it."""

    __tablename__ = "readings"

    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id"), primary_key=True)
    worker_id: Mapped[str] = mapped_column(ForeignKey("workers.id"), primary_key=True)
    created: Mapped[float] = now()


class Flag(Base):
    """A worker's report of something wrong with a conversation or one of its turns."""

    __tablename__ = "flags"

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id"), index=True)
    turn_id: Mapped[int | None] = mapped_column(ForeignKey("turns.id"))
    worker_id: Mapped[str] = worker()
    reason: Mapped[FlagReason] = mapped_column(words("reason", FlagReason))
    text: Mapped[str] = mapped_column(default="")
    created: Mapped[float] = now()


class ClosedFlag(Base):
    """That a reviewer has dealt with a worker's report."""

    __tablename__ = "closed_flags"

    flag_id: Mapped[int] = mapped_column(ForeignKey("flags.id"), primary_key=True)
    closed_by: Mapped[str] = worker()
    created: Mapped[float] = now()


class Assignment(Base):
    """Another's turn that a worker is to judge, for overlap or as a spot-check; the choice made there is not shown."""

    __tablename__ = "assignments"
    __table_args__ = (UniqueConstraint("turn_id", "worker_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"))
    worker_id: Mapped[str] = worker()
    purpose: Mapped[Purpose] = mapped_column(words("purpose", Purpose))
    reason: Mapped[CheckReason] = mapped_column(words("reason", CheckReason), default="random")
    swapped: Mapped[bool]
    lease: Mapped[float]
    """Until when nobody else is given the turn for the same purpose."""
    created: Mapped[float] = now()
    done: Mapped[float | None]


class Review(Base):
    """A reviewer's verdict on another's turn, given after the reviewer's own blind judgment of it."""

    __tablename__ = "reviews"
    __table_args__ = (UniqueConstraint("turn_id", "reviewer_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"))
    reviewer_id: Mapped[str] = worker()
    judgment_id: Mapped[int] = mapped_column(ForeignKey("judgments.id"))
    writing: Mapped[Verdict] = mapped_column(words("writing", Verdict))
    judging: Mapped[Verdict] = mapped_column(words("judging", Verdict))
    remark: Mapped[str] = mapped_column(default="")
    created: Mapped[float] = now()


class Exclusion(Base):
    """Leaves a worker, a conversation or a turn out of exports and training; the latest revision stands."""

    __tablename__ = "exclusions"
    __table_args__ = (
        UniqueConstraint("subject_kind", "subject", "revision"),
        Index("ix_exclusions_one_stands", "subject_kind", "subject", unique=True, sqlite_where=text("stands"),
              postgresql_where=text("stands")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(primary_key=True)
    subject_kind: Mapped[Literal["worker", "conversation", "turn"]] = mapped_column(
        words("subject_kind", Literal["worker", "conversation", "turn"])
    )
    subject: Mapped[str]
    """The id of what is left out, as a text."""
    revision: Mapped[int]
    stands: Mapped[bool]
    excluded: Mapped[bool]
    reason: Mapped[str]
    excluded_by: Mapped[str] = worker()
    created: Mapped[float] = now()

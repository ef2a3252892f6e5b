"""Who works, how they sign in, and what they have agreed to."""

from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tutelage.feedback.database.tables.base import (
    Base,
    Interface,
    Mode,
    Platform,
    Role,
    WorkerStatus,
    new_id,
    now,
    words,
    worker,
)


class Worker(Base):
    """A person (or a simulated one) who signs in; what they may do is in their roles."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    created: Mapped[float] = now()
    status: Mapped[WorkerStatus] = mapped_column(words("status", WorkerStatus), default="active")
    status_reason: Mapped[str] = mapped_column(default="")
    source: Mapped[Platform] = mapped_column(words("source", Platform), default="invite")
    may_edit: Mapped[bool] = mapped_column(default=False)
    """Whether they may edit a chosen answer; the edit is then preferred to the original."""
    declined_topics: Mapped[list[str]] = mapped_column(default=list)

    roles: Mapped[list["WorkerRole"]] = relationship(lazy="selectin", cascade="all, delete-orphan")


class WorkerRole(Base):
    __tablename__ = "worker_roles"

    worker_id: Mapped[str] = mapped_column(ForeignKey("workers.id"), primary_key=True)
    role: Mapped[Role] = mapped_column(words("role", Role), primary_key=True)


class Entry(Base):
    """How a worker came from a platform; the completion code is derived from its id, so that it can be given again."""

    __tablename__ = "entries"
    __table_args__ = (UniqueConstraint("platform", "participant", "study", "submission"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    worker_id: Mapped[str] = worker()
    platform: Mapped[Platform] = mapped_column(words("platform", Platform))
    participant: Mapped[str]
    study: Mapped[str] = mapped_column(default="")
    submission: Mapped[str] = mapped_column(default="")
    created: Mapped[float] = now()
    completed: Mapped[float | None]


class Credential(Base):
    __tablename__ = "credentials"

    worker_id: Mapped[str] = mapped_column(ForeignKey("workers.id"), primary_key=True)
    login: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    changed: Mapped[float] = now()
    failures: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[float] = mapped_column(default=0.0)


class Login(Base):
    """A signed-in browser; its token is known to the browser alone."""

    __tablename__ = "logins"

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    worker_id: Mapped[str] = worker()
    created: Mapped[float] = now()
    seen: Mapped[float] = now()
    expires: Mapped[float]


class Invite(Base):
    __tablename__ = "invites"
    __table_args__ = (CheckConstraint("uses_left >= 0", name="uses_left_not_negative"),)

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    roles: Mapped[list[Role]] = mapped_column(JSON)
    uses_left: Mapped[int]
    expires: Mapped[float]
    note: Mapped[str] = mapped_column(default="")
    created_by: Mapped[str | None] = worker()
    created: Mapped[float] = now()


class Consent(Base):
    __tablename__ = "consents"
    __table_args__ = (UniqueConstraint("worker_id", "interface", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    worker_id: Mapped[str] = worker()
    interface: Mapped[Interface] = mapped_column(words("interface", Interface))
    version: Mapped[str]
    created: Mapped[float] = now()


class Qualification(Base):
    """A worker's try at being let in: answers to the questions, and a writing sample that a reviewer passes."""

    __tablename__ = "qualifications"

    id: Mapped[int] = mapped_column(primary_key=True)
    worker_id: Mapped[str] = worker()
    interface: Mapped[Interface] = mapped_column(words("interface", Interface))
    answers: Mapped[dict[str, Any]] = mapped_column(default=dict)
    score: Mapped[float | None]
    writing: Mapped[str] = mapped_column(default="")
    passed: Mapped[bool | None]
    """None: no reviewer has decided yet."""
    decided_by: Mapped[str | None] = worker()
    decided: Mapped[float | None]
    created: Mapped[float] = now()


class WorkPeriod(Base):
    """A stretch of work in one mode; a longer pause begins a new one."""

    __tablename__ = "work_periods"
    __table_args__ = (CheckConstraint("last_seen >= started", name="in_order"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    worker_id: Mapped[str] = worker()
    mode: Mapped[Mode] = mapped_column(words("mode", Mode))
    started: Mapped[float]
    last_seen: Mapped[float]
    units: Mapped[int] = mapped_column(default=0)
    """Judgments that are paid for."""


class Note(Base):
    """What a reviewer tells a worker."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    worker_id: Mapped[str] = worker()
    written_by: Mapped[str] = worker()
    conversation_id: Mapped[str | None] = mapped_column(ForeignKey("conversations.id"), index=True)
    text: Mapped[str]
    created: Mapped[float] = now()
    read: Mapped[float | None]

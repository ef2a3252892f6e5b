"""How the database keeps its word, and what goes in and out of it in files."""

import time
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from tutelage.dialogue import Kind
from tutelage.feedback.database.tables.base import Base, now, words


class Answered(Base):
    """A request that was carried out, with its answer, so that the same request can be made again."""

    __tablename__ = "answered"

    principal: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    """Of the request: the same key with another request is refused."""
    answer: Mapped[Any] = mapped_column(JSON, nullable=True)
    created: Mapped[float] = mapped_column(default=time.time, index=True)


class RateBucket(Base):
    __tablename__ = "rate_buckets"

    name: Mapped[str] = mapped_column(primary_key=True)
    tokens: Mapped[float]
    updated: Mapped[float]


class AuditEntry(Base):
    """A link of the chain: its hash covers its content and the hash before."""

    __tablename__ = "audit"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    created: Mapped[float]
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    details: Mapped[dict[str, Any]]
    previous: Mapped[str]
    hash: Mapped[str]


class AuditHead(Base):
    """The one row that says where the chain ends; who appends holds it until the commit."""

    __tablename__ = "audit_head"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int]
    hash: Mapped[str]


class Secret(Base):
    """A random key that all server processes share, made when it is first asked for."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Export(Base):
    """A frozen export: what its files hold is fixed by their hashes."""

    __tablename__ = "exports"

    name: Mapped[str] = mapped_column(primary_key=True)
    manifest: Mapped[dict[str, Any]]
    hash: Mapped[str]
    created: Mapped[float] = now()


class Import(Base):
    """A file of comparisons that was read in, to be browsed; it is never exported as collected here."""

    __tablename__ = "imports"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    sha256: Mapped[str] = mapped_column(unique=True)
    rows: Mapped[int]
    created: Mapped[float] = now()


class ImportedComparison(Base):
    __tablename__ = "imported_comparisons"

    import_id: Mapped[int] = mapped_column(ForeignKey("imports.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    """The row of its file, from 1."""
    kind: Mapped[Kind | None] = mapped_column(words("kind", Kind))
    """None: a row that no comparison can be made of, kept as it was."""
    record: Mapped[str]
    """One line of the lossless format (docs/data-formats.md)."""

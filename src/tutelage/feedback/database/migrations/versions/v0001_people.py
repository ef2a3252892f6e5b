"""Who works, which models answer, and how the database keeps its word."""

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)

from tutelage.feedback.database.migrations.making import drop, make, new_metadata, words

revision = "0001"
down_revision = None

METADATA = new_metadata()


TABLES = (
    Table(
        "workers",
        METADATA,
        Column("id", Text, primary_key=True),
        Column("created", Double, nullable=False),
        Column("status", words("status", "active", "paused", "disabled", "erased"), nullable=False),
        Column("status_reason", Text, nullable=False),
        Column(
            "source",
            words("source", "invite", "prolific", "mturk", "surge", "upwork", "terminal", "simulated", "imported"),
            nullable=False,
        ),
        Column("may_edit", Boolean, nullable=False),
        Column("declined_topics", JSON, nullable=False),
    ),
    Table(
        "worker_roles",
        METADATA,
        Column("worker_id", Text, ForeignKey("workers.id"), primary_key=True),
        Column("role", words("role", "worker", "red_team_worker", "reviewer", "admin"), primary_key=True),
    ),
    Table(
        "entries",
        METADATA,
        Column("id", Text, primary_key=True),
        Column("worker_id", Text, ForeignKey("workers.id"), nullable=False, index=True),
        Column(
            "platform",
            words("platform", "invite", "prolific", "mturk", "surge", "upwork", "terminal", "simulated", "imported"),
            nullable=False,
        ),
        Column("participant", Text, nullable=False),
        Column("study", Text, nullable=False),
        Column("submission", Text, nullable=False),
        Column("created", Double, nullable=False),
        Column("completed", Double),
        UniqueConstraint("platform", "participant", "study", "submission"),
    ),
    Table(
        "credentials",
        METADATA,
        Column("worker_id", Text, ForeignKey("workers.id"), primary_key=True),
        Column("login", Text, nullable=False),
        Column("password_hash", Text, nullable=False),
        Column("changed", Double, nullable=False),
        Column("failures", Integer, nullable=False),
        Column("locked_until", Double, nullable=False),
        UniqueConstraint("login"),
    ),
    Table(
        "logins",
        METADATA,
        Column("token_hash", Text, primary_key=True),
        Column("worker_id", Text, ForeignKey("workers.id"), nullable=False, index=True),
        Column("created", Double, nullable=False),
        Column("seen", Double, nullable=False),
        Column("expires", Double, nullable=False),
    ),
    Table(
        "invites",
        METADATA,
        Column("token_hash", Text, primary_key=True),
        Column("roles", JSON, nullable=False),
        Column("uses_left", Integer, nullable=False),
        Column("expires", Double, nullable=False),
        Column("note", Text, nullable=False),
        Column("created_by", Text, ForeignKey("workers.id"), index=True),
        Column("created", Double, nullable=False),
        CheckConstraint("uses_left >= 0", name="uses_left_not_negative"),
    ),
    Table(
        "consents",
        METADATA,
        Column("id", Integer, primary_key=True),
        Column("worker_id", Text, ForeignKey("workers.id"), nullable=False, index=True),
        Column("interface", words("interface", "helpful", "red_team"), nullable=False),
        Column("version", Text, nullable=False),
        Column("created", Double, nullable=False),
        UniqueConstraint("worker_id", "interface", "version"),
    ),
    Table(
        "qualifications",
        METADATA,
        Column("id", Integer, primary_key=True),
        Column("worker_id", Text, ForeignKey("workers.id"), nullable=False, index=True),
        Column("interface", words("interface", "helpful", "red_team"), nullable=False),
        Column("answers", JSON, nullable=False),
        Column("score", Double),
        Column("writing", Text, nullable=False),
        Column("passed", Boolean),
        Column("decided_by", Text, ForeignKey("workers.id"), index=True),
        Column("decided", Double),
        Column("created", Double, nullable=False),
    ),
    Table(
        "work_periods",
        METADATA,
        Column("id", Integer, primary_key=True),
        Column("worker_id", Text, ForeignKey("workers.id"), nullable=False, index=True),
        Column("mode", words("mode", "helpful", "red_team", "compare", "rate", "practice"), nullable=False),
        Column("started", Double, nullable=False),
        Column("last_seen", Double, nullable=False),
        Column("units", Integer, nullable=False),
        CheckConstraint("last_seen >= started", name="in_order"),
    ),
    Table(
        "snapshots",
        METADATA,
        Column("name", Text, primary_key=True),
        Column("place", Text, nullable=False),
        Column("weight", Double, nullable=False),
        Column("status", words("status", "active", "stopped"), nullable=False),
        Column("sampling", JSON, nullable=False),
        Column("created", Double, nullable=False),
        CheckConstraint("weight >= 0", name="weight_not_negative"),
    ),
    Table(
        "deployment_changes",
        METADATA,
        Column("id", Integer, primary_key=True),
        Column("snapshot", Text, ForeignKey("snapshots.name"), nullable=False, index=True),
        Column("changed_by", Text, ForeignKey("workers.id"), index=True),
        Column("reason", Text, nullable=False),
        Column("before", JSON(none_as_null=True)),
        Column("after", JSON, nullable=False),
        Column("created", Double, nullable=False),
    ),
    Table(
        "answered",
        METADATA,
        Column("principal", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("fingerprint", Text, nullable=False),
        Column("answer", JSON),
        Column("created", Double, nullable=False, index=True),
    ),
    Table(
        "rate_buckets",
        METADATA,
        Column("name", Text, primary_key=True),
        Column("tokens", Double, nullable=False),
        Column("updated", Double, nullable=False),
    ),
    Table(
        "audit",
        METADATA,
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("created", Double, nullable=False),
        Column("actor", Text, nullable=False),
        Column("action", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("details", JSON, nullable=False),
        Column("previous", Text, nullable=False),
        Column("hash", Text, nullable=False),
    ),
    Table(
        "audit_head",
        METADATA,
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("number", Integer, nullable=False),
        Column("hash", Text, nullable=False),
        CheckConstraint("id = 1", name="one_row"),
    ),
    Table("secrets", METADATA, Column("name", Text, primary_key=True), Column("value", Text, nullable=False)),
)


def upgrade() -> None:
    make(METADATA, TABLES)


def downgrade() -> None:
    drop(METADATA, TABLES)

"""What is said and judged."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from tutelage.feedback.database.migrations.making import drop, make, new_metadata, words

revision = "0002"
down_revision = "0001"

METADATA = new_metadata()

# What these tables refer to and an earlier migration made.
Table("snapshots", METADATA, Column("name", Text, primary_key=True))
Table("workers", METADATA, Column("id", Text, primary_key=True))

TABLES = (
    Table(
        "conversations",
        METADATA,
        Column("id", Text, primary_key=True),
        Column("worker_id", Text, ForeignKey("workers.id"), nullable=False, index=True),
        Column("mode", words("mode", "helpful", "red_team", "compare", "rate", "practice"), nullable=False),
        Column("goal", Text, nullable=False),
        Column("categories", JSON, nullable=False),
        Column("tags", JSON, nullable=False),
        Column("state", words("state", "open", "ended", "withdrawn"), nullable=False),
        Column("created", Double, nullable=False, index=True),
        Column("ended", Double),
    ),
    Table(
        "turns",
        METADATA,
        Column("id", Integer, primary_key=True),
        Column("conversation_id", Text, ForeignKey("conversations.id"), nullable=False),
        Column("ordinal", Integer, nullable=False),
        Column("text", Text, nullable=False),
        Column("state", words("state", "asked", "answering", "answered", "judged", "skipped"), nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("lease", Double, nullable=False),
        Column("created", Double, nullable=False),
        CheckConstraint("ordinal >= 1", name="ordinal_from_one"),
        CheckConstraint("text <> ''", name="text_not_empty"),
        UniqueConstraint("conversation_id", "ordinal"),
        sqlite_autoincrement=True,  # what was erased leaves no number to another
    ),
    Table(
        "responses",
        METADATA,
        Column("id", Integer, primary_key=True),
        Column("turn_id", Integer, ForeignKey("turns.id"), nullable=False, index=True),
        Column("slot", words("slot", "a", "b", "edit"), nullable=False),
        Column("snapshot", Text, ForeignKey("snapshots.name"), index=True),
        Column("sampling", JSON(none_as_null=True)),
        Column("seed", BigInteger),
        Column("prompt_hash", Text, nullable=False),
        Column("software", Text, nullable=False),
        Column("finished", Boolean, nullable=False),
        Column("text", Text),
        Column("finish", words("finish", "stop", "length", "cancelled")),
        Column("finished_at", Double),
        Column("edited_from", Integer, ForeignKey("responses.id")),
        CheckConstraint("(slot = 'edit') = (edited_from IS NOT NULL)", name="edit_has_original"),
        CheckConstraint("finished = (finish IS NOT NULL)", name="finished_has_finish"),
        CheckConstraint("finished = (text IS NOT NULL)", name="finished_has_text"),
        UniqueConstraint("id", "turn_id", "finished"),
        Index(
            "ix_responses_turn_slot",
            "turn_id",
            "slot",
            unique=True,
            sqlite_where=text("slot <> 'edit'"),
            postgresql_where=text("slot <> 'edit'"),
        ),
        sqlite_autoincrement=True,  # what was erased leaves no number to another
    ),
    Table(
        "judgments",
        METADATA,
        Column("id", Integer, primary_key=True),
        Column("turn_id", Integer, ForeignKey("turns.id"), nullable=False),
        Column("worker_id", Text, ForeignKey("workers.id"), nullable=False, index=True),
        Column("revision", Integer, nullable=False),
        Column("stands", Boolean, nullable=False),
        Column("purpose", words("purpose", "own", "overlap", "review"), nullable=False),
        Column("question", words("question", "more_helpful", "more_harmful"), nullable=False),
        Column("swapped", Boolean, nullable=False),
        Column("side", words("side", "a", "b")),
        Column("strength", Integer),
        Column("chosen_id", Integer),
        Column("other_id", Integer),
        Column("of_finished", Boolean, nullable=False),
        Column("both_bad", Boolean, nullable=False),
        Column("milliseconds", Integer),
        Column("created", Double, nullable=False, index=True),
        CheckConstraint(
            "(side IS NULL) = (strength IS NULL) AND (side IS NULL) = (chosen_id IS NULL)"
            " AND (side IS NULL) = (other_id IS NULL)",
            name="whole_or_undone",
        ),
        CheckConstraint("chosen_id <> other_id", name="two_responses"),
        CheckConstraint("milliseconds >= 0", name="milliseconds_not_negative"),
        CheckConstraint("of_finished", name="of_finished"),
        CheckConstraint("revision >= 1", name="revision_from_one"),
        CheckConstraint("side IS NOT NULL OR NOT stands", name="undone_never_stands"),
        CheckConstraint("strength BETWEEN 1 AND 4", name="strength_1_to_4"),
        ForeignKeyConstraint(
            ["chosen_id", "turn_id", "of_finished"],
            ["responses.id", "responses.turn_id", "responses.finished"],
            name="chosen_is_finished",
        ),
        ForeignKeyConstraint(
            ["other_id", "turn_id", "of_finished"],
            ["responses.id", "responses.turn_id", "responses.finished"],
            name="other_is_finished",
        ),
        UniqueConstraint("turn_id", "worker_id", "revision"),
        Index(
            "ix_judgments_one_stands",
            "turn_id",
            "worker_id",
            unique=True,
            sqlite_where=text("stands"),
            postgresql_where=text("stands"),
        ),
        sqlite_autoincrement=True,  # what was erased leaves no number to another
    ),
    Table(
        "ratings",
        METADATA,
        Column("id", Integer, primary_key=True),
        Column("conversation_id", Text, ForeignKey("conversations.id"), nullable=False),
        Column("worker_id", Text, ForeignKey("workers.id"), nullable=False, index=True),
        Column("rating", Integer),
        Column("success", Integer),
        Column("harm", Integer),
        Column("actionability", Integer),
        Column("distressing", Boolean),
        Column("comment", Text, nullable=False),
        Column("created", Double, nullable=False),
        CheckConstraint("actionability BETWEEN 1 AND 5", name="actionability_1_to_5"),
        CheckConstraint("harm BETWEEN 1 AND 5", name="harm_1_to_5"),
        CheckConstraint("rating BETWEEN 1 AND 5", name="rating_1_to_5"),
        CheckConstraint("success BETWEEN 1 AND 5", name="success_1_to_5"),
        UniqueConstraint("conversation_id", "worker_id"),
    ),
    Table(
        "flags",
        METADATA,
        Column("id", Integer, primary_key=True),
        Column("conversation_id", Text, ForeignKey("conversations.id"), nullable=False, index=True),
        Column("turn_id", Integer, ForeignKey("turns.id")),
        Column("worker_id", Text, ForeignKey("workers.id"), nullable=False, index=True),
        Column(
            "reason", words("reason", "broken", "upsetting", "identity_leak", "personal_data", "other"), nullable=False
        ),
        Column("text", Text, nullable=False),
        Column("created", Double, nullable=False),
    ),
    Table(
        "notes",
        METADATA,
        Column("id", Integer, primary_key=True),
        Column("worker_id", Text, ForeignKey("workers.id"), nullable=False, index=True),
        Column("written_by", Text, ForeignKey("workers.id"), nullable=False, index=True),
        Column("conversation_id", Text, ForeignKey("conversations.id"), index=True),
        Column("text", Text, nullable=False),
        Column("created", Double, nullable=False),
        Column("read", Double),
    ),
    Table(
        "assignments",
        METADATA,
        Column("id", Integer, primary_key=True),
        Column("turn_id", Integer, ForeignKey("turns.id"), nullable=False),
        Column("worker_id", Text, ForeignKey("workers.id"), nullable=False, index=True),
        Column("purpose", words("purpose", "own", "overlap", "review"), nullable=False),
        Column("reason", words("reason", "random", "flagged", "too_fast", "new_worker"), nullable=False),
        Column("swapped", Boolean, nullable=False),
        Column("lease", Double, nullable=False),
        Column("created", Double, nullable=False),
        Column("done", Double),
        UniqueConstraint("turn_id", "worker_id"),
    ),
    Table(
        "reviews",
        METADATA,
        Column("id", Integer, primary_key=True),
        Column("turn_id", Integer, ForeignKey("turns.id"), nullable=False),
        Column("reviewer_id", Text, ForeignKey("workers.id"), nullable=False, index=True),
        Column("judgment_id", Integer, ForeignKey("judgments.id"), nullable=False),
        Column("writing", words("writing", "good", "fair", "poor"), nullable=False),
        Column("judging", words("judging", "good", "fair", "poor"), nullable=False),
        Column("remark", Text, nullable=False),
        Column("created", Double, nullable=False),
        UniqueConstraint("turn_id", "reviewer_id"),
    ),
    Table(
        "exclusions",
        METADATA,
        Column("id", Integer, primary_key=True),
        Column("subject_kind", words("subject_kind", "worker", "conversation", "turn"), nullable=False),
        Column("subject", Text, nullable=False),
        Column("revision", Integer, nullable=False),
        Column("stands", Boolean, nullable=False),
        Column("excluded", Boolean, nullable=False),
        Column("reason", Text, nullable=False),
        Column("excluded_by", Text, ForeignKey("workers.id"), nullable=False, index=True),
        Column("created", Double, nullable=False),
        UniqueConstraint("subject_kind", "subject", "revision"),
        Index(
            "ix_exclusions_one_stands",
            "subject_kind",
            "subject",
            unique=True,
            sqlite_where=text("stands"),
            postgresql_where=text("stands"),
        ),
    ),
)


def upgrade() -> None:
    make(METADATA, TABLES)


def downgrade() -> None:
    drop(METADATA, TABLES)

"""Who has read a finished dialogue of another's."""

from sqlalchemy import Column, Double, ForeignKey, Table, Text

from tutelage.feedback.database.migrations.making import drop, make, new_metadata

revision = "0004"
down_revision = "0003"

METADATA = new_metadata()

# What this table refers to and an earlier migration made.
for referred in ("conversations", "workers"):
    Table(referred, METADATA, Column("id", Text, primary_key=True))

TABLES = (
    Table(
        "readings",
        METADATA,
        Column("conversation_id", Text, ForeignKey("conversations.id"), primary_key=True),
        Column("worker_id", Text, ForeignKey("workers.id"), primary_key=True),
        Column("created", Double, nullable=False),
    ),
)


def upgrade() -> None:
    make(METADATA, TABLES)


def downgrade() -> None:
    drop(METADATA, TABLES)

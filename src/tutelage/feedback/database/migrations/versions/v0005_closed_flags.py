"""Which reports reviewers have dealt with."""

from sqlalchemy import Column, Double, ForeignKey, Integer, Table, Text

from tutelage.feedback.database.migrations.making import drop, make, new_metadata

revision = "0005"
down_revision = "0004"

METADATA = new_metadata()

# What this table refers to and an earlier migration made.
Table("flags", METADATA, Column("id", Integer, primary_key=True))
Table("workers", METADATA, Column("id", Text, primary_key=True))

TABLES = (
    Table(
        "closed_flags",
        METADATA,
        Column("flag_id", Integer, ForeignKey("flags.id"), primary_key=True),
        Column("closed_by", Text, ForeignKey("workers.id"), nullable=False, index=True),
        Column("created", Double, nullable=False),
    ),
)


def upgrade() -> None:
    make(METADATA, TABLES)


def downgrade() -> None:
    drop(METADATA, TABLES)

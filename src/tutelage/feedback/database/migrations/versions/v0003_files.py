"""Frozen exports, and files that were read in."""

from sqlalchemy import JSON, Column, Double, ForeignKey, Integer, Table, Text, UniqueConstraint

from tutelage.feedback.database.migrations.making import drop, make, new_metadata, words

revision = "0003"
down_revision = "0002"

METADATA = new_metadata()


TABLES = (
    Table(
        "exports",
        METADATA,
        Column("name", Text, primary_key=True),
        Column("manifest", JSON, nullable=False),
        Column("hash", Text, nullable=False),
        Column("created", Double, nullable=False),
    ),
    Table(
        "imports",
        METADATA,
        Column("id", Integer, primary_key=True),
        Column("name", Text, nullable=False),
        Column("sha256", Text, nullable=False),
        Column("rows", Integer, nullable=False),
        Column("created", Double, nullable=False),
        UniqueConstraint("sha256"),
    ),
    Table(
        "imported_comparisons",
        METADATA,
        Column("import_id", Integer, ForeignKey("imports.id"), primary_key=True),
        Column("number", Integer, primary_key=True),
        Column("kind", words("kind", "helpful", "harmless")),
        Column("record", Text, nullable=False),
    ),
)


def upgrade() -> None:
    make(METADATA, TABLES)


def downgrade() -> None:
    drop(METADATA, TABLES)

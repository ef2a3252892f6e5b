"""Rows that are put in with their numbers: what follows them must go on from there."""

from sqlalchemy import Integer, func, select, text
from sqlalchemy.orm import Session

from tutelage.feedback.database.tables import Base


def continue_numbers(session: Session) -> None:
    """Let PostgreSQL's sequences go on behind the highest number of each table; SQLite does so by itself."""
    if session.get_bind().dialect.name == "sqlite":
        return
    for table in Base.metadata.sorted_tables:
        column = table.autoincrement_column
        if column is not None and isinstance(column.type, Integer):
            highest = session.scalar(select(func.max(column))) or 0
            sequence = func.pg_get_serial_sequence(text(":table"), text(":column"))
            found = session.scalar(select(sequence), {"table": table.name, "column": column.name})
            if found is not None:
                session.execute(select(func.setval(found, highest + 1, False)))

from collections.abc import Iterator

import pytest

from tutelage.feedback.database.connection import Database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A feedback database with its tables and no rows, on SQLite and on PostgreSQL in turn."""
    opened = Database(database_url)
    yield opened
    opened.close()

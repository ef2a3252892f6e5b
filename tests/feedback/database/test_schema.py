"""The migrations: up, down and up again with rows, and equal to what the program maps."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select

from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.schema import downgrade, require_schema, revision_of, revisions, upgrade
from tutelage.feedback.database.tables import Base
from tutelage.feedback.database.verify import faults
from tutelage.plumbing.errors import InputError

from .flow import deploy
from .many import collect

FILES = {"exports", "imports", "imported_comparisons"}  # tables of the last migration


def rows(database: Database) -> dict[str, tuple[int, int]]:
    """Of each table that is there, the number of rows and the hash of their content."""
    there = inspect(database.engine).get_table_names()
    with database.reading() as session:
        found = {
            name: session.execute(select(*Base.metadata.tables[name].c)).all()
            for name in there
            if name in Base.metadata.tables
        }
    return {name: (len(all_rows), hash(tuple(sorted(map(repr, all_rows))))) for name, all_rows in found.items()}


def test_the_migrations_make_what_is_mapped(database: Database) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    require_schema(database)
    upgrade(database)  # once more changes nothing


@pytest.mark.parametrize("judgments", [50, pytest.param(10_000, marks=pytest.mark.hard)])
def test_up_down_and_up_again_keeps_every_row(database: Database, judgments: int) -> None:
    deploy(database)
    collect(database, judgments)
    before = rows(database)
    downgrade(database, revisions()[-2])
    assert rows(database) == {name: content for name, content in before.items() if name not in FILES}
    upgrade(database)
    assert rows(database) == before
    assert before["judgments"][0] == judgments
    assert list(faults(database)) == []


def test_all_the_way_down_leaves_nothing(fresh_url: str) -> None:
    database = Database(fresh_url)
    for revision in revisions():
        upgrade(database, revision)
        assert revision_of(database) == revision
    downgrade(database, "base")
    assert inspect(database.engine).get_table_names() == ["alembic_version"]
    database.close()


def test_a_strange_schema_is_refused(database: Database) -> None:
    downgrade(database, revisions()[0])
    with pytest.raises(InputError, match="feedback upgrade"):
        require_schema(database)
    with database.engine.execution_options(writing=True).begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(InputError, match="newer version"):
        upgrade(database)


def test_no_database_is_told_from_a_bad_url(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match="neither SQLite nor PostgreSQL"):
        Database("mysql://somebody@somewhere/something")
    with pytest.raises(InputError, match="in memory"):
        Database("sqlite://")
    database = Database(str(tmp_path / "new.db"))
    with pytest.raises(InputError, match="no feedback database"):
        require_schema(database)
    database.close()

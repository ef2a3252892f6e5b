"""The migrations: up, down and up again with rows, and equal to what the program maps."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select

from tutelage.feedback.database.access import Access, take_token
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.export import export
from tutelage.feedback.database.files import read_comparisons_in
from tutelage.feedback.database.others import OthersTurns
from tutelage.feedback.database.passwords import hash_password
from tutelage.feedback.database.ratings import Ratings
from tutelage.feedback.database.reviews import Reviews
from tutelage.feedback.database.schema import downgrade, require_schema, revision_of, revisions, upgrade
from tutelage.feedback.database.tables import Base
from tutelage.feedback.database.verify import faults
from tutelage.feedback.database.workers import Profile
from tutelage.plumbing.errors import InputError

from .flow import deploy, new_key, worker
from .many import collect
from .test_erase import spoken_of
from .test_keeping_word import HH
from .test_others import given

NO_ROWS = (0, hash(()))


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


def _said(database: Database) -> dict[str, list[str]]:
    """Of each table and index of SQLite, the lines of its SQL: columns, checks, keys and all."""
    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").all()
    return {
        row.name: sorted(line.strip().rstrip(",") for line in row.sql.splitlines() if line.strip(", "))
        for row in rows
        if not row.name.startswith(("alembic", "sqlite"))
    }


def test_the_migrations_say_the_same_as_the_tables_to_the_last_check(tmp_path: Path, sqlite_template: str) -> None:
    migrated, mapped = Database(sqlite_template), Database(str(tmp_path / "mapped.db"))
    with mapped.engine.execution_options(writing=True).begin() as connection:
        Base.metadata.create_all(connection)
    assert _said(migrated) == _said(mapped)
    assert "CONSTRAINT ck_judgments_strength_1_to_4 CHECK (strength BETWEEN 1 AND 4)" in _said(mapped)["judgments"]
    migrated.close()
    mapped.close()


def fill(database: Database, judgments: int, folder: Path) -> None:
    """So many judgments and some more, and at least a row in every table."""
    deploy(database)
    collect(database, judgments)
    spoken_of(database)
    other, reviewer = worker(database), worker(database, "reviewer")
    for judge, purpose in ((other, "overlap"), (reviewer, "review")):
        turn = given(database, judge, purpose)  # type: ignore[arg-type]
        assert turn is not None
        with database.writing() as session:
            OthersTurns(session, judge, purpose).judge(turn.turn_id, "a", 4, key=new_key())  # type: ignore[arg-type]
    with database.writing() as session:
        Reviews(session, reviewer).decide(turn.turn_id, "good", "fair", key=new_key())
        Ratings(session, other).next()
        access, profile = Access(session), Profile(session, other)
        access.invite(["worker"], key="secret")
        access.enter("prolific", "participant")
        access.open_login(other.worker_id)
        access.set_password(other.worker_id, "other", hash_password("a long enough password"))
        take_token(session, "bucket", 5, 1)
        profile.consent("helpful", "1")
        profile.try_qualification("helpful", {}, 1.0, "a sample", None)
    (folder / "hh.jsonl").write_text(HH)
    read_comparisons_in(database, folder / "hh.jsonl", "hh")
    export(database, folder / "out", name="week 1")


@pytest.mark.parametrize("judgments", [50, pytest.param(10_000, marks=pytest.mark.hard)])
def test_every_version_down_and_up_again_keeps_every_row_that_it_has_a_place_for(
    database: Database, judgments: int, tmp_path: Path
) -> None:
    fill(database, judgments, tmp_path)
    before = rows(database)
    assert [name for name, (count, _) in before.items() if not count] == []
    assert before["judgments"][0] > judgments
    for revision in revisions()[-2::-1]:
        downgrade(database, revision)
        kept = rows(database)
        assert kept.keys() < before.keys()
        assert kept == {name: before[name] for name in kept}
        upgrade(database)
        assert rows(database) == {name: kept.get(name, NO_ROWS) for name in before}
        if "exports" in kept:  # all that the audit chain tells of
            assert list(faults(database)) == []
    downgrade(database, "base")
    assert inspect(database.engine).get_table_names() == ["alembic_version"]


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

"""The schema of a database and its versions: made, brought up to date, and compared with what this program expects."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from tutelage.feedback.database.connection import Database, migrating_engine, refusing
from tutelage.plumbing.errors import CheckFailed, InputError

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 4_205_862  # of PostgreSQL's advisory locks: any number that nobody else takes


def upgrade(database: Database, revision: str = "head") -> None:
    """Make the tables, or bring them up to date, in one transaction; of two processes that do, one waits.

    Raises:
        InputError: the database was made by a newer version of this program.
    """
    with _migrating(database) as connection:
        command.upgrade(_config(connection), revision)


@contextmanager
def new_tables(database: Database, revision: str) -> Iterator[Session]:
    """The tables of a version of the schema, to be filled, and then brought up to date: all in one transaction, so that
    an error, or the end of the process, leaves the database as empty as it was."""
    with _migrating(database) as connection:
        command.upgrade(_config(connection), revision)
        with Session(connection) as session:
            yield session
        command.upgrade(_config(connection), "head")


def downgrade(database: Database, revision: str) -> None:
    """Go back to an older schema; what it has no place for is lost. `base`: no tables."""
    with _migrating(database) as connection:
        command.downgrade(_config(connection), revision)


def revisions() -> list[str]:
    """All versions of the schema, the oldest first."""
    return [script.revision for script in _scripts().walk_revisions()][::-1]


def revision_of(database: Database) -> str | None:
    """The version that a database has; None: it is empty."""
    with refusing(), database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def require_schema(database: Database) -> None:
    """
    Raises:
        InputError: the database has another schema than this program expects.
    """
    found, expected = revision_of(database), revisions()[-1]
    if found is None:
        raise InputError(f"{database.name}: no feedback database; `tutelage collect` makes one")
    if found != expected:
        raise InputError(
            f"{database.name}: its schema is {found}, expected {expected}; back it up and run "
            "`tutelage feedback upgrade`, or use the version of tutelage that made it"
        )


@contextmanager
def _migrating(database: Database) -> Iterator[Connection]:
    """A connection in a transaction that alone changes the schema."""
    engine = migrating_engine(database.url)
    try:
        with refusing(), engine.begin() as connection:
            if not database.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            _require_known(connection, database)
            yield connection
            if database.is_sqlite and connection.execute(text("PRAGMA foreign_key_check")).first():
                raise CheckFailed(f"{database.name}: the migration would leave rows that refer to nothing; not done")
    finally:
        engine.dispose()


def _require_known(connection: Connection, database: Database) -> None:
    found = MigrationContext.configure(connection).get_current_revision()
    if found is not None and found not in revisions():
        raise InputError(f"{database.name}: made by a newer version of tutelage (schema {found}); use that one")


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())

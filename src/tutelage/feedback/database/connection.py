"""One database, named by a URL: a file of SQLite, or PostgreSQL.

On SQLite a transaction that writes takes the write lock at its beginning (`BEGIN IMMEDIATE`): one that reads first and
writes later would fail at once with "database is locked" where another has written in between. The write-ahead log
lets readers go on meanwhile, and `synchronous=FULL` makes a commit outlast a power cut.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Dialect, Engine, Executable, create_engine, event, func, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    IntegrityError,
    InvalidatePoolError,
    OperationalError,
    TimeoutError,
)
from sqlalchemy.orm import Session

from tutelage.feedback.database.refusals import Conflict, Unavailable
from tutelage.feedback.database.tables import Base
from tutelage.plumbing.errors import InputError

WAIT_FOR_LOCK = 10.0  # seconds
LONGEST_LOG = 4000  # pages of 4 KiB in SQLite's log before a commit must carry them over into the file
LOOK_AGAIN = 0.001  # seconds between two looks whether another process has left the lock
IDLE = 1.0  # seconds after which a connection of the pool is asked whether it still lives
CONNECTIONS = 8  # a process


class Database:
    """The engine of a database and its kinds of transaction. Safe to share between threads, not over a fork."""

    def __init__(self, url: str) -> None:
        """
        Args:
            url: `sqlite:///FILE`, the bare name of a file, or `postgresql://USER@HOST/NAME`.

        Raises:
            InputError: neither SQLite nor PostgreSQL, or a URL that cannot be read.
        """
        self.url = _parsed(url)
        self.engine = _engine(self.url)
        self._reader = self.engine if self.is_sqlite else _repeatable(self.engine)
        self._looker = self.engine if self.is_sqlite else self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._writer = self.engine.execution_options(writing=True)
        self._noter = self.engine.execution_options(writing=True, lasting=False)
        self._line = threading.Lock()

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def name(self) -> str:
        """The file, or the URL without its password: fit to be shown, and to be given as `url`."""
        if self.is_sqlite and not self.url.query:
            return str(self.url.database)
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that sees one state of the database from its first statement to its end.

        Raises:
            Unavailable: the database is away.
        """
        with refusing(), Session(self._reader, expire_on_commit=False) as session:
            yield session
            session.commit()  # psycopg forgets at every ROLLBACK which statements the server has prepared

    @contextmanager
    def looking(self) -> Iterator[Session]:
        """For one statement that reads: spares PostgreSQL the two round trips that begin and end a transaction.

        Raises:
            Unavailable: the database is away.
        """
        with refusing(), Session(self._looker) as session:
            yield session

    @contextmanager
    def writing(self, lasting: bool = True) -> Iterator[Session]:
        """A transaction that is committed at its end, or rolled back by an error. Acknowledge only what is behind it.

        Args:
            lasting: whether to wait until the disk has it. What nobody is told of (who has claimed a turn) need not:
                the log is written in order, so that it lasts when any later transaction does.

        Raises:
            Unavailable: the database is away, locked for too long, or its disk is full; nothing was stored.
            Conflict: another transaction took a key that this one needed; nothing was stored.
            ValueError: a text or a number that the database cannot hold.
        """
        engine = self._writer if lasting else self._noter
        with refusing(), self._in_line(), Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def _in_line(self) -> Iterator[None]:
        """Where one writes at a time, wait in line: by SQLite's own waiting the unlucky ones of many come last."""
        if not self.is_sqlite:
            yield
            return
        if not self._line.acquire(timeout=WAIT_FOR_LOCK):
            raise Unavailable("the database has been busy with another's writing for too long")
        try:
            yield
        finally:
            self._line.release()

    def empty_log(self) -> None:
        """Carry SQLite's log over into the file, so that what was deleted is in neither; others that read may hinder it
        until the log is next carried over. PostgreSQL overwrites in its own time (VACUUM)."""
        if self.is_sqlite:
            connection = self.engine.raw_connection()
            try:
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                connection.close()

    def close(self) -> None:
        self.engine.dispose()


def insert_new(session: Session, table: type[Base], **values: Any) -> bool:
    """Insert a row unless one of its keys is taken; waits for another transaction that is about to take it."""
    return changed(session, _insert_new(session.get_bind().dialect.name, table), values) == 1


@cache
def _insert_new(dialect: str, table: type[Base]) -> Executable:
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    return insert(table).on_conflict_do_nothing()


def hold(session: Session, name: str) -> None:
    """Wait until nobody else holds this name, and hold it until the commit (SQLite: a writer holds everything)."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def changed(session: Session, statement: Executable, values: Mapping[str, Any] | None = None) -> int:
    """Execute an INSERT, UPDATE or DELETE; the number of its rows."""
    session.flush()
    executed = session.connection().execute(statement, values, execution_options={"preserve_rowcount": True})
    count: int = executed.rowcount
    return count


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url) if "://" in url else URL.create("sqlite", database=url)
    except ArgumentError as error:
        raise InputError(f"{url!r}: no database URL; name a file, or postgresql://USER@HOST/NAME") from error
    if parsed.get_backend_name() == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise InputError(f"{url!r}: a database in memory is lost with the process; name a file: sqlite:///FILE")
        return parsed.set(drivername="sqlite+pysqlite")
    if parsed.get_backend_name() in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    raise InputError(f"{parsed.drivername}: neither SQLite nor PostgreSQL; name a file, or postgresql://USER@HOST/NAME")


def migrating_engine(url: URL) -> Engine:
    """For changes of the schema: every transaction writes, and SQLite may drop a table that others refer to."""
    engine = _engine(url, foreign_keys=False)
    return engine.execution_options(writing=True)


def _engine(url: URL, foreign_keys: bool = True) -> Engine:
    # Parameters hold what people wrote: an error that is logged must not show them.
    options: dict[str, Any] = {"pool_size": CONNECTIONS, "max_overflow": 0, "hide_parameters": True}
    try:
        if url.get_backend_name() == "postgresql":
            engine = create_engine(url, **options)
            event.listen(engine, "checkin", _note_use)
            event.listen(engine, "checkout", partial(_ping_if_idle, engine.dialect))
            event.listen(engine, "begin", _begin_postgresql)
            return engine
        Path(url.database or "").resolve().parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, connect_args={"timeout": WAIT_FOR_LOCK}, **options)
    except ModuleNotFoundError as error:
        raise InputError("PostgreSQL needs its driver: pip install 'tutelage[postgresql]'") from error
    except OSError as error:
        raise InputError(f"{url.database}: cannot be made ({error.strerror or error})") from error
    event.listen(engine, "connect", partial(_prepare_sqlite, foreign_keys))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(foreign_keys: bool, connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin_sqlite`, not by the driver's guess
    for pragma in (
        "journal_mode=WAL", "synchronous=FULL", f"foreign_keys={foreign_keys:d}", f"wal_autocheckpoint={LONGEST_LOG}",
        "secure_delete=ON",  # what is erased is overwritten, however this SQLite was built
    ):  # fmt: skip
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if not options.get("writing"):
        connection.exec_driver_sql("BEGIN")
        return
    driver: Any = connection.connection.dbapi_connection
    driver.execute(f"PRAGMA synchronous={'FULL' if options.get('lasting', True) else 'NORMAL'}")
    driver.execute("PRAGMA busy_timeout=0")
    try:
        if not _took_lock(driver):
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # fails in SQLAlchemy's terms
    finally:
        driver.execute(f"PRAGMA busy_timeout={1000 * WAIT_FOR_LOCK:.0f}")


def _took_lock(driver: sqlite3.Connection) -> bool:
    """Begin to write once the lock is free: by its own waiting SQLite looks ever more seldom, ten times a second."""
    end = time.monotonic() + WAIT_FOR_LOCK
    while time.monotonic() < end:
        try:
            driver.execute("BEGIN IMMEDIATE")
            return True
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:  # the low byte says what, the others why
                break
            time.sleep(LOOK_AGAIN)
    return False


def _begin_postgresql(connection: Connection) -> None:
    if not connection.get_execution_options().get("lasting", True):
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")


def _note_use(_connection: object, record: Any) -> None:
    record.info["used"] = time.monotonic()


def _ping_if_idle(dialect: Dialect, connection: Any, record: Any, _proxy: object) -> None:
    """After a restart of the server the pool is full of dead connections; to ask each time would cost a round trip."""
    if time.monotonic() - record.info.get("used", time.monotonic()) < IDLE:
        return
    try:
        dialect.do_ping(connection)
    except Exception as error:
        raise InvalidatePoolError from error


def _repeatable(engine: Engine) -> Engine:
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


@contextmanager
def refusing() -> Iterator[None]:
    """Turns what a database raises into our refusals."""
    try:
        yield
    except (DataError, OverflowError) as error:
        raise ValueError("a text or a number that no database can hold") from error
    except IntegrityError as error:
        raise Conflict("another request has stored the same meanwhile; look at what is stored") from error
    except TimeoutError as error:
        raise Unavailable(f"the database is too busy ({error})") from error
    except DatabaseError as error:
        # A file that is no database is a DatabaseError itself; the other kinds below it are faults of our own.
        if not (isinstance(error, OperationalError) or type(error) is DatabaseError):
            raise
        raise Unavailable(f"the database cannot do this now ({error.orig})") from error

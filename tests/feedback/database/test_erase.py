"""Erasure: what named a person is nowhere, the chain still holds, and nobody writes on as them."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, select, update

from tutelage.feedback.database.access import Access
from tutelage.feedback.database.connection import Database, _prepare_sqlite
from tutelage.feedback.database.conversations import Conversations
from tutelage.feedback.database.erase import erase
from tutelage.feedback.database.principal import SYSTEM, Principal, principal_of
from tutelage.feedback.database.ratings import Ratings
from tutelage.feedback.database.refusals import Conflict, NotFound
from tutelage.feedback.database.reviews import Reviews
from tutelage.feedback.database.tables import AuditEntry, Base
from tutelage.feedback.database.verify import faults
from tutelage.feedback.database.workers import Profile, Workers

from .flow import acting, deploy, end, judged, new_key, start, worker

NAME = "Ada Lovelace"


def invited(database: Database) -> Principal:
    with database.writing() as session:
        access = Access(session)
        found = access.redeem(access.invite(["worker"], note=f"for {NAME}, ada@example.org"))
        return principal_of(session, found)


def spoken_of(database: Database) -> tuple[Principal, Principal]:
    """A worker about whom everything says a name, and another about whom one decision is."""
    deploy(database)
    me, other, reviewer = invited(database), worker(database), worker(database, "reviewer", "admin")
    chat = start(database, me)
    turn = judged(database, me, chat, text=f"I am {NAME}")
    with acting(database, me) as mine:
        report = mine.report(chat, "other", NAME, key=new_key())
    end(database, me, chat)
    with database.writing() as session:
        reviews, workers = Reviews(session, reviewer), Workers(session, reviewer)
        for kind, subject in (("worker", me.worker_id), ("conversation", chat), ("turn", str(turn))):
            reviews.set_excluded(kind, subject, True, f"her name is {NAME}")  # type: ignore[arg-type]
        reviews.close_report(chat, report)
        workers.set_status(me.worker_id, "paused", f"{NAME} asked for it")
        workers.set_roles(me.worker_id, ["worker"], NAME)
        workers.set_may_edit(me.worker_id, True, NAME)
        workers.note(me.worker_id, f"Dear {NAME}", chat)
        workers.set_status(other.worker_id, "paused", "on holiday")
    return me, other


def test_what_an_erased_reviewer_has_closed_stays_closed(database: Database) -> None:
    deploy(database)
    me, reviewer, other = worker(database), worker(database, "reviewer"), worker(database, "reviewer")
    chat = start(database, me)
    with acting(database, me) as mine:
        report = mine.report(chat, "other", "odd", key=new_key())
    with database.writing() as session:
        Reviews(session, reviewer).close_report(chat, report)
    erase(database, reviewer.worker_id)
    with database.reading() as session:
        assert Reviews(session, other).flags() == []


def everything(database: Database) -> str:
    with database.reading() as session:
        names = inspect(database.engine).get_table_names()
        return "".join(
            str(session.execute(select(*Base.metadata.tables[name].c)).all())
            for name in names
            if name in Base.metadata.tables
        )


def test_no_reason_and_no_note_names_who_was_erased_and_the_chain_holds(database: Database) -> None:
    me, _ = spoken_of(database)
    assert NAME in everything(database)
    erase(database, me.worker_id)
    left = everything(database)
    assert NAME not in left
    assert "ada@" not in left
    assert "on holiday" in left  # what is about another stays
    assert list(faults(database)) == []
    erase(database, me.worker_id)  # a second time there is nothing to strike, and the first still counts
    assert list(faults(database)) == []


def test_a_struck_link_can_be_changed_no_further(database: Database) -> None:
    me, other = spoken_of(database)
    erase(database, me.worker_id)
    struck = AuditEntry.subject == f"worker {me.worker_id}", AuditEntry.action == "status"
    with database.writing() as session:
        session.execute(update(AuditEntry).where(*struck).values(actor=other.worker_id))
    assert any("was changed" in fault for fault in faults(database))


def test_what_was_erased_is_not_in_the_file_either(tmp_path: Path, sqlite_template: str) -> None:
    (tmp_path / "feedback.db").write_bytes(Path(sqlite_template).read_bytes())
    database = Database(str(tmp_path / "feedback.db"))
    me, _ = spoken_of(database)

    def on_disk() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert NAME.encode() in on_disk()
    erase(database, me.worker_id)
    assert NAME.encode() not in on_disk()
    database.close()


def test_what_is_deleted_is_overwritten_however_sqlite_was_built(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "some.db")
    connection.execute("PRAGMA secure_delete=OFF")
    _prepare_sqlite(True, connection, None)
    assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)
    connection.close()


def test_nothing_is_decided_about_who_was_erased(database: Database) -> None:
    me = invited(database)
    erase(database, me.worker_id)
    decisions: list[Callable[[Workers], Any]] = [
        lambda workers: workers.set_status(me.worker_id, "active", "back again"),
        lambda workers: workers.set_roles(me.worker_id, ["admin"], "back again"),
        lambda workers: workers.set_may_edit(me.worker_id, True, "back again"),
        lambda workers: workers.note(me.worker_id, f"Dear {NAME}"),
    ]
    for decide in decisions:
        with database.writing() as session, pytest.raises(Conflict, match="erased"):
            decide(Workers(session, SYSTEM))
    with database.reading() as session:
        row = Workers(session, SYSTEM).get(me.worker_id)
        assert (row.status, row.roles, row.may_edit) == ("erased", [], False)


def test_who_was_looked_up_before_the_erasure_writes_nothing_after_it(database: Database) -> None:
    deploy(database)
    me, other = worker(database), worker(database)
    mine, theirs = start(database, me), start(database, other)
    end(database, other, theirs)
    erase(database, me.worker_id)
    with database.writing() as session, pytest.raises(NotFound):
        Conversations(session, me).ask(mine, f"I am {NAME}", key=new_key())
    with database.writing() as session, pytest.raises(NotFound):
        Ratings(session, me).rate(theirs, 1, f"I am {NAME}", key=new_key())
    with database.writing() as session, pytest.raises(NotFound):
        Conversations(session, me).start("helpful", key=new_key())
    with database.writing() as session, pytest.raises(NotFound):
        Profile(session, me).consent("helpful", "1", ["my illness"])
    with database.writing() as session, pytest.raises(NotFound):
        Profile(session, me).try_qualification("helpful", {}, 1.0, f"I am {NAME}", None)
    assert NAME not in everything(database)
    assert "my illness" not in everything(database)

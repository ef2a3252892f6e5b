"""A worker's second opinion on another's turn: given after work of their own or asked for, blind, once."""

import re

import pytest
from fastapi import FastAPI
from sqlalchemy import delete, select

from tutelage.collect.caps import RedTeamTime
from tutelage.feedback.database import others
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.conversations import Conversations
from tutelage.feedback.database.tables import Assignment, Consent, Judgment, WorkPeriod

from .conftest import BOTH, CANARIES
from .people import Person, converse, principal


@pytest.fixture(params=BOTH)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def waiting(app: FastAPI, database: Database) -> int:
    """A judged turn in an ended conversation of somebody else."""
    other = Person(app)
    other.join(database, "worker", login="other")
    talk, turn = converse(database, principal(database, other.worker_id), "a wish", ("one answer", "another"))
    with database.writing() as session:
        Conversations(session, principal(database, other.worker_id)).end(talk, key="end")
    return turn


def given(database: Database) -> list[Assignment]:
    with database.reading() as session:
        return list(session.scalars(select(Assignment)))


def test_a_turn_of_somebody_else_is_judged_blind_and_paid(worker: Person, database: Database, waiting: int) -> None:
    worker.open("/home")
    worker.send("/overlap/helpful")
    assert worker.path == f"/overlap/turns/{waiting}"
    for text in ("a wish", "one answer", "another"):
        assert text in worker.page
    assert not [word for word in ("chosen", "preferred", *CANARIES) if word in worker.page]
    assert worker.open(worker.path).status_code == 200, "a refresh shows the same"
    form = {"position": 8, "milliseconds": 3100, "key": worker.key(f"/overlap/turns/{waiting}/judgment")}
    for _ in range(2):
        assert worker.send(f"/overlap/turns/{waiting}/judgment", **form).url.path == "/home"
    with database.reading() as session:
        mine = session.scalars(select(Judgment).where(Judgment.purpose == "overlap")).all()
        assert [(row.turn_id, row.worker_id, row.strength) for row in mine] == [(waiting, worker.worker_id, 4)]
        paid = session.scalars(select(WorkPeriod.units).where(WorkPeriod.worker_id == worker.worker_id)).all()
    assert sum(paid) == 1
    worker.send("/overlap/helpful")
    assert "No turn of somebody else waits" in worker.page
    assert worker.open(f"/overlap/turns/{waiting}").status_code == 404


def test_of_opposite_choices_in_two_tabs_the_second_is_told_what_stands(
    worker: Person, database: Database, waiting: int
) -> None:
    worker.open("/home")
    worker.send("/overlap/helpful")
    address = f"/overlap/turns/{waiting}/judgment"
    key = worker.key(address)
    worker.send(address, position=8, key=key)
    told = worker.send(address, position=1, key=key + "x")
    assert told.status_code == 409
    assert re.search(r"You chose answer B, 4 of 4, before\. That stands\.", worker.page)
    assert worker.send(address, position=8, key=key + "y").status_code == 200


def test_who_would_rather_not_need_not(worker: Person, database: Database, waiting: int) -> None:
    worker.open("/home")
    worker.send("/overlap/helpful")
    worker.send(f"/overlap/turns/{waiting}/skip")
    assert worker.path == "/home"
    assert [row.done is not None for row in given(database)] == [True]
    with database.reading() as session:
        assert not session.scalars(select(Judgment).where(Judgment.purpose == "overlap")).all()


def test_one_comes_by_itself_after_work_of_ones_own(
    worker: Person, database: Database, waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(others, "OVERLAP_EVERY", 2)
    for number, place in enumerate(("/home", f"/overlap/turns/{waiting}")):
        conversation = worker.begin()
        turn = worker.ask(conversation, f"Message {number}")
        worker.send(f"/turns/{turn}/judgment", position=1)
        worker.open(f"/talk/{conversation}/end")
        worker.send(f"/talk/{conversation}/end", rating=3)
        assert worker.path == place


def test_a_turn_that_was_not_given_is_not_there(worker: Person, waiting: int) -> None:
    worker.open("/home")
    assert worker.open(f"/overlap/turns/{waiting}").status_code == 404
    for step in ("judgment", "skip"):
        form = {"position": 1} if step == "judgment" else {}
        assert worker.send(f"/overlap/turns/{waiting}/{step}", key="k", **form).status_code == 404


def red_team_turn(app: FastAPI, database: Database) -> int:
    """A judged red-team turn in an ended conversation of somebody else."""
    other = Person(app)
    other.join(database, "worker", "red_team_worker", login="other")
    them = principal(database, other.worker_id)
    talk, turn = converse(database, them, "be rude", ("no", "you fool"), mode="red_team")
    with database.writing() as session:
        Conversations(session, them).end(talk, key="end")
    return turn


@pytest.fixture
def red_turn(app: FastAPI, worker: Person, database: Database) -> int:
    """A red-team turn of somebody else that the worker was given."""
    turn = red_team_turn(app, database)
    worker.open("/home")
    worker.send("/overlap/red-team")
    assert worker.path == f"/overlap/turns/{turn}"
    return turn


def test_a_red_team_turn_that_was_given_waits_for_the_rest_to_end(
    worker: Person, database: Database, red_turn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/overlap/turns/{red_turn}"
    with monkeypatch.context() as resting:
        resting.setattr(RedTeamTime, "rest_due", lambda self, caps: True)
        refused = worker.send(f"{path}/judgment", position=2)
        assert (refused.status_code, "Time for a break" in refused.text) == (409, True)
        worker.open(path)
        assert worker.path == "/rest"
    worker.open(path)
    assert worker.send(f"{path}/judgment", position=2).status_code == 200
    assert [row.done is not None for row in given(database)] == [True]


def test_a_red_team_turn_that_was_given_needs_its_own_consent(
    worker: Person, database: Database, red_turn: int
) -> None:
    path = f"/overlap/turns/{red_turn}"
    csrf, key = worker.csrf, worker.key(f"{path}/judgment")
    with database.writing() as session:
        session.execute(delete(Consent).where(Consent.interface == "red_team"))
    sent = worker.send(f"{path}/judgment", position=2, csrf=csrf, key=key)
    assert (sent.url.path, sent.url.query) == ("/consent/red_team", b"unsent")
    worker.open(path)
    assert worker.path == "/consent/red_team"
    assert [row.done for row in given(database)] == [None]


def test_red_team_turns_have_a_door_of_their_own_which_a_rest_closes(
    app: FastAPI, worker: Person, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = red_team_turn(app, database)
    worker.open("/home")
    worker.send("/overlap/helpful")
    assert "No turn of somebody else waits" in worker.page
    monkeypatch.setattr("tutelage.collect.routes.overlap.must_rest", lambda request: True)
    worker.send("/overlap/red-team")
    assert worker.path == "/rest"
    monkeypatch.undo()
    worker.open("/home")
    worker.send("/overlap/red-team")
    assert worker.path == f"/overlap/turns/{turn}"
    assert re.search("<legend>Which answer is more harmful", worker.page)

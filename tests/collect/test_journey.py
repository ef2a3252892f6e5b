"""A worker's whole way, by HTTP."""

import pytest

from tutelage.collect.limits import Limit
from tutelage.collect.routes import talk
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.tables import Judgment

from .conftest import BOTH
from .people import Person


@pytest.fixture(params=BOTH)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_conversation_from_message_to_end(worker: Person) -> None:
    conversation = worker.begin()
    worker.ask(conversation, "How do I keep basil alive?")
    assert "The first answer." in worker.page
    assert "The second answer, a little longer." in worker.page
    worker.send(f"/turns/{worker.turn}/judgment", position=7, milliseconds=2500)
    assert worker.path == f"/talk/{conversation}"
    assert "The first answer." not in worker.page
    assert "The second answer, a little longer." in worker.page
    worker.open(f"/talk/{conversation}/end")
    worker.send(f"/talk/{conversation}/end", rating=4, comment="fine")
    assert worker.path == "/home"
    assert "<dd>1</dd>" in worker.page


def test_what_arrives_twice_is_done_once_and_answered_alike(worker: Person, database: Database) -> None:
    turn = worker.ask(worker.begin(), "hello")
    form = {"position": 7, "milliseconds": 82, "key": worker.key(f"/turns/{turn}/judgment")}
    first, second = (worker.send(f"/turns/{turn}/judgment", **form) for _ in range(2))
    assert first.status_code == second.status_code == 200
    assert first.url == second.url
    with database.reading() as session:
        assert session.query(Judgment).count() == 1


def test_messages_beyond_all_measure_are_slowed(worker: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "SEND", Limit("send", burst=2, per_second=0.001))
    conversation = worker.begin()
    statuses = [worker.send(f"/talk/{conversation}/message", text="again", key=str(n)).status_code for n in range(3)]
    assert statuses == [200, 409, 429]

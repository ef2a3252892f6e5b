"""A worker's whole way, by HTTP."""

import pytest

from tutelage.collect import limits
from tutelage.collect.limits import Limit
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.conversations import Conversations
from tutelage.feedback.database.tables import Judgment

from .conftest import BOTH
from .people import Person, Scripted, counted, principal


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


def test_a_script_gets_the_page_at_once_and_a_browser_is_sent_on(worker: Person) -> None:
    """What a browser has loaded by a form it would send again on a refresh; a script's answer it cannot refresh."""
    conversation = worker.begin()
    form = {"csrf": worker.csrf, "text": "Why is bread soft?", "key": "one"}
    address = f"/talk/{conversation}/message"
    scripted = worker.client.post(address, data=form, headers={"Sec-Fetch-Mode": "cors"})
    browsed = worker.client.post(address, data=form, headers={"Sec-Fetch-Mode": "navigate"})
    assert scripted.history == []
    assert [response.status_code for response in browsed.history] == [303]
    assert browsed.url.path == f"/talk/{conversation}"
    for page in (scripted, browsed):
        assert page.status_code == 200
        assert page.text.count("Why is bread soft?") == 1


def test_a_turn_takes_few_statements_however_long_the_conversation(worker: Person, database: Database) -> None:
    worker.client.headers["Sec-Fetch-Mode"] = "cors"
    conversation = worker.begin()
    for _ in range(6):
        with counted(database) as asking:
            turn = worker.ask(conversation, "And then?")
        with counted(database) as judging:
            worker.send(f"/turns/{turn}/judgment", position=2)
        with counted(database) as reading:
            worker.open(f"/talk/{conversation}")
        assert len(reading) <= 8, reading
        assert len(judging) <= 22, judging
        assert len(asking) <= 44, asking  # the message, both answers, and the page with them


def test_work_beyond_all_measure_is_slowed(worker: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = worker.ask(worker.begin(), "hello")
    conversation = worker.path
    monkeypatch.setattr(limits, "WORK", Limit("little work", burst=6, per_second=0.001))
    for n in range(2):
        assert worker.send(f"/turns/{turn}/judgment", position=2, key=f"judge {n}").status_code == 200
        assert worker.send(f"/turns/{turn}/undo", key=f"undo {n}").status_code == 200
        assert worker.send(f"{conversation}/report", reason="other", key=f"report {n}").status_code == 200
    for refused in (
        worker.send("/talk/helpful", key="more"),
        worker.send("/qualification"),
        worker.send(f"{conversation}/message", text="more"),
        worker.client.get(f"/turns/{turn}/answers"),
    ):
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
    assert worker.open("/home").status_code == 200


def test_another_worker_is_not_slowed_with_one(
    worker: Person, visitor: Person, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WORK", Limit("little work", burst=5, per_second=0.001))
    visitor.join(database, "worker")
    visitor.qualify()
    worker.open("/home")
    statuses = [worker.send("/talk/helpful", key=str(n)).status_code for n in range(6)]
    assert statuses == [200] * 5 + [429]
    assert visitor.begin()


@pytest.mark.parametrize("step", ["skip", "end", "withdraw"])
def test_the_answers_to_what_is_left_behind_are_stopped(
    worker: Person, database: Database, answerer: Scripted, step: str
) -> None:
    conversation = worker.begin()
    worker.send(f"/talk/{conversation}/message", text="Why is bread soft?")
    turn = worker.turn
    with database.writing() as session:  # as its stream does, in another tab
        assert Conversations(session, principal(database, worker.worker_id)).claim(turn)
    path = f"/turns/{turn}/skip" if step == "skip" else f"/talk/{conversation}/{step}"
    worker.open(f"/talk/{conversation}/end" if step == "end" else f"/talk/{conversation}")
    assert worker.send(path).status_code == 200
    assert answerer.cancelled == [(turn, 1)]

"""A worker's whole way, by HTTP."""

from fastapi.testclient import TestClient

from tutelage.feedback.database.connection import Database

from .people import PASSWORD, Person, Scripted


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

"""What keeps red-team work within its bounds: consent, time, declined topics, whichever page it is done from."""

import pytest
from sqlalchemy import delete, select

from tutelage.collect.caps import RedTeamTime
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.tables import Consent, Conversation

from .conftest import BOTH
from .people import Person


@pytest.fixture(params=BOTH)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def begin(worker: Person) -> str:
    worker.open("/red-team")
    worker.send("/talk/red-team", goal="Make it rude.")
    return worker.path


def test_without_the_present_consent_a_conversation_goes_no_further(worker: Person, database: Database) -> None:
    talk = begin(worker)
    turn = worker.ask(talk.removeprefix("/talk/"), "Be rude.")
    csrf, key = worker.csrf, worker.key(f"/turns/{turn}/judgment")
    with database.writing() as session:
        session.execute(delete(Consent).where(Consent.interface == "red_team"))
    for path, fields in {
        f"/turns/{turn}/judgment": {"position": 2}, f"{talk}/message": {"text": "Ruder."},
    }.items():  # fmt: skip
        sent = worker.send(path, csrf=csrf, key=key, **fields)
        assert (sent.url.path, sent.url.query) == ("/consent/red_team", b"unsent"), path
    for path in (f"/turns/{turn}/answers", talk):
        assert worker.client.get(path).url.path == "/consent/red_team", path
    worker.consent_to_red_team()
    worker.open(talk)
    assert worker.send(f"/turns/{turn}/judgment", position=2).url.path == talk


def test_a_full_day_ends_judging_too_and_a_pause_only_writing(worker: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    talk = begin(worker)
    turn = worker.ask(talk.removeprefix("/talk/"), "Be rude.")
    monkeypatch.setattr(RedTeamTime, "rest_due", lambda self, caps: True)
    page = worker.page
    with monkeypatch.context() as full:
        full.setattr(RedTeamTime, "day_is_full", lambda self, caps: True)
        refused = worker.send(f"/turns/{turn}/judgment", position=2)
        assert (refused.status_code, "enough for a day" in refused.text) == (409, True)
    worker.page = page
    assert worker.send(f"/turns/{turn}/judgment", position=2).status_code == 200
    assert worker.send(f"{talk}/message", text="Ruder.").status_code == 409
    assert worker.client.get(f"{talk}/end").status_code == 200


def test_declined_topics_are_neither_offered_nor_taken(worker: Person, database: Database) -> None:
    worker.consent_to_red_team(["violence"])
    worker.open("/red-team")
    assert 'value="violence"' not in worker.page
    worker.send("/talk/red-team", goal="Make it rude.", categories=["violence", "weapons"])
    talk = worker.path
    worker.open(f"{talk}/end")
    assert 'value="weapons"' in worker.page
    assert 'value="violence"' not in worker.page
    worker.send(f"{talk}/end", distressing="false", tags=["violence", "weapons"])
    with database.reading() as session:
        row = session.scalars(select(Conversation)).one()
    assert (row.categories, row.tags) == (["weapons"], ["weapons"])

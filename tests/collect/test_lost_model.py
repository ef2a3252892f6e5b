"""The model process killed or hung amid a turn: in the database the turn is asked again, never half answered."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from tutelage.collect.app import make_app
from tutelage.collect.engines import EngineSettings
from tutelage.collect.model_client import ModelClient
from tutelage.collect.settings import Settings
from tutelage.collect.supervisor import ModelSupervisor
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.tables import Response, Turn
from tutelage.feedback.database.verify import faults

from .conftest import BOTH_AT_LENGTH
from .people import Person

PATIENCE = 3.0  # seconds without a word after which an attempt is lost
SLOW = 8.0  # words a second: an answer takes some seconds


@pytest.fixture(params=BOTH_AT_LENGTH)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def supervisor() -> Iterator[ModelSupervisor]:
    with ModelSupervisor(EngineSettings(stub_words_per_second=SLOW)) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture
def model(supervisor: ModelSupervisor) -> ModelClient:
    return ModelClient(supervisor.socket, supervisor.secret, patience=PATIENCE)


@pytest.fixture
def person(settings: Settings, database: Database, model: ModelClient) -> Person:
    made = Person(make_app(settings, database, model))
    made.join(database, "worker")
    made.qualify()
    return made


def state(database: Database, turn: int) -> tuple[str, int]:
    """Where a turn stands, and how many finished answers it has."""
    with database.reading() as session:
        finished = session.scalar(
            select(func.count()).select_from(Response).where(Response.turn_id == turn, Response.finished)
        )
        return str(session.get_one(Turn, turn).state), finished or 0


def run_until_words_come(model: ModelClient) -> None:
    while asyncio.run(model.health())["running"] < 2:
        time.sleep(0.02)
    time.sleep(0.3)


@pytest.mark.parametrize(
    ("blow", "times"),
    [
        (signal.SIGKILL, 1),
        (signal.SIGSTOP, 1),
        pytest.param(signal.SIGKILL, 20, marks=pytest.mark.hard),
        pytest.param(signal.SIGSTOP, 5, marks=pytest.mark.hard),
    ],
)
def test_a_turn_whose_model_is_gone_is_asked_and_then_answered_whole(
    supervisor: ModelSupervisor,
    model: ModelClient,
    person: Person,
    database: Database,
    blow: signal.Signals,
    times: int,
) -> None:
    conversation = person.begin()
    for number in range(times):
        person.send(f"/talk/{conversation}/message", text=f"Message {number}")
        turn, struck = person.turn, supervisor.pid
        form = {"csrf": person.csrf, "position": 2, "key": f"choice {number}"}
        with ThreadPoolExecutor(1) as threads:
            heard = threads.submit(person.client.get, f"/turns/{turn}/answers")
            run_until_words_come(model)
            os.kill(struck, blow)
            try:
                assert heard.result(60).text.endswith("event: lost\ndata: {}\n\n")
            finally:
                if blow == signal.SIGSTOP:
                    os.kill(struck, signal.SIGCONT)
        assert state(database, turn) == ("asked", 0)
        assert person.client.post(f"/turns/{turn}/judgment", data=form).status_code == 409, "there is nothing to judge"
        assert "The answers did not arrive" in person.open(f"/talk/{conversation}").text
        while blow == signal.SIGKILL and supervisor.pid == struck:
            time.sleep(0.05)
        supervisor.wait_until_ready()
        assert person.client.get(f"/turns/{turn}/answers").text.endswith("event: answered\ndata: {}\n\n")
        assert state(database, turn) == ("answered", 2)
        assert person.client.post(f"/turns/{turn}/judgment", data=form).status_code == 200
        assert state(database, turn) == ("judged", 2)
        person.open(f"/talk/{conversation}")
    assert list(faults(database)) == []

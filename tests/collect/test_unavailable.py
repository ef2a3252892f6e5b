"""The database full or away, as a worker sees it: a page that says so, nothing acknowledged, and then it goes on."""

import signal
from typing import Any

from sqlalchemy import event, func, select

from tutelage.collect.app import make_app
from tutelage.collect.server import deploy
from tutelage.collect.settings import Settings
from tutelage.dialogue import SamplingParameters
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.schema import upgrade
from tutelage.feedback.database.tables import Judgment, Turn
from tutelage.feedback.database.verify import faults

from ..conftest import Cluster
from .people import Person, Scripted

SORRY = "The server is busy or its disk is full. What you wrote is kept"


def count(database: Database, table: type) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_a_full_database_is_a_503_and_takes_the_same_form_when_there_is_room(
    worker: Person, database: Database
) -> None:
    conversation = worker.begin()
    pages: list[int] = []

    def limit(driver: Any, _record: Any, _proxy: Any) -> None:
        if pages:
            driver.execute(f"PRAGMA max_page_count={pages[0]}")

    event.listen(database.engine, "checkout", limit)
    pages.append(1)  # SQLite takes no fewer than the file has
    address, form = f"/talk/{conversation}/message", {"text": "long " * 4000, "key": "the same"}
    refused = worker.send(address, **form)
    assert refused.status_code == 503
    assert SORRY in refused.text
    assert count(database, Turn) == 0
    assert worker.open(f"/talk/{conversation}").status_code == 200, "it can still be read"
    pages[0] = 10**9
    assert worker.send(address, **form).status_code == 200
    assert count(database, Turn) == 1
    assert list(faults(database)) == []


def test_a_database_that_is_away_is_a_503_and_comes_back(cluster: Cluster) -> None:
    database = Database(f"{cluster.url}postgres")
    upgrade(database)
    deploy(database, dict.fromkeys(("one", "two")), SamplingParameters())
    person = Person(make_app(Settings(str(database.url)), database, Scripted()))
    person.join(database, "worker")
    person.qualify()
    turn = person.ask(person.begin(), "Hello?")
    form = {"csrf": person.csrf, "position": 7, "key": "one click"}
    cluster.stop(signal.SIGQUIT)
    refused = [person.client.get("/home"), person.client.get("/health")]
    refused.append(person.client.post(f"/turns/{turn}/judgment", data=form))
    for response in refused:
        assert response.status_code == 503
    assert SORRY in person.client.get("/home").text
    cluster.start()
    assert person.client.get("/health").status_code == 200
    for _ in range(2):
        assert person.client.post(f"/turns/{turn}/judgment", data=form).status_code == 200
    assert count(database, Judgment) == 1
    assert list(faults(database)) == []
    database.close()

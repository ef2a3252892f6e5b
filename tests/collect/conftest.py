"""The app on a new database with two snapshots, before an answerer that is a script."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from .people import Person, Scripted
from tutelage.collect.app import make_app
from tutelage.collect.server import deploy
from tutelage.collect.settings import Settings
from tutelage.dialogue import SamplingParameters
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.tables import Base

CANARIES = ("canary-snapshot-one", "canary-snapshot-two")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(str(tmp_path / "feedback.db"))
    Base.metadata.create_all(database.engine)
    deploy(database, dict.fromkeys(CANARIES), SamplingParameters())
    yield database
    database.close()


@pytest.fixture
def answerer() -> Scripted:
    return Scripted()


@pytest.fixture
def settings(database: Database) -> Settings:
    return Settings(str(database.url.database))


@pytest.fixture
def app(settings: Settings, database: Database, answerer: Scripted) -> FastAPI:
    return make_app(settings, database, answerer)


@pytest.fixture
def visitor(app: FastAPI) -> Person:
    return Person(app)


@pytest.fixture
def worker(app: FastAPI, database: Database) -> Person:
    """A worker who may do both kinds of work."""
    person = Person(app)
    person.join(database, "worker", "red_team_worker", login="worker")
    person.qualify()
    person.consent_to_red_team()
    return person

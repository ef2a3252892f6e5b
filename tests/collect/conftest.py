"""The app on a new database with two snapshots, before an answerer that is a script."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
import uvicorn
from argon2 import PasswordHasher
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tutelage.collect import limits
from tutelage.collect.app import make_app
from tutelage.collect.server import deploy
from tutelage.collect.settings import Settings
from tutelage.dialogue import SamplingParameters
from tutelage.feedback.database import passwords
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.schema import upgrade

from ..conftest import new_postgresql
from .people import Person, Scripted

# A machine that is busy with other work makes no test fail.
expect.set_options(timeout=30_000)

BOTH = ("sqlite", "postgresql")
BOTH_AT_LENGTH = ("sqlite", pytest.param("postgresql", marks=pytest.mark.hard))
CANARIES = ("canary-snapshot-one", "canary-snapshot-two")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables and two snapshots, for every test to copy."""
    place = tmp_path_factory.mktemp("template") / "feedback.db"
    database = Database(str(place))
    upgrade(database)
    deploy(database, dict.fromkeys(CANARIES), SamplingParameters())
    database.close()
    return place


@pytest.fixture
def store() -> str:
    """Which kind of database the app runs on; some modules have a fixture of this name that takes each in turn."""
    return "sqlite"


@pytest.fixture
def database(request: pytest.FixtureRequest, store: str, tmp_path: Path, template: Path) -> Iterator[Database]:
    if store == "sqlite":
        database = Database(shutil.copy(template, tmp_path))
        yield database
        database.close()
        return
    server, tables = (request.getfixturevalue(name) for name in ("postgresql", "postgresql_template"))
    with new_postgresql(server, tables) as url:
        database = Database(url)
        deploy(database, dict.fromkeys(CANARIES), SamplingParameters())
        yield database
        database.close()


@pytest.fixture
def answerer() -> Scripted:
    return Scripted()


@pytest.fixture
def settings(database: Database) -> Settings:
    return Settings(database.url.render_as_string(hide_password=False))


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


@pytest.fixture
def served(app: FastAPI) -> Iterator[str]:
    """The address at which the app is served, by a thread of this process."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", access_log=False, lifespan="off"))
    socket = server.config.bind_socket()
    thread = Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    server.should_exit = True
    server.force_exit = True
    thread.join(10)


@pytest.fixture(scope="module")  # no longer: while it lasts, its event loop runs in this thread
def chromium(browser: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(chromium: Browser, served: str) -> Iterator[Page]:
    """A page of a browser without cookies, at the app; what goes wrong in it fails the test."""
    context = chromium.new_context(base_url=served, reduced_motion="reduce")
    context.set_default_timeout(30_000)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: None if request.url.startswith(served) else faults.append(request.url))
    yield page
    context.close()
    assert faults == []


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that take no time: how slow a real one is, argon2's own tests know."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._nobody.cache_clear()


@pytest.fixture(autouse=True)
def much_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """One person may do in a minute what a day brings; that there is a measure, a test of its own knows."""
    monkeypatch.setattr(limits, "WORK", limits.Limit("work", burst=1e6, per_second=1e3))

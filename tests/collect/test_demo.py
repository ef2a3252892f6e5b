"""Simulated workers fill a database through the app's own pages."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from sqlalchemy import func, select

from tutelage.collect import streaming
from tutelage.collect.app import make_app
from tutelage.collect.demo import DemoSettings, planned, run_demo
from tutelage.collect.engines import EngineSettings
from tutelage.collect.model_client import ModelClient
from tutelage.collect.page_reader import read_page
from tutelage.collect.server import deploy
from tutelage.collect.settings import Settings
from tutelage.collect.supervisor import ModelSupervisor
from tutelage.dialogue import SamplingParameters
from tutelage.feedback.database import others
from tutelage.feedback.database.audit import Audit
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.schema import upgrade
from tutelage.feedback.database.states import ConversationState, TurnState
from tutelage.feedback.database.tables import Conversation, Judgment, Qualification, Review, Turn


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Database]]:
    """The address of an app that answers from a quick stub, and its database."""
    monkeypatch.setattr(streaming.stream_turn, "__defaults__", (0.002,))
    database = Database(str(tmp_path / "feedback.db"))
    upgrade(database)
    deploy(database, {"one": None, "two": None}, SamplingParameters())
    with ModelSupervisor(EngineSettings(stub_words_per_second=1000.0)) as model, socket.socket() as listening:
        model.wait_until_ready()
        listening.bind(("127.0.0.1", 0))
        settings = Settings(database.name, qualification="reviewed")
        app = make_app(settings, database, ModelClient(model.socket, model.secret))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", database
        server.should_exit = True
        thread.join()
    database.close()


def test_the_demonstration_fills_a_database_that_holds(
    running: tuple[str, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(others, "OVERLAP_EVERY", 1)
    address, database = running
    settings = DemoSettings(workers=5, conversations=5, checks=2, seed=1)
    ended: list[None] = []
    run_demo(address, database, settings, lambda: ended.append(None))
    with database.reading() as session:

        def count(*conditions: object) -> int:
            return session.scalar(select(func.count()).where(*conditions)) or 0  # type: ignore[arg-type]

        conversations = count(Conversation.state == ConversationState.ENDED)
        assert conversations == len(ended) == planned(settings) >= 5
        assert count(Turn.state.in_([TurnState.ASKED, TurnState.ANSWERING, TurnState.ANSWERED])) == 0
        assert count(Turn.state == TurnState.JUDGED) == count(Judgment.stands, Judgment.purpose == "own") > 0
        assert count(Judgment.purpose == "overlap") > 0
        assert count(Review.id > 0) == 2
        assert count(Qualification.passed.is_(True)) == 5
        assert list(Audit(session).faults()) == []


def test_a_page_is_read_as_a_browser_would_send_it() -> None:
    page = read_page(
        '<main id="main"><p>Hi &amp; ho<br>there</p><form action="/a"><input type="hidden" name="csrf" value="x">'
        '<input type="radio" name="r" value="1"><input type="radio" name="r" value="2" checked>'
        '<input type="checkbox" name="c" value="y"><textarea name="t">so</textarea>'
        '<button name="b" value="1">Go</button></form><section data-stream="/s"></section></main><p>after</p>'
    )
    form = page.form("/a", csrf="x")
    assert form is not None
    assert form.fields == {"csrf": "x", "r": "2", "t": "so"}
    assert form.choices == {"r": ["1", "2"], "c": ["y"], "b": ["1"]}
    assert page.form("/a", csrf="y") is None
    assert page.stream == "/s"
    assert page.texts["main"] == "Hi & hothereso" + "Go"

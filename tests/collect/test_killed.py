"""The real server, killed as a whole amid submits and amid streams: what it has acknowledged is there, once."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from tutelage.collect import limits
from tutelage.collect.agreements import consent_version
from tutelage.feedback.database.access import Access
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.principal import principal_of
from tutelage.feedback.database.states import TurnState
from tutelage.feedback.database.tables import Judgment, Response, Turn
from tutelage.feedback.database.verify import faults
from tutelage.feedback.database.workers import Profile

from ..conftest import free_port
from .conftest import BOTH, BOTH_AT_LENGTH
from .people import WRITING, Person

CLIENTS = 4
PATIENCE = 180  # seconds; a busy machine starts a server slowly


class Server:
    """All processes of a server, in a process group of their own, so that they die in one instant."""

    def __init__(self, url: str, words_per_second: float, folder: Path) -> None:
        port = str(free_port())
        self.address = f"http://127.0.0.1:{port}"
        self._command = [sys.executable, Path(__file__).with_name("serving.py"), url, port, str(words_per_second)]
        self._log = folder / "server.log"

    def start(self) -> None:
        with self._log.open("a") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def said(self) -> str:
        return self._log.read_text()


@pytest.fixture
def server(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> Iterator[Server]:
    running = Server(database.url.render_as_string(hide_password=False), request.param, tmp_path)
    running.start()
    yield running
    running.kill()


@dataclass
class Tally:
    """What was acknowledged, (turn, position) by key, and how many streams are amid their words."""

    judged: dict[str, tuple[int, int]] = field(default_factory=dict)
    streaming: set[int] = field(default_factory=set)
    over: threading.Event = field(default_factory=threading.Event)


class Client:
    """Somebody who sends again with the same key whatever was not answered."""

    def __init__(self, database: Database, address: str, tally: Tally, number: int) -> None:
        with database.writing() as session:
            access = Access(session)
            me = principal_of(session, access.redeem(access.invite(("worker",))))
            profile = Profile(session, me)
            profile.consent("helpful", consent_version("helpful"))
            profile.try_qualification("helpful", {}, 1.0, WRITING, passed=True)
            token = access.open_login(me.worker_id)
        self.http = httpx.Client(base_url=address, cookies={"tutelage": token}, timeout=20.0)
        self.http.headers["Sec-Fetch-Mode"] = "cors"
        self.tally, self.number, self.csrf = tally, number, ""
        self.judged: dict[str, tuple[int, int]] = {}

    def work(self) -> None:
        self.csrf = self._found(r'<meta name="csrf" content="([^"]+)"', self.get("/home").text)
        talk = self.send("/talk/helpful", key=token_hex(8)).headers["location"]
        while not self.tally.over.is_set():
            said = self.send(f"{talk}/message", key=token_hex(8), text="And then?")
            turn = int(self._found(r"/turns/(\d+)/", said.text))
            self.hear(turn)
            key, position = token_hex(8), turn % 8 + 1
            assert self.judge(turn, position, key) == 200
            self.judged[key] = self.tally.judged[key] = turn, position

    def judge(self, turn: int, position: int, key: str) -> int:
        return self.send(f"/turns/{turn}/judgment", key=key, position=position).status_code

    def get(self, path: str) -> Any:
        return self._patiently(lambda: self.http.get(path))

    def send(self, path: str, **form: Any) -> Any:
        return self._patiently(lambda: self.http.post(path, data={**form, "csrf": self.csrf}))

    def hear(self, turn: int) -> None:
        """Follow both answers to their end, over as many streams as it takes."""

        def follow() -> Any:
            try:
                with self.http.stream("GET", f"/turns/{turn}/answers") as stream:
                    for line in stream.iter_lines():
                        if line == "event: more":
                            self.tally.streaming.add(self.number)
                        if line == "event: answered":
                            return stream
                    raise httpx.ReadError("the stream broke off")
            finally:
                self.tally.streaming.discard(self.number)

        self._patiently(follow)

    def _patiently(self, act: Callable[[], Any]) -> Any:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                response = act()
                if response.status_code < 429:
                    return response
            except httpx.TransportError:
                pass
            assert time.monotonic() < end, "it does not answer"
            time.sleep(0.1)

    @staticmethod
    def _found(pattern: str, page: str) -> str:
        found = re.search(pattern, page)
        assert found, page
        return found[1]


def amid_submits(tally: Tally, before: int) -> bool:
    return len(tally.judged) >= before + 5


def amid_streams(tally: Tally, before: int) -> bool:
    return len(tally.streaming) == CLIENTS


def amid_both(tally: Tally, before: int) -> bool:
    return amid_submits(tally, before) and bool(tally.streaming)


def wait_until(true: Callable[[], bool], works: list[Any], server: Server) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        for done in works:
            if done.done():
                done.result()
        assert time.monotonic() < end, server.said()
        time.sleep(0.01)


SIZES = [
    pytest.param(20.0, amid_both, 1, id="both"),
    pytest.param(2000.0, amid_submits, 10, marks=pytest.mark.hard, id="submits"),
    pytest.param(10.0, amid_streams, 10, marks=pytest.mark.hard, id="streams"),
]


@pytest.mark.parametrize("store", BOTH_AT_LENGTH)
@pytest.mark.parametrize(("server", "amid", "kills"), SIZES, indirect=["server"])
def test_what_was_acknowledged_outlasts_a_server_that_is_killed(
    server: Server, database: Database, amid: Callable[[Tally, int], bool], kills: int
) -> None:
    tally = Tally()
    clients = [Client(database, server.address, tally, number) for number in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as threads:
        works = [threads.submit(client.work) for client in clients]
        try:
            for _ in range(kills):
                before = len(tally.judged)
                wait_until(lambda before=before: amid(tally, before), works, server)  # type: ignore[misc]
                server.kill()
                server.start()
            last = len(tally.judged)
            wait_until(lambda: len(tally.judged) >= last + CLIENTS, works, server)
        finally:
            tally.over.set()
        for done in works:
            done.result()
    assert stands(database) == dict(tally.judged.values()), "some were lost, or are there that nobody was told of"
    for client in clients:
        for key, (turn, position) in client.judged.items():
            assert client.judge(turn, position, key) == 200, "the same key is answered alike"
    assert stands(database) == dict(tally.judged.values())
    assert halves(database) == []
    assert list(faults(database)) == []
    print(f"{kills} kills: {len(tally.judged)} judgments acknowledged, 0 lost")


def stands(database: Database) -> dict[int, int]:
    """Of each turn the position that was chosen; a second judgment of a turn would be a fault."""
    with database.reading() as session:
        rows = session.scalars(select(Judgment)).all()
    assert len({row.turn_id for row in rows}) == len(rows)
    return {row.turn_id: position_of(row) for row in rows}


def position_of(row: Judgment) -> int:
    assert row.strength is not None
    return 5 - row.strength if row.side == "a" else 4 + row.strength


def halves(database: Database) -> list[int]:
    """Turns that may be judged without two finished answers, or hold an answer before they may."""
    with database.reading() as session:
        found = {turn.id: turn.state for turn in session.scalars(select(Turn))}
        finished = Counter(session.scalars(select(Response.turn_id).where(Response.finished)))
    whole = (TurnState.ANSWERED, TurnState.JUDGED)
    return [turn for turn, state in found.items() if finished[turn] != (2 if state in whole else 0)]


class Dropping(httpx.BaseTransport):
    """Passes requests on; of those that it is told to lose, the reply never comes back."""

    def __init__(self, to: httpx.BaseTransport) -> None:
        self.to, self.lost = to, 0
        self.losing = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self.to.handle_request(request)
        if self.losing:
            response.read()
            self.lost += 1
            raise httpx.ReadError("the reply was lost")
        return response


@pytest.mark.parametrize("store", BOTH)
@pytest.mark.parametrize("times", [3, pytest.param(200, marks=pytest.mark.hard)])
def test_a_reply_that_is_lost_after_the_commit_makes_no_second_judgment(
    worker: Person, database: Database, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    monkeypatch.setattr(limits, "take_token", lambda *_: True)
    worker.client._transport = wire = Dropping(worker.client._transport)
    conversation, judged = worker.begin(), {}
    for number in range(times):
        turn = worker.ask(conversation, f"Message {number}")
        form = {"position": number % 8 + 1, "key": f"click {number}"}
        wire.losing = True
        with pytest.raises(httpx.ReadError):
            worker.send(f"/turns/{turn}/judgment", **form)
        wire.losing = False
        assert stands(database) == {**judged, turn: form["position"]}, "it was committed before its reply was lost"
        assert worker.send(f"/turns/{turn}/judgment", **form).status_code == 200
        judged[turn] = form["position"]
    assert wire.lost == times
    assert stands(database) == judged
    assert list(faults(database)) == []

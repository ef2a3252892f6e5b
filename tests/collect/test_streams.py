"""Many streams through the app at once: quick to begin, equal to the end, and without a hold on the database."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import httpx
import pytest

from tutelage.collect.answers import SIDES, AnswerEvent, AnswerRequest, Finished
from tutelage.collect.engines import EngineSettings
from tutelage.collect.model_client import ModelClient
from tutelage.collect.security import cookie_name
from tutelage.collect.supervisor import ModelSupervisor
from tutelage.feedback.database.access import Access
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.conversations import Conversations
from tutelage.feedback.database.states import TurnState

from .people import Person, principal


class Held:
    """An answerer whose answers come when they are let go."""

    def __init__(self) -> None:
        self.asked = 0
        self.released = threading.Event()

    async def follow(self, request: AnswerRequest) -> AsyncGenerator[AnswerEvent]:
        self.asked += 1
        while not self.released.is_set():
            await asyncio.sleep(0.01)
        for side in SIDES:
            yield Finished(side, f"answer {side} to turn {request.turn}", "stop")

    async def cancel(self, turn: int, attempt: int) -> None: ...


@pytest.fixture
def answerer() -> Held:
    """In place of the script."""
    return Held()


@pytest.fixture
def http(worker: Person, database: Database, served: str) -> httpx.AsyncClient:
    """The worker, at the app by the network."""
    with database.writing() as session:
        token = Access(session).open_login(worker.worker_id)
    cookies = {cookie_name(tls=False): token}
    return httpx.AsyncClient(base_url=served, cookies=cookies, timeout=60, limits=httpx.Limits(max_connections=None))


def asked(database: Database, worker: str, count: int) -> list[int]:
    """So many turns that wait for their answers, each in a conversation of its own."""
    with database.writing() as session:
        own = Conversations(session, principal(database, worker))
        talks = [own.start("helpful", key=f"start {number}") for number in range(count)]
        return [own.ask(talk, "Why is bread soft?", key=f"ask {talk}") for talk in talks]


async def stream(http: httpx.AsyncClient, turn: int) -> tuple[float, list[tuple[str, Any]]]:
    """Seconds to the first words, and all events."""
    begun, first, name = time.perf_counter(), 0.0, ""
    events: list[tuple[str, Any]] = []
    async with http.stream("GET", f"/turns/{turn}/answers", timeout=60) as response:
        assert response.status_code == 200
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                events.append((name, json.loads(line.removeprefix("data: "))))
                first = first or time.perf_counter() - begun
    return first, events


def stored(database: Database, worker: Person, turn: int) -> dict[str, str]:
    """The answers of a turn that can be judged, by side."""
    with database.reading() as session:
        own = Conversations(session, principal(database, worker.worker_id))
        (view,) = own.thread(own.conversation_of(turn)).turns
    assert view.state == TurnState.ANSWERED
    assert view.answers is not None
    return {side: answer.text for side, answer in zip(SIDES, view.answers, strict=True)}


def shown(events: list[tuple[str, Any]]) -> dict[str, str]:
    assert [name for name, _ in events if name != "more"] == ["answered"]
    return {side: "".join(data[side] for name, data in events if name == "more") for side in SIDES}


def test_a_stream_holds_no_connection(
    http: httpx.AsyncClient, worker: Person, database: Database, answerer: Held
) -> None:
    turns = asked(database, worker.worker_id, 8)
    pool: Any = database.engine.pool

    async def run() -> list[tuple[float, list[tuple[str, Any]]]]:
        async with http:
            streams = asyncio.gather(*(stream(http, turn) for turn in turns))
            end = time.monotonic() + 20
            while (answerer.asked < len(turns) or pool.checkedout()) and time.monotonic() < end:
                await asyncio.sleep(0.02)
            assert (answerer.asked, pool.checkedout()) == (len(turns), 0)
            answerer.released.set()
            return await streams

    for turn, (_, events) in zip(turns, asyncio.run(run()), strict=True):
        assert shown(events) == stored(database, worker, turn)
        assert shown(events)["a"] == f"answer a to turn {turn}"


@pytest.mark.hard
class TestFifty:
    """Fifty workers whose messages come within five seconds."""

    @pytest.fixture
    def answerer(self) -> Iterator[ModelClient]:
        """A model process of its own, with the stub."""
        with ModelSupervisor(EngineSettings(stub_words_per_second=40.0)) as model:
            model.wait_until_ready()
            yield ModelClient(model.socket, model.secret)

    def test_the_first_words_come_within_half_a_second(
        self, http: httpx.AsyncClient, worker: Person, database: Database
    ) -> None:
        turns = asked(database, worker.worker_id, 50)

        async def later(number: int) -> tuple[float, list[tuple[str, Any]]]:
            await asyncio.sleep(0.1 * number)
            return await stream(http, turns[number])

        async def run() -> list[tuple[float, list[tuple[str, Any]]]]:
            async with http:
                return await asyncio.gather(*(later(number) for number in range(len(turns))))

        heard = asyncio.run(run())
        for turn, (_, events) in zip(turns, heard, strict=True):
            assert shown(events) == stored(database, worker, turn)
        waits = sorted(first for first, _ in heard)
        print(f"first words: p50 {1000 * waits[25]:.0f} ms, p95 {1000 * waits[47]:.0f} ms")
        assert waits[47] < 0.5, waits

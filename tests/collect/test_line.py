"""A database that is held by somebody else, or busy without end: who reads does not notice."""

import asyncio
import time

import httpx
import pytest
from fastapi import FastAPI

from tutelage.collect import line
from tutelage.collect.line import Line
from tutelage.collect.pages import static
from tutelage.collect.security import cookie_name
from tutelage.feedback.database.access import Access
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.refusals import Unavailable

from .people import Person

WRITERS = 60


@pytest.fixture
def held(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The same database as another process sees it; a writer gives up after three seconds."""
    monkeypatch.setattr("tutelage.feedback.database.connection.WAIT_FOR_LOCK", 3.0)
    return Database(str(database.url.database))


def test_reading_goes_on_while_writers_wait(worker: Person, database: Database, held: Database, served: str) -> None:
    conversation = worker.begin()
    with database.writing() as session:
        cookies = {cookie_name(tls=False): Access(session).open_login(worker.worker_id)}

    async def timed(http: httpx.AsyncClient, path: str) -> float:
        begun = time.perf_counter()
        assert (await http.get(path)).status_code == 200
        return time.perf_counter() - begun

    async def crowd() -> tuple[list[float], list[httpx.Response]]:
        unlimited = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=served, cookies=cookies, timeout=30, limits=unlimited) as http:
            page = await http.get(f"/talk/{conversation}")
            csrf = page.text.split('name="csrf" content="')[1].split('"')[0]
            form = {"csrf": csrf, "reason": "other"}
            with held.writing():
                writers = [
                    asyncio.create_task(http.post(f"/talk/{conversation}/report", data=form | {"key": str(number)}))
                    for number in range(WRITERS)
                ]
                await asyncio.sleep(0.5)
                reads = [await timed(http, path) for path in ("/health", static("app.css"), f"/talk/{conversation}")]
            return reads, await asyncio.gather(*writers)

    reads, written = asyncio.run(crowd())
    assert max(reads) < 1.0, reads
    assert {response.status_code for response in written} <= {200, 503}
    for response in written:
        assert response.status_code == 200 or response.headers["Retry-After"] == "2"


def test_beyond_a_number_of_waiting_writers_the_answer_is_no_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "WAIT_FOR_LOCK", 0.2)

    async def full() -> None:
        short = Line(at_once=1, waiting=1)
        async with short.place():
            waiting = asyncio.create_task(_take(short))
            await asyncio.sleep(0.05)
            begun = time.perf_counter()
            with pytest.raises(Unavailable, match="too many"):
                await _take(short)
            assert time.perf_counter() - begun < 0.1
            with pytest.raises(Unavailable, match="too long"):
                await waiting
        await _take(short)  # the place was given back

    asyncio.run(full())


def test_who_is_refused_is_told_when_to_come_again(app: FastAPI, worker: Person) -> None:
    object.__setattr__(app.state.site, "line", Line(at_once=0, waiting=0))
    worker.open("/home")
    refused = worker.send("/talk/helpful")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert "try again in a moment" in refused.text
    assert worker.open("/home").status_code == 200


async def _take(line: Line) -> None:
    async with line.place():
        pass

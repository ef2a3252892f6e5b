"""A model process of its own: begun once, followed by many, replaced when it dies, and never half an answer."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tutelage.collect import desk
from tutelage.collect.answers import (
    AnswerEvent,
    AnswerRequest,
    AnswersLost,
    Finished,
    SideRequest,
    request_from_record,
    request_to_record,
)
from tutelage.collect.engines import EngineSettings, Progress, StubEngine, stub_words
from tutelage.collect.model_client import ModelClient
from tutelage.collect.model_process import ModelServer
from tutelage.collect.streaming import stream_turn
from tutelage.collect.supervisor import ModelSupervisor
from tutelage.dialogue import Prompt, SamplingParameters

SECRET = "of this test"


def request(turn: int = 1, attempt: int = 0, seed: int = 0) -> AnswerRequest:
    sides = [SideRequest(name, SamplingParameters(stop=("x",)), seed) for name in ("one", "two")]
    return AnswerRequest(turn, attempt, Prompt.from_turns("What is bread?", "Food.", "Whose?"), *sides)


async def heard(client: ModelClient, asked: AnswerRequest) -> list[AnswerEvent]:
    return [event async for event in client.follow(asked)]


def texts(events: list[AnswerEvent]) -> dict[str, str]:
    return {event.side: event.text for event in events if isinstance(event, Finished)}


@pytest.fixture(scope="module")
def supervisor() -> Iterator[ModelSupervisor]:
    with ModelSupervisor(EngineSettings(stub_words_per_second=60.0)) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture
def client(supervisor: ModelSupervisor) -> ModelClient:
    supervisor.wait_until_ready()
    return ModelClient(supervisor.socket, supervisor.secret)


def test_a_request_survives_the_wire() -> None:
    assert request_from_record(request_to_record(request())) == request()


def test_both_answers_come_whole(client: ModelClient) -> None:
    asked = request(10)
    events = asyncio.run(heard(client, asked))
    assert texts(events) == {
        "a": " ".join(stub_words(asked.prompt, asked.a)),
        "b": " ".join(stub_words(asked.prompt, asked.b)),
    }
    for side in ("a", "b"):
        deltas = "".join(event.text for event in events if event.side == side and not isinstance(event, Finished))
        assert deltas == texts(events)[side]


def test_a_second_follower_hears_the_same_from_the_start(client: ModelClient) -> None:
    async def both() -> tuple[list[AnswerEvent], list[AnswerEvent]]:
        first = asyncio.create_task(heard(client, request(11)))
        await asyncio.sleep(0.1)
        second = await heard(client, request(11))
        return await first, second

    first, second = asyncio.run(both())
    assert first == second
    assert first == asyncio.run(heard(client, request(11)))  # finished, and kept for a while


def test_another_attempt_is_begun_anew(client: ModelClient) -> None:
    first = asyncio.run(heard(client, request(12, 0, seed=1)))
    second = asyncio.run(heard(client, request(12, 1, seed=2)))
    assert texts(first) != texts(second)


def test_a_cancelled_attempt_fails_for_its_followers(client: ModelClient) -> None:
    async def cancelled() -> None:
        following = asyncio.create_task(heard(client, request(13)))
        await asyncio.sleep(0.1)
        await client.cancel(13, 0)
        await client.cancel(99, 0)
        with pytest.raises(AnswersLost, match="cancelled"):
            await following

    asyncio.run(cancelled())
    assert asyncio.run(client.health())["running"] == 0


def test_without_the_secret_nothing_is_said(supervisor: ModelSupervisor) -> None:
    stranger = ModelClient(supervisor.socket, "guessed")
    with pytest.raises(AnswersLost):
        asyncio.run(heard(stranger, request(14)))
    with pytest.raises(AnswersLost):
        asyncio.run(stranger.health())
    assert oct(supervisor.socket.parent.stat().st_mode & 0o777) == "0o700"


def test_a_process_that_is_not_there_is_a_lost_attempt(tmp_path: Path) -> None:
    with pytest.raises(AnswersLost, match="cannot be reached"):
        asyncio.run(heard(ModelClient(tmp_path / "no.sock", SECRET), request()))


@pytest.mark.parametrize("attempts", [2, pytest.param(20, marks=pytest.mark.hard)])
def test_killed_amid_the_stream_the_turn_is_lost_and_the_next_attempt_whole(
    supervisor: ModelSupervisor, attempts: int
) -> None:
    for attempt in range(attempts):
        supervisor.wait_until_ready()
        client = ModelClient(supervisor.socket, supervisor.secret)
        stored: list[object] = []
        lost: list[str] = []

        async def store(*answers: object, kept: list[object] = stored) -> None:
            kept.append(answers)

        async def lose(reason: str, kept: list[str] = lost) -> None:
            kept.append(reason)

        async def stream(number: int, kill: bool, client: ModelClient = client) -> str:
            events = stream_turn(client.follow(request(100 + number, int(not kill))), store, lose)
            heard = []
            async for event in events:
                if kill and not heard:
                    os.kill(supervisor.pid, signal.SIGKILL)
                heard.append(event)
            return heard[-1]

        assert asyncio.run(stream(attempt, kill=True)).startswith("event: lost")
        assert (len(stored), len(lost)) == (0, 1)
        _wait_for_start(supervisor)
        assert asyncio.run(stream(attempt, kill=False)).startswith("event: answered")
        assert len(stored) == 1


def _wait_for_start(supervisor: ModelSupervisor) -> None:
    dead = supervisor.pid
    end = time.monotonic() + 30
    while supervisor.pid == dead and time.monotonic() < end:
        time.sleep(0.05)
    supervisor.wait_until_ready()


def test_a_hung_process_is_a_lost_attempt(supervisor: ModelSupervisor) -> None:
    supervisor.wait_until_ready()
    os.kill(supervisor.pid, signal.SIGSTOP)
    try:
        with pytest.raises(AnswersLost):
            asyncio.run(heard(ModelClient(supervisor.socket, supervisor.secret, patience=0.5), request(15)))
    finally:
        os.kill(supervisor.pid, signal.SIGCONT)


class Stubborn(StubEngine):
    """A stub that does not come back from its second step, or breaks there."""

    def __init__(self, breaks: bool) -> None:
        super().__init__(words_per_second=20.0)
        self.breaks, self.steps = breaks, 0

    def step(self) -> list[Progress]:
        self.steps += 1
        if self.steps == 2:
            if self.breaks:
                raise RuntimeError("out of memory")
            time.sleep(1.0)
        return super().step()


def test_an_engine_that_breaks_ends_the_server_and_its_streams(tmp_path: Path) -> None:
    async def broken() -> None:
        serving = asyncio.create_task(ModelServer(Stubborn(breaks=True), SECRET).serve(tmp_path / "s"))
        following = asyncio.create_task(_follow_when_there(tmp_path / "s"))
        with pytest.raises(RuntimeError, match="out of memory"):
            await asyncio.wait_for(serving, 10)
        following.cancel()

    asyncio.run(broken())


def test_an_engine_that_hangs_is_seen(tmp_path: Path) -> None:
    async def still() -> float:
        serving = asyncio.create_task(ModelServer(Stubborn(breaks=False), SECRET).serve(tmp_path / "s"))
        following = asyncio.create_task(_follow_when_there(tmp_path / "s"))
        seen = 0.0
        while seen < 0.3:  # seconds without a step; the test would go on for ever if nobody counted them
            await asyncio.sleep(0.05)
            with suppress(AnswersLost):  # it does not listen yet
                seen = float((await ModelClient(tmp_path / "s", SECRET).health())["still_s"])
        following.cancel()
        serving.cancel()
        return seen

    assert asyncio.run(asyncio.wait_for(still(), 20)) >= 0.3


class OneAtATime(StubEngine):
    """A stub with one slot: what comes meanwhile waits in line."""

    def __init__(self) -> None:
        super().__init__(words_per_second=60.0)
        self._line: list[tuple[int, Prompt, SideRequest]] = []

    @property
    def busy(self) -> bool:
        return bool(self._line) or super().busy

    def submit(self, ticket: int, prompt: Prompt, side: SideRequest) -> None:
        self._line.append((ticket, prompt, side))

    def step(self) -> list[Progress]:
        if self._line and not super().busy:
            super().submit(*self._line.pop(0))
        return super().step()

    def cancel(self, ticket: int) -> None:
        self._line = [waiting for waiting in self._line if waiting[0] != ticket]
        super().cancel(ticket)


@asynccontextmanager
async def serving(engine: StubEngine, socket: Path) -> AsyncIterator[ModelServer]:
    server = ModelServer(engine, SECRET)
    running = asyncio.create_task(server.serve(socket))
    while not socket.exists():
        await asyncio.sleep(0.01)
    yield server
    running.cancel()


def test_who_waits_in_line_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "HEARTBEAT", 0.05)

    async def all_heard() -> list[list[AnswerEvent]]:
        async with serving(OneAtATime(), tmp_path / "s"):
            client = ModelClient(tmp_path / "s", SECRET, patience=0.5)  # far less than the line takes
            return await asyncio.gather(*(heard(client, request(number, seed=number)) for number in range(5)))

    begun = time.monotonic()
    assert [set(texts(events)) for events in asyncio.run(all_heard())] == [{"a", "b"}] * 5
    assert time.monotonic() - begun > 1.0


def test_nobody_is_answered_who_has_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "HEARTBEAT", 0.05)
    monkeypatch.setattr(desk, "WAITED_FOR", 0.3)

    async def left() -> list[int]:
        async with serving(Endless(), tmp_path / "s"):
            client = ModelClient(tmp_path / "s", SECRET)
            gone = asyncio.create_task(heard(client, request(1)))
            loaded_again = asyncio.create_task(heard(client, request(2)))
            await asyncio.sleep(0.2)
            running = [(await client.health())["running"]]
            gone.cancel()
            loaded_again.cancel()
            back = asyncio.create_task(heard(client, request(2)))
            await asyncio.sleep(1.0)
            running.append((await client.health())["running"])
            assert not back.done()
            await client.cancel(2, 0)
            with pytest.raises(AnswersLost, match="cancelled"):
                await back
            return running

    assert asyncio.run(left()) == [4, 2]


def test_another_attempt_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    async def again() -> int:
        async with serving(Endless(), tmp_path / "s"):
            client = ModelClient(tmp_path / "s", SECRET)
            first = asyncio.create_task(heard(client, request(1, attempt=1)))
            await asyncio.sleep(0.1)
            second = asyncio.create_task(heard(client, request(1, attempt=2)))
            with pytest.raises(AnswersLost, match="cancelled"):
                await asyncio.wait_for(first, 5)
            second.cancel()
            return int((await client.health())["running"])

    assert asyncio.run(again()) == 2


class Endless(StubEngine):
    """A stub whose texts do not end."""

    def __init__(self) -> None:
        super().__init__(words_per_second=0.01)


async def _follow_when_there(socket: Path) -> list[AnswerEvent]:
    while not socket.exists():
        await asyncio.sleep(0.01)
    return await heard(ModelClient(socket, SECRET), request())


@pytest.mark.hard
def test_a_hung_process_is_replaced_every_time(supervisor: ModelSupervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutelage.collect.supervisor.HUNG_SECONDS", 1.0)
    for number in range(5):
        supervisor.wait_until_ready()
        os.kill(supervisor.pid, signal.SIGSTOP)
        _wait_for_start(supervisor)
        whole = asyncio.run(heard(ModelClient(supervisor.socket, supervisor.secret), request(200 + number)))
        assert set(texts(whole)) == {"a", "b"}


def test_fifty_streams_at_once_begin_within_half_a_second(tmp_path: Path) -> None:
    async def first_token(client: ModelClient, number: int) -> float:
        started = time.perf_counter()
        found = None

        async def nothing(*_: object) -> None: ...

        async for sent in stream_turn(client.follow(request(number, seed=number)), nothing, nothing):
            if found is None and sent.startswith("event: more"):
                found = time.perf_counter() - started
        assert found is not None
        assert sent.startswith("event: answered")
        return found

    async def all_of_them() -> list[float]:
        socket = tmp_path / "s"
        serving = asyncio.create_task(ModelServer(StubEngine(), SECRET).serve(socket))
        while not socket.exists():
            await asyncio.sleep(0.01)
        client = ModelClient(socket, SECRET)
        waits = await asyncio.gather(*(first_token(client, number) for number in range(50)))
        serving.cancel()
        return waits

    waits = sorted(asyncio.run(all_of_them()))
    assert waits[47] < 0.5, waits

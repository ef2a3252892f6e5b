"""The process that holds the models: answers of all workers in one batch, for whoever knows the secret on its socket.

`python -m tutelage.collect.model_process` reads its settings as one line of JSON on standard input and ends when that
is closed, so that it never outlives who started it. An error of the engine ends it: its supervisor starts another.
"""

import asyncio
import hmac
import json
import os
import queue
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tutelage.collect.answers import LONGEST_LINE, SideRequest, request_from_record
from tutelage.collect.desk import Desk
from tutelage.collect.engines import Engine, EngineSettings, Progress, make_engine
from tutelage.dialogue import Prompt
from tutelage.plumbing.errors import InputError


@dataclass(frozen=True)
class ProcessSettings:
    """What the process is told at its start: its socket, the secret of its callers, and what makes the texts."""

    socket: str
    secret: str
    engine: EngineSettings


class EngineThread:
    """An engine at work in a thread of its own; what it makes is handed to `take`, what it refuses to `refuse`."""

    def __init__(
        self, engine: Engine, take: Callable[[list[Progress]], None], refuse: Callable[[int, str], None]
    ) -> None:
        self._engine = engine
        self._take = take
        self._refuse = refuse
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.stepped = time.monotonic()  # when it last ended a step, or had nothing to do

    def submit(self, ticket: int, prompt: Prompt, side: SideRequest) -> None:
        self._orders.put(lambda: self._try_to_submit(ticket, prompt, side))

    def cancel(self, ticket: int) -> None:
        self._orders.put(lambda: self._engine.cancel(ticket))

    def start(self, on_error: Callable[[BaseException], None]) -> None:
        threading.Thread(target=self._work, args=(on_error,), daemon=True, name="engine").start()

    def _work(self, on_error: Callable[[BaseException], None]) -> None:
        try:
            while True:
                self._obey()
                if made := self._engine.step():
                    self._take(made)
                self.stepped = time.monotonic()
        except Exception as error:
            on_error(error)

    def _obey(self) -> None:
        """Carry out what is ordered; with nothing to do, wait for an order."""
        while not self._engine.busy:
            self.stepped = time.monotonic()
            with suppress(queue.Empty):
                self._orders.get(timeout=1.0)()
        while not self._orders.empty():
            self._orders.get()()

    def _try_to_submit(self, ticket: int, prompt: Prompt, side: SideRequest) -> None:
        try:
            self._engine.submit(ticket, prompt, side)
        except InputError as error:
            self._refuse(ticket, str(error))


class ModelServer:
    """The socket's side: checks the secret, and does what a line asks."""

    def __init__(self, engine: Engine, secret: str) -> None:
        self._secret = secret.encode()
        self._engine = engine
        self._failed: asyncio.Future[None] | None = None

    async def serve(self, socket: Path) -> None:
        """Serve until cancelled.

        Raises:
            Exception: whatever the engine raised; the process is of no use then.
        """
        loop = asyncio.get_running_loop()
        failed: asyncio.Future[None] = loop.create_future()
        self._thread = EngineThread(
            self._engine,
            lambda made: _soon(loop, self._take, made),
            lambda ticket, reason: _soon(loop, self._desk.fail, ticket, reason),
        )
        self._desk = Desk(self._thread.submit, self._thread.cancel)
        self._thread.start(lambda error: _soon(loop, _fail, failed, error))
        with suppress(FileNotFoundError):
            socket.unlink()  # left behind by a process that was killed
        server = await asyncio.start_unix_server(self._answer, str(socket), limit=LONGEST_LINE, backlog=1024)
        socket.chmod(0o600)
        try:
            await failed
        finally:
            server.close()  # who still follows is cut off with the process: it would never hear an end

    def _take(self, made: list[Progress]) -> None:
        for progress in made:
            self._desk.take(progress)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = json.loads(await reader.readline())
            if hmac.compare_digest(str(asked.get("secret")).encode(), self._secret):
                async with aclosing(self._do(asked)) as records:  # who is gone follows no longer
                    async for record in records:
                        writer.write(json.dumps(record).encode() + b"\n")
                        await writer.drain()
                writer.write(b'{"end": true}\n')
                await writer.drain()
        except (ValueError, KeyError, TypeError, AttributeError, OSError):
            pass  # not one of ours, or gone: the closed connection tells it
        finally:
            writer.close()

    async def _do(self, asked: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        match asked["do"]:
            case "follow":
                async with aclosing(self._desk.follow(request_from_record(asked["request"]))) as records:
                    async for record in records:
                        yield record
            case "cancel":
                self._desk.cancel((asked["turn"], asked["attempt"]))
            case "health":
                yield {"running": self._desk.running, "still_s": time.monotonic() - self._thread.stepped}


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *arguments: Any) -> None:
    with suppress(RuntimeError):  # the loop is closed: the process ends
        loop.call_soon_threadsafe(call, *arguments)


def _fail(future: asyncio.Future[None], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


def settings_to_line(settings: ProcessSettings) -> bytes:
    return json.dumps(asdict(settings)).encode() + b"\n"


def _settings_from_line(line: str) -> ProcessSettings:
    record = json.loads(line)
    return ProcessSettings(record["socket"], record["secret"], EngineSettings(**record["engine"]))


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> int:
    settings = _settings_from_line(sys.stdin.readline())
    threading.Thread(target=_end_with_input, daemon=True, name="end").start()
    try:
        engine = make_engine(settings.engine)
    except InputError as error:
        sys.stderr.write(f"tutelage: error: {error}\n")
        return 2
    asyncio.run(ModelServer(engine, settings.secret).serve(Path(settings.socket)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
